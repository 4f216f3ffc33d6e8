package soap

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"trivet/fault"
)

// Element is one element of a document. Raw and Inner are the bytes of the
// document itself, from the first < to the last >, and between the tags.
type Element struct {
	Space, Local string
	Attrs        []Attr
	Raw, Inner   []byte
	Children     []*Element
	Text         string // the character data directly inside, references resolved

	open int // offset of Inner while it is being read
	name string
}

// Attr is an attribute with its value resolved; xmlns attributes are not listed.
type Attr struct{ Space, Local, Value string }

// Attr returns the value of the attribute called local, in any namespace.
func (e *Element) Attr(local string) string {
	for _, a := range e.Attrs {
		if a.Local == local {
			return a.Value
		}
	}
	return ""
}

// Child returns the only child of the name, nil when there is none or more than
// one: of two, which is meant would be a guess.
func (e *Element) Child(space, local string) *Element {
	if e == nil {
		return nil
	}
	var found *Element
	for _, c := range e.Children {
		if c.Local == local && c.Space == space {
			if found != nil {
				return nil
			}
			found = c
		}
	}
	return found
}

// Path follows only children by local name, in any namespace.
func (e *Element) Path(locals ...string) *Element {
	for _, local := range locals {
		if e == nil {
			return nil
		}
		var found *Element
		for _, c := range e.Children {
			if c.Local == local {
				if found != nil {
					return nil
				}
				found = c
			}
		}
		e = found
	}
	return e
}

// Value is the text without the white space around it; empty for nil.
func (e *Element) Value() string {
	if e == nil {
		return ""
	}
	return strings.TrimSpace(e.Text)
}

// scanner reads one document.
type scanner struct {
	doc   []byte
	pos   int
	count int
	path  []*Element
	names []binding // namespaces in scope, innermost last
	marks []int     // len(names) before each element of path
}

type binding struct{ prefix, space string }

// Parse reads a whole document into a tree. The tree shares doc's memory.
func Parse(doc []byte) (*Element, error) {
	const op = "soap.Parse"
	if len(doc) > MaxDocument {
		return nil, fault.Newf(fault.Limit, op, "the document is larger than %d bytes", MaxDocument)
	}
	if !utf8.Valid(doc) {
		return nil, fault.New(fault.Invalid, op, "the document is not in UTF-8")
	}
	s := scanner{doc: doc}
	if err := s.prologue(); err != nil {
		return nil, err
	}
	root, err := s.document()
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(doc[s.pos:])) > 0 {
		return nil, s.bad("nothing may follow the root element")
	}
	return root, nil
}

func (s *scanner) bad(text string) error {
	return fault.Newf(fault.Invalid, "soap.Parse", "the XML is malformed at byte %d: %s", s.pos, text)
}

// prologue skips the byte order mark and the XML declaration.
func (s *scanner) prologue() error {
	if bytes.HasPrefix(s.doc, []byte("\ufeff")) {
		s.pos = 3
	}
	s.space()
	if !bytes.HasPrefix(s.doc[s.pos:], []byte("<?xml")) {
		return nil
	}
	end := bytes.Index(s.doc[s.pos:], []byte("?>"))
	if end < 0 {
		return s.bad("the XML declaration does not end")
	}
	decl := strings.ToLower(string(s.doc[s.pos : s.pos+end]))
	if i := strings.Index(decl, "encoding"); i >= 0 && !strings.Contains(decl[i:], "utf-8") {
		return s.bad("the encoding must be UTF-8")
	}
	s.pos += end + 2
	s.space()
	return nil
}

