package presdoc

import (
	"bytes"
	"slices"
	"strings"

	"trivet/fault"
)

// Part is one body of a multipart/related. CID is without angle brackets.
type Part struct {
	Type string
	CID  string
	Body []byte
}

// Multipart is a multipart/related body, RFC 2387, the first part being its root.
type Multipart struct {
	boundary string
	parts    []Part
}

// NewMultipart joins parts, of which there must be one at least. The boundary, at
// most 60 letters and digits, should be hard to guess; it is made longer until no
// part contains it.
func NewMultipart(boundary string, parts []Part) Multipart {
	for i := 0; i < len(parts); i++ {
		if bytes.Contains(parts[i].Body, []byte(boundary)) {
			boundary += "0"
			i = -1
		}
	}
	return Multipart{boundary, parts}
}

// Type is the value of Content-Type. The type parameter is what clients recognize
// the document by.
func (m Multipart) Type() string {
	t := `multipart/related;type="` + m.parts[0].Type + `"`
	if m.parts[0].CID != "" {
		t += `;start="<` + m.parts[0].CID + `>"`
	}
	return t + `;boundary=` + m.boundary
}

// Append writes the body. Every part ends with one line break more than MIME asks
// for: the MIME reader of libpurple drops the last two bytes of a part.
func (m Multipart) Append(b []byte) []byte {
	b = slices.Grow(b, m.size())
	for _, p := range m.parts {
		b = append(append(append(b, "--"...), m.boundary...), "\r\nContent-Type: "...)
		b = append(append(b, p.Type...), "\r\nContent-Transfer-Encoding: binary\r\n"...)
		if p.CID != "" {
			b = append(append(append(b, "Content-ID: <"...), p.CID...), ">\r\n"...)
		}
		b = append(append(append(b, "\r\n"...), p.Body...), "\r\n\r\n"...)
	}
	return append(append(append(b, "--"...), m.boundary...), "--\r\n"...)
}

// size is how long the body is at most.
func (m Multipart) size() int {
	const lines = len("--\r\nContent-Type: \r\nContent-Transfer-Encoding: binary\r\nContent-ID: <>\r\n\r\n\r\n\r\n")
	n := len("----\r\n") + len(m.boundary)
	for _, p := range m.parts {
		n += lines + len(m.boundary) + len(p.Type) + len(p.CID) + len(p.Body)
	}
	return n
}

// ParseMultipart splits a multipart body by the boundary of its Content-Type. The
// line break before a boundary and empty lines before that are not part of a body.
func ParseMultipart(contentType string, body []byte) ([]Part, error) {
	const op = "presdoc.ParseMultipart"
	boundary := parameter(contentType, "boundary")
	if boundary == "" || len(boundary) > 256 {
		return nil, fault.New(fault.Invalid, op, "the Content-Type needs a boundary of at most 256 characters")
	}
	if len(body) > MaxDocument {
		return nil, fault.New(fault.Invalid, op, "the document is too large")
	}
	delimiter := []byte("\r\n--" + boundary)
	rest := append([]byte("\r\n"), body...)
	_, rest, ok := bytes.Cut(rest, delimiter)
	var parts []Part
	for ok && !bytes.HasPrefix(rest, []byte("--")) {
		var raw []byte
		if raw, rest, ok = bytes.Cut(rest, delimiter); !ok {
			break
		}
		p, err := parsePart(raw)
		if err != nil {
			return nil, err
		}
		if parts = append(parts, p); len(parts) > MaxResources+1 {
			return nil, fault.New(fault.Invalid, op, "the document has too many parts")
		}
	}
	if !ok || len(parts) == 0 {
		return nil, fault.New(fault.Invalid, op, "the multipart body has no parts or does not end with its boundary")
	}
	return parts, nil
}

// parsePart reads what is between two boundaries, from the end of the first line.
func parsePart(raw []byte) (Part, error) {
	var p Part
	pad, after, _ := bytes.Cut(raw, []byte("\r\n"))
	if len(bytes.Trim(pad, " \t")) > 0 {
		return p, fault.New(fault.Invalid, "presdoc.ParseMultipart", "a boundary line of the multipart body has more than the boundary")
	}
	head, body, ok := bytes.Cut(append([]byte("\r\n"), after...), []byte("\r\n\r\n"))
	if !ok {
		return p, fault.New(fault.Invalid, "presdoc.ParseMultipart", "a part of the multipart body has no empty line after its header")
	}
	for line := range strings.SplitSeq(string(head), "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case strings.EqualFold(name, "Content-Type"):
			p.Type = value
		case strings.EqualFold(name, "Content-ID"):
			p.CID = strings.Trim(value, "<>")
		}
	}
	p.Body = bytes.TrimRight(body, "\r\n")
	return p, nil
}

// parameter finds a parameter of a header value, unquoted.
func parameter(value, name string) string {
	for _, rest, ok := strings.Cut(value, ";"); ok; {
		var key, v string
		key, rest, ok = strings.Cut(strings.TrimLeft(rest, " \t"), "=")
		if !ok {
			return ""
		}
		if v, rest = parameterValue(rest); strings.EqualFold(strings.TrimSpace(key), name) {
			return v
		}
		_, rest, ok = strings.Cut(rest, ";")
	}
	return ""
}

func parameterValue(s string) (value, rest string) {
	if s = strings.TrimLeft(s, " \t"); strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s[1:], `"`)
		return value, rest
	}
	if i := strings.IndexByte(s, ';'); i >= 0 {
		return strings.TrimSpace(s[:i]), s[i:]
	}
	return strings.TrimSpace(s), ""
}
