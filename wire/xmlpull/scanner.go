// Package xmlpull reads small XML 1.0 documents of protocols, element by element,
// without reflection and with bounded memory, and has the escaping writers need.
//
// A Scanner is namespace aware in a tolerant way: names are given without their
// prefix, since senders disagree about namespaces, but a payload cut out with Raw
// declares all it uses. Documents must be UTF-8 and well-formed; document types,
// instructions inside of the root, and entities other than the five of XML and
// numbers are refused. The first mistake sticks: after it every loop ends and Err
// tells it. All errors are fault.Invalid.
//
// A Scanner belongs to one goroutine.
package xmlpull

import (
	"strings"

	"trivet/fault"
)

// Limits of a document, beside the size given to New.
const (
	MaxDepth = 32
	MaxAttrs = 64
)

// Attr is an attribute. Name is without prefix; declarations of namespaces are
// not among the attributes.
type Attr struct{ Name, Value string }

// Scanner stands on one element of a document.
type Scanner struct {
	src   string
	pos   int
	err   error
	open  []element // from the root to the current element
	scope []binding // declarations in force, innermost last
	attrs []attribute
	empty bool // the current element closes itself
	done  bool // the root has ended
}

type element struct {
	name  string // as written
	scope int    // len(scope) before its declarations
}

type binding struct{ prefix, uri string }

type attribute struct {
	prefix, name, value string
}

type token uint8

const (
	end   token = iota // of the current element or the document, or an error
	start              // of a child, which is now current
	text
)

// New makes a scanner that stands before the root of a document of at most limit bytes.
func New(src []byte, limit int) *Scanner {
	s := &Scanner{}
	if len(src) > limit {
		s.Fail("the document is too large")
		return s
	}
	s.src = string(src)
	s.src = strings.TrimPrefix(s.src, "\ufeff")
	if err := printable(s.src); err != "" {
		s.Fail(err)
	}
	return s
}

// Root moves to the root, which must have the given name, and reports whether it could.
func (s *Scanner) Root(name string) bool {
	if s.RootName(); s.err == nil && s.Name() != name {
		s.Fail("the root element must be " + name)
	}
	return s.err == nil
}

// RootName moves to the root and returns its name, "" on errors.
func (s *Scanner) RootName() string {
	if s.err == nil && len(s.open) == 0 && !s.done {
		if t, _ := s.next(); t != start {
			s.Fail("the document has no root element")
		}
	}
	return s.Name()
}

// Err is the first mistake, nil if none so far.
func (s *Scanner) Err() error { return s.err }

// Fail makes text the mistake of the document unless there is one already.
func (s *Scanner) Fail(text string) {
	if s.err == nil {
		s.err = fault.New(fault.Invalid, "xmlpull.Scanner", text)
	}
}

// Finish reads to the end of the document and returns the first mistake. It
// must be called last: a document cut off shows only there.
func (s *Scanner) Finish() error {
	for s.err == nil && !s.done {
		s.next()
	}
	if s.err == nil {
		s.next() // what follows the root
	}
	return s.err
}

// Name is the name of the current element without prefix, "" before the root.
func (s *Scanner) Name() string {
	if len(s.open) == 0 {
		return ""
	}
	return local(s.open[len(s.open)-1].name)
}

// Children iterates over the elements directly in the current one. In the body of
// the loop the child is current and may be read or ignored. Text is skipped. After
// the loop the element has ended, unless the body broke out of it.
func (s *Scanner) Children() func(yield func(name string) bool) {
	return func(yield func(string) bool) {
		depth := len(s.open)
		for s.err == nil && depth > 0 && len(s.open) == depth {
			t, _ := s.next()
			if t != start {
				continue
			}
			if !yield(s.Name()) {
				return
			}
			s.leave(depth)
		}
	}
}

// Text returns the text directly in the current element, without that of its
// children, and moves past its end.
func (s *Scanner) Text() string {
	depth, got := len(s.open), ""
	for s.err == nil && depth > 0 && len(s.open) >= depth {
		t, v := s.next()
		if t == start {
			s.leave(depth)
		} else if t == text {
			got += v
		}
	}
	return got
}

// leave ends elements until only depth are open.
func (s *Scanner) leave(depth int) {
	for s.err == nil && len(s.open) > depth {
		s.next()
	}
}

// Attr returns an attribute of the current element, "" if absent. It is to be
// called before anything moves the scanner on.
func (s *Scanner) Attr(name string) string {
	v, _ := s.Lookup(name)
	return v
}

// Lookup is Attr that tells absent from empty.
func (s *Scanner) Lookup(name string) (string, bool) {
	for i := range s.attrs {
		if s.attrs[i].name == name && s.attrs[i].prefix != "xmlns" {
			return s.attrs[i].value, true
		}
	}
	return "", false
}

// Uint32 returns a numeric attribute, 0 if absent or empty.
func (s *Scanner) Uint32(name string) uint32 {
	n, ok := Uint32(s.Attr(name))
	if !ok {
		s.Fail(name + " must be a number from 0 to 4294967295")
	}
	return n
}

// Bool returns an xs:boolean attribute, false if absent or empty.
func (s *Scanner) Bool(name string) bool {
	b, ok := Bool(s.Attr(name))
	if !ok {
		s.Fail(name + " must be true or false")
	}
	return b
}

func local(name string) string { return name[strings.IndexByte(name, ':')+1:] }