func (s *scanner) space() {
	for s.pos < len(s.doc) && isSpace(s.doc[s.pos]) {
		s.pos++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// document reads elements until the root is closed.
func (s *scanner) document() (*Element, error) {
	if s.pos >= len(s.doc) || s.doc[s.pos] != '<' {
		return nil, s.bad("a document begins with an element")
	}
	for {
		if len(s.path) > 0 {
			if err := s.text(); err != nil {
				return nil, err
			}
		}
		var done *Element
		var err error
		if bytes.HasPrefix(s.doc[s.pos:], []byte("</")) {
			done, err = s.endTag()
		} else {
			done, err = s.startTag()
		}
		if err != nil {
			return nil, err
		}
		if done != nil && len(s.path) == 0 {
			return done, nil
		}
	}
}

// text reads character data and CDATA sections up to the next tag.
func (s *scanner) text() error {
	top := s.path[len(s.path)-1]
	for s.pos < len(s.doc) {
		rest := s.doc[s.pos:]
		switch {
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			end := bytes.Index(rest, []byte("]]>"))
			if end < 0 {
				return s.bad("a CDATA section does not end")
			}
			top.Text += string(rest[9:end])
			s.pos += end + 3
		case bytes.HasPrefix(rest, []byte("<!")), bytes.HasPrefix(rest, []byte("<?")):
			return s.bad("comments, document types and processing instructions are not accepted")
		case rest[0] == '<':
			return nil
		default:
			n := bytes.IndexByte(rest, '<')
			if n < 0 {
				n = len(rest)
			}
			t, err := s.resolve(rest[:n])
			if err != nil {
				return err
			}
			top.Text += t
			s.pos += n
		}
	}
	return s.bad("the document ends inside an element")
}

// resolve replaces the references of XML 1.0 4.1; other entities do not exist.
func (s *scanner) resolve(t []byte) (string, error) {
	if bytes.IndexByte(t, '&') < 0 {
		return string(t), nil
	}
	out := make([]byte, 0, len(t))
	for len(t) > 0 {
		amp := bytes.IndexByte(t, '&')
		if amp < 0 {
			break
		}
		out = append(out, t[:amp]...)
		end := bytes.IndexByte(t[amp:], ';')
		if end < 0 || end > 10 {
			return "", s.bad("an & must begin a reference")
		}
		r, ok := reference(string(t[amp+1 : amp+end]))
		if !ok {
			return "", s.bad("a reference names no character")
		}
		out = utf8.AppendRune(out, r)
		t = t[amp+end+1:]
	}
	return string(append(out, t...)), nil
}

var entities = map[string]rune{"lt": '<', "gt": '>', "amp": '&', "quot": '"', "apos": '\''}

func reference(name string) (rune, bool) {
	if r, ok := entities[name]; ok {
		return r, true
	}
	digits, isNumber := strings.CutPrefix(name, "#")
	if !isNumber {
		return 0, false
	}
	base := 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 21)
	r := rune(n)
	if err != nil || !utf8.ValidRune(r) || r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
		return 0, false
	}
	return r, true
}

func (s *scanner) name() (string, error) {
	start := s.pos
	for s.pos < len(s.doc) && isName(s.doc[s.pos]) {
		s.pos++
	}
	n := string(s.doc[start:s.pos])
	if n == "" || n[0] == '-' || n[0] == '.' || '0' <= n[0] && n[0] <= '9' || strings.Count(n, ":") > 1 || n[0] == ':' || n[len(n)-1] == ':' {
		return "", s.bad("a name is expected")
	}
	return n, nil
}

func isName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.' || c == ':' || c >= 0x80
}

// startTag reads <name attrs> or <name attrs/>; the element is returned when it
// is complete.
func (s *scanner) startTag() (*Element, error) {
	begin := s.pos
	s.pos++
	name, err := s.name()
	if err != nil {
		return nil, err
	}
	if s.count++; s.count > maxElements || len(s.path) >= maxDepth {
		return nil, fault.Newf(fault.Limit, "soap.Parse", "the document has more than %d elements, or more than %d inside one another", maxElements, maxDepth)
	}
	e := &Element{name: name, Raw: s.doc[begin:]}
	s.marks = append(s.marks, len(s.names))
	empty, err := s.attributes(e)
	if err != nil {
		return nil, err
	}
	if err := s.qualify(e); err != nil {
		return nil, err
	}
	if n := len(s.path); n > 0 {
		s.path[n-1].Children = append(s.path[n-1].Children, e)
	}
	s.path = append(s.path, e)
	e.open = s.pos
	if empty {
		s.close(e, s.pos)
		return e, nil
	}
	return nil, nil
}

// attributes reads up to and with the end of the tag.
func (s *scanner) attributes(e *Element) (empty bool, err error) {
	for {
		before := s.pos
		s.space()
		rest := s.doc[s.pos:]
		switch {
		case bytes.HasPrefix(rest, []byte("/>")):
			s.pos += 2
			return true, nil
		case bytes.HasPrefix(rest, []byte(">")):
			s.pos++
			return false, nil
		case s.pos == before:
			return false, s.bad("white space or the end of the tag is expected")
		}
		if err := s.attribute(e); err != nil {
			return false, err
		}
	}
}

