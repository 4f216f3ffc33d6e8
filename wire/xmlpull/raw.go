package xmlpull

import (
	"slices"
	"strings"
)

const xsi = "http://www.w3.org/2001/XMLSchema-instance"

// Raw returns the current element as it was written, with the declarations it
// inherits added to its start tag, and moves past its end. The prefix xsi is
// declared where the sender forgot it; other unknown prefixes are a mistake.
func (s *Scanner) Raw() string {
	if s.err != nil || len(s.open) == 0 {
		return ""
	}
	depth := len(s.open)
	outer := s.open[depth-1].scope // declarations before are inherited
	from := s.begin()
	var needs []binding
	for needs = s.inherit(needs, outer); s.err == nil && len(s.open) >= depth; {
		if t, _ := s.next(); t == start {
			needs = s.inherit(needs, outer)
		}
	}
	if s.err != nil {
		return ""
	}
	raw := s.src[from:s.pos]
	if len(needs) == 0 {
		return raw
	}
	cut := 1
	for nameByte[raw[cut]] {
		cut++
	}
	b := append(make([]byte, 0, len(raw)+96*len(needs)), raw[:cut]...)
	for _, n := range needs {
		name := "xmlns:" + n.prefix
		if n.prefix == "" {
			name = "xmlns"
		}
		b = AppendAttr(b, name, n.uri)
	}
	return string(append(b, raw[cut:]...))
}

// begin finds where the start tag just read begins. Values have no '<', so the
// last one before the position is it.
func (s *Scanner) begin() int { return strings.LastIndexByte(s.src[:s.pos], '<') }

// inherit adds to needs what the current element uses and only the first outer
// declarations or nobody declare.
func (s *Scanner) inherit(needs []binding, outer int) []binding {
	name := s.open[len(s.open)-1].name
	prefix, _, ok := strings.Cut(name, ":")
	if !ok {
		prefix = ""
	}
	needs = s.need(needs, outer, prefix)
	for _, a := range s.attrs {
		if a.prefix != "" && a.prefix != "xmlns" {
			needs = s.need(needs, outer, a.prefix)
		}
		if p, _, ok := strings.Cut(a.value, ":"); ok && a.prefix != "xmlns" && a.name == "type" && s.find(p) >= 0 {
			needs = s.need(needs, outer, p) // xsi:type="p:name"
		}
	}
	return needs
}

func (s *Scanner) need(needs []binding, outer int, prefix string) []binding {
	at := s.find(prefix)
	if at >= outer || prefix == "xml" || slices.ContainsFunc(needs, func(b binding) bool { return b.prefix == prefix }) {
		return needs
	}
	switch {
	case at >= 0 && s.scope[at].uri != "":
		return append(needs, s.scope[at])
	case at >= 0 || prefix == "":
		return needs
	case prefix == "xsi":
		return append(needs, binding{prefix, xsi})
	}
	s.Fail("the document uses the prefix " + prefix + " without declaring it")
	return needs
}

func (s *Scanner) find(prefix string) int {
	for i := len(s.scope) - 1; i >= 0; i-- {
		if s.scope[i].prefix == prefix {
			return i
		}
	}
	return -1
}
