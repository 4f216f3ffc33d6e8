package xmlpull

import "strings"

const space = " \t\r\n"

// next reads one token. At end the element it closed is no longer open.
func (s *Scanner) next() (token, string) {
	if s.empty {
		s.empty = false
		return s.pop()
	}
	for s.err == nil {
		rest := s.src[s.pos:]
		switch {
		case rest == "":
			if !s.done {
				s.Fail("the document is cut off")
			}
			return end, ""
		case rest[0] != '<':
			if v, ok := s.text(rest); ok {
				return text, v
			}
		case strings.HasPrefix(rest, "<!--"):
			s.comment(rest)
		case strings.HasPrefix(rest, "<![CDATA["):
			return text, s.cdata(rest)
		case strings.HasPrefix(rest, "<?"):
			s.instruction(rest)
		case strings.HasPrefix(rest, "</"):
			return s.close(rest)
		default:
			return s.start(), ""
		}
	}
	return end, ""
}

func (s *Scanner) pop() (token, string) {
	top := s.open[len(s.open)-1]
	s.open, s.scope = s.open[:len(s.open)-1], s.scope[:top.scope]
	s.attrs = s.attrs[:0]
	s.done = len(s.open) == 0
	return end, ""
}

// text reads up to the next markup; ok is false for nothing but space outside of
// the root.
func (s *Scanner) text(rest string) (string, bool) {
	raw, _, _ := strings.Cut(rest, "<")
	s.pos += len(raw)
	if len(s.open) == 0 {
		if strings.Trim(raw, space) != "" {
			s.Fail("the document has text outside of its root")
		}
		return "", false
	}
	if strings.Contains(raw, "]]>") {
		s.Fail("the document has ]]> outside of a CDATA section")
	}
	return s.unescape(raw), true
}

func (s *Scanner) comment(rest string) {
	in, _, ok := strings.Cut(rest[4:], "--")
	if !ok || !strings.HasPrefix(rest[4+len(in):], "-->") {
		s.Fail("the document has a comment that does not end or has -- inside")
		return
	}
	s.pos += 4 + len(in) + 3
}

func (s *Scanner) cdata(rest string) string {
	in, _, ok := strings.Cut(rest[9:], "]]>")
	if !ok || len(s.open) == 0 {
		s.Fail("the document has a CDATA section that does not end or is outside of the root")
		return ""
	}
	s.pos += 9 + len(in) + 3
	return in
}

func (s *Scanner) instruction(rest string) {
	in, _, ok := strings.Cut(rest, "?>")
	if !ok || len(s.open) > 0 {
		s.Fail("the document has an instruction that does not end or is inside of the root")
		return
	}
	if encoding, found := declared(in); found && !strings.EqualFold(encoding, "utf-8") && !strings.EqualFold(encoding, "us-ascii") {
		s.Fail("the document must be encoded in UTF-8")
	}
	s.pos += len(in) + 2
}

// declared returns the encoding of an XML declaration.
func declared(in string) (string, bool) {
	_, after, found := strings.Cut(in, "encoding")
	after = strings.TrimLeft(after, space+"=")
	if !found || !strings.HasPrefix(in, "<?xml") || after == "" {
		return "", false
	}
	value, _, ok := strings.Cut(after[1:], after[:1])
	return value, ok
}

func (s *Scanner) close(rest string) (token, string) {
	name, _, ok := strings.Cut(rest[2:], ">")
	if !ok || len(s.open) == 0 || strings.TrimRight(name, space) != s.open[len(s.open)-1].name {
		s.Fail("the document has an end tag that is cut off or does not match its start tag")
		return end, ""
	}
	s.pos += len(name) + 3
	return s.pop()
}

// start reads a start tag.
func (s *Scanner) start() token {
	s.pos++
	name := s.name()
	if s.err != nil {
		return end
	}
	if len(s.open) >= MaxDepth || s.done {
		s.Fail("the document has a second root or is nested deeper than 32 elements")
		return end
	}
	s.open = append(s.open, element{name, len(s.scope)})
	s.attrs = s.attrs[:0]
	for s.err == nil {
		gap := s.blank()
		rest := s.src[s.pos:]
		switch {
		case strings.HasPrefix(rest, ">"):
			s.pos++
			return start
		case strings.HasPrefix(rest, "/>"):
			s.pos += 2
			s.empty = true
			return start
		case !gap:
			s.Fail("the document has a start tag that is cut off or whose attributes are not separated")
		default:
			s.attribute()
		}
	}
	return end
}

func (s *Scanner) attribute() {
	full := s.name()
	s.blank()
	if s.err != nil || !strings.HasPrefix(s.src[s.pos:], "=") {
		s.Fail("the document has an attribute without a value")
		return
	}
	s.pos++
	s.blank()
	rest := s.src[s.pos:]
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		s.Fail("the document has an attribute whose value is not quoted")
		return
	}
	raw, _, ok := strings.Cut(rest[1:], rest[:1])
	if !ok || strings.IndexByte(raw, '<') >= 0 || len(s.attrs) >= MaxAttrs {
		s.Fail("the document has an attribute value that does not end, or more than 64 attributes on an element")
		return
	}
	s.pos += len(raw) + 2
	prefix, name, ok := strings.Cut(full, ":")
	if !ok {
		prefix, name = "", full
	}
	s.add(attribute{prefix, name, s.unescape(raw)})
}

// add stores an attribute and what it declares.
func (s *Scanner) add(a attribute) {
	for _, b := range s.attrs {
		if b.prefix == a.prefix && b.name == a.name {
			s.Fail("the document has an element with the attribute " + a.name + " twice")
			return
		}
	}
	switch {
	case a.prefix == "xmlns" && a.value == "":
		s.Fail("the document declares the prefix " + a.name + " as nothing")
	case a.prefix == "xmlns":
		s.scope = append(s.scope, binding{a.name, a.value})
	case a.prefix == "" && a.name == "xmlns":
		s.scope = append(s.scope, binding{"", a.value})
		a.prefix = "xmlns" // so that Lookup passes it over
	}
	s.attrs = append(s.attrs, a)
}

func (s *Scanner) blank() bool {
	trimmed := strings.TrimLeft(s.src[s.pos:], space)
	gap := len(trimmed) < len(s.src)-s.pos
	s.pos = len(s.src) - len(trimmed)
	return gap
}

// name reads a name with at most one prefix.
func (s *Scanner) name() string {
	i, colons := s.pos, 0
	for i < len(s.src) && nameByte[s.src[i]] {
		if s.src[i] == ':' {
			colons++
		}
		i++
	}
	name := s.src[s.pos:i]
	if name == "" || colons > 1 || name[0] == ':' || name[len(name)-1] == ':' || !nameStart(name[0]) || !nameStart(local(name)[0]) {
		s.Fail("the document has markup that is neither an element nor an attribute nor a comment")
		return ""
	}
	s.pos = i
	return name
}

func nameStart(c byte) bool { return nameByte[c] && c != '-' && c != '.' && (c < '0' || c > '9') }

// nameByte has the bytes of names; of characters beyond ASCII all.
var nameByte = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 0x80 || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == ':'
	}
	return t
}()
