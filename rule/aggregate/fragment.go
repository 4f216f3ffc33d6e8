package aggregate

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// fragment walks over one XML element. It knows elements, attributes, text,
// CDATA, comments and instructions; it refuses document types. Prefixes are cut.
type fragment struct {
	rest  string
	path  []string
	names []string // as written, for matching end tags
	empty bool     // the element just opened closes itself
	seen  bool     // the root has come
}

// node is a start tag ("state/activity") or a text ("state/availability#").
type node struct {
	path  string
	attrs []attr
	text  string
}

type attr struct{ name, value string }

func (n node) attr(name string) string {
	for _, a := range n.attrs {
		if a.name == name {
			return a.value
		}
	}
	return ""
}

// next returns the next start tag or text; ok is false at the end.
func (f *fragment) next() (n node, ok bool, err error) {
	for {
		if f.empty {
			f.empty = false
			f.pop()
		}
		switch {
		case f.rest == "":
			if len(f.path) > 0 {
				return node{}, false, bad("the state is cut off: " + f.path[len(f.path)-1] + " is not closed")
			}
			return node{}, false, nil
		case f.skips("<!--", "-->"), f.skips("<?", "?>"):
		case strings.HasPrefix(f.rest, "<![CDATA["):
			text, rest, found := strings.Cut(f.rest[9:], "]]>")
			if !found || len(f.path) == 0 {
				return node{}, false, bad("the state has a CDATA section that does not end or stands outside")
			}
			f.rest = rest
			return node{path: f.where("#"), text: text}, true, printable(text)
		case strings.HasPrefix(f.rest, "</"):
			if err := f.close(); err != nil {
				return node{}, false, err
			}
		case f.rest[0] == '<':
			n, err := f.open()
			return n, err == nil, err
		default:
			n, ok, err := f.text()
			if ok || err != nil {
				return n, ok, err
			}
		}
	}
}

func (f *fragment) skips(start, end string) bool {
	if !strings.HasPrefix(f.rest, start) {
		return false
	}
	i := strings.Index(f.rest[len(start):], end)
	if i < 0 {
		return false // then open refuses it
	}
	f.rest = f.rest[len(start)+i+len(end):]
	return true
}

func (f *fragment) text() (node, bool, error) {
	i := strings.IndexByte(f.rest, '<')
	if i < 0 {
		i = len(f.rest)
	}
	raw := f.rest[:i]
	f.rest = f.rest[i:]
	if strings.TrimLeft(raw, " \t\r\n") == "" {
		return node{}, false, nil
	}
	if len(f.path) == 0 {
		return node{}, false, bad("the state has text outside of its element")
	}
	text, err := unescape(raw)
	return node{path: f.where("#"), text: text}, err == nil, err
}

func (f *fragment) close() error {
	name, rest, found := strings.Cut(f.rest[2:], ">")
	if !found || len(f.path) == 0 || strings.TrimRight(name, " \t\r\n") != f.names[len(f.names)-1] {
		return bad("the state has an end tag that closes nothing")
	}
	f.rest = rest
	f.pop()
	return nil
}

func (f *fragment) pop() {
	f.path, f.names = f.path[:len(f.path)-1], f.names[:len(f.names)-1]
}

func (f *fragment) open() (node, error) {
	f.rest = f.rest[1:]
	name := f.name()
	if name == "" || len(f.path) >= maxDepth || f.seen && len(f.path) == 0 {
		return node{}, bad("the state has markup that is not an element, is nested deeper than 16, or has two roots")
	}
	f.seen = true
	f.names = append(f.names, name)
	f.path = append(f.path, local(name))
	n := node{path: f.where("")}
	for {
		f.rest = strings.TrimLeft(f.rest, " \t\r\n")
		if rest, ok := strings.CutPrefix(f.rest, ">"); ok {
			f.rest = rest
			return n, nil
		}
		if rest, ok := strings.CutPrefix(f.rest, "/>"); ok {
			f.rest, f.empty = rest, true
			return n, nil
		}
		a, err := f.attribute()
		if err != nil {
			return node{}, err
		}
		n.attrs = append(n.attrs, a)
	}
}

func (f *fragment) attribute() (attr, error) {
	name := f.name()
	f.rest = strings.TrimLeft(f.rest, " \t\r\n")
	value, ok := strings.CutPrefix(f.rest, "=")
	value = strings.TrimLeft(value, " \t\r\n")
	if name == "" || !ok || value == "" || value[0] != '"' && value[0] != '\'' {
		return attr{}, bad("the state has an attribute without a quoted value")
	}
	raw, rest, ok := strings.Cut(value[1:], value[:1])
	if !ok || strings.IndexByte(raw, '<') >= 0 {
		return attr{}, bad("the state has an attribute value that does not end")
	}
	f.rest = rest
	text, err := unescape(raw)
	return attr{local(name), text}, err
}

func (f *fragment) name() string {
	i := strings.IndexAny(f.rest, " \t\r\n/><=\"'&!?")
	if i < 0 {
		i = len(f.rest)
	}
	name := f.rest[:i]
	f.rest = f.rest[i:]
	return name
}

func (f *fragment) where(suffix string) string { return strings.Join(f.path, "/") + suffix }

// local cuts the prefix. A declaration of a namespace keeps its name so that
// xmlns:type is not taken for type.
func local(name string) string {
	if strings.HasPrefix(name, "xmlns:") {
		return name
	}
	return name[strings.IndexByte(name, ':')+1:]
}

var entities = [...]struct{ name, text string }{{"lt", "<"}, {"gt", ">"}, {"amp", "&"}, {"quot", `"`}, {"apos", "'"}}

func unescape(s string) (string, error) {
	if err := printable(s); err != nil {
		return "", err
	}
	if strings.IndexByte(s, '&') < 0 {
		return s, nil
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, "&")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, rest, found := strings.Cut(after, ";")
		text := entity(name)
		if !found || text == "" {
			return "", bad("the state has an entity that is not one of lt, gt, amp, quot, apos or a number")
		}
		b.WriteString(text)
		s = rest
	}
}

// entity returns the text of a reference, "" for one that is not allowed.
func entity(name string) string {
	for _, e := range entities {
		if e.name == name {
			return e.text
		}
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		return ""
	}
	return character(digits)
}

// character returns the character of a decimal or x-hexadecimal number, "" if XML
// has no such character.
func character(digits string) string {
	base := 10
	if rest, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = rest, 16
	}
	n, err := strconv.ParseUint(digits, base, 21)
	r := rune(n)
	if err != nil || !utf8.ValidRune(r) || r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
		return ""
	}
	return string(r)
}

// printable refuses what XML cannot carry.
func printable(s string) error {
	if !utf8.ValidString(s) {
		return bad("the state is not UTF-8")
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' && c != '\n' && c != '\r' {
			return bad("the state has a control character")
		}
	}
	return nil
}