func (s *scanner) attribute(e *Element) error {
	name, err := s.name()
	if err != nil {
		return err
	}
	s.space()
	if s.pos >= len(s.doc) || s.doc[s.pos] != '=' {
		return s.bad("an attribute needs a value")
	}
	s.pos++
	s.space()
	if s.pos >= len(s.doc) || s.doc[s.pos] != '"' && s.doc[s.pos] != '\'' {
		return s.bad("an attribute's value is quoted")
	}
	quote := s.doc[s.pos]
	n := bytes.IndexByte(s.doc[s.pos+1:], quote)
	if n < 0 {
		return s.bad("an attribute's value does not end")
	}
	raw := s.doc[s.pos+1 : s.pos+1+n]
	if bytes.IndexByte(raw, '<') >= 0 {
		return s.bad("an attribute's value may not have <")
	}
	value, err := s.resolve(raw)
	if err != nil {
		return err
	}
	s.pos += n + 2
	prefix, local := split(name)
	if name == "xmlns" || prefix == "xmlns" {
		return s.bind(name, local, value)
	}
	if len(e.Attrs) == maxAttrs {
		return fault.Newf(fault.Limit, "soap.Parse", "an element has more than %d attributes", maxAttrs)
	}
	e.Attrs = append(e.Attrs, Attr{Space: prefix, Local: local, Value: value}) // qualify makes a namespace of the prefix
	return nil
}

func split(name string) (prefix, local string) {
	if i := strings.IndexByte(name, ':'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}

func (s *scanner) bind(name, local, value string) error {
	if name == "xmlns" {
		local = ""
	}
	since := s.marks[len(s.marks)-1]
	if len(s.names)-since >= maxAttrs || local == "xml" || local == "xmlns" || local != "" && value == "" {
		return s.bad("a namespace is declared wrongly, or too many are")
	}
	for _, b := range s.names[since:] {
		if b.prefix == local {
			return s.bad("a namespace is declared twice")
		}
	}
	s.names = append(s.names, binding{local, value})
	return nil
}

func (s *scanner) lookup(prefix string) (string, bool) {
	if prefix == "xml" {
		return nsXML, true
	}
	for i := len(s.names) - 1; i >= 0; i-- {
		if s.names[i].prefix == prefix {
			return s.names[i].space, true
		}
	}
	return "", prefix == ""
}

// qualify gives the element and its attributes their namespaces.
func (s *scanner) qualify(e *Element) error {
	prefix, local := split(e.name)
	space, ok := s.lookup(prefix)
	if !ok {
		return s.bad("a prefix has no namespace")
	}
	e.Space, e.Local = space, local
	for i := range e.Attrs {
		a := &e.Attrs[i]
		if a.Space != "" {
			if a.Space, ok = s.lookup(a.Space); !ok {
				return s.bad("a prefix has no namespace")
			}
		}
		for _, b := range e.Attrs[:i] {
			if b.Local == a.Local && b.Space == a.Space {
				return s.bad("an attribute is there twice")
			}
		}
	}
	return nil
}

func (s *scanner) endTag() (*Element, error) {
	end := s.pos
	s.pos += 2
	name, err := s.name()
	if err != nil {
		return nil, err
	}
	s.space()
	if s.pos >= len(s.doc) || s.doc[s.pos] != '>' {
		return nil, s.bad("an end tag does not end")
	}
	s.pos++
	if len(s.path) == 0 || s.path[len(s.path)-1].name != name {
		return nil, s.bad("an end tag has no start tag")
	}
	e := s.path[len(s.path)-1]
	s.close(e, end)
	return e, nil
}

// close completes the innermost element, whose content ends at end.
func (s *scanner) close(e *Element, end int) {
	e.Inner = s.doc[e.open:max(end, e.open):max(end, e.open)]
	n := len(e.Raw) - (len(s.doc) - s.pos)
	e.Raw = e.Raw[:n:n]
	s.path = s.path[:len(s.path)-1]
	s.names = s.names[:s.marks[len(s.marks)-1]]
	s.marks = s.marks[:len(s.marks)-1]
}
