package soap

import (
	"trivet/fault"
	"trivet/wire/xmlpull"
)

// BookEntry is somebody in the answer to a SearchAbEntry.
type BookEntry []BookAttribute

// BookAttribute is a property of an entry. Numbers of telephones are written as a
// list even when there is one (Many); of the others there is one value.
type BookAttribute struct {
	Name   string
	Values []string
	Many   bool
}

// maxAnswer bounds the answers read, in bytes.
const maxAnswer = 4 << 20

// Get returns the first value of an attribute, "" if it has none.
func (e BookEntry) Get(name string) string {
	for _, a := range e {
		if a.Name == name && len(a.Values) > 0 {
			return a.Values[0]
		}
	}
	return ""
}

// AppendBookAnswer writes the envelope of the answer.
func AppendBookAnswer(b []byte, entries []BookEntry) []byte {
	b = append(b, envelopeOpen+`<SearchAbEntryResponse xmlns="`+nsDLX+`"><SearchAbEntryResult><Items>`...)
	for _, e := range entries {
		b = append(b, `<AbEntry><Attributes>`...)
		for _, a := range e {
			b = a.append(b)
		}
		b = append(b, `</Attributes></AbEntry>`...)
	}
	return append(b, `</Items></SearchAbEntryResult></SearchAbEntryResponse>`+envelopeClose...)
}

func (a BookAttribute) append(b []byte) []byte {
	b = append(b, `<Attribute><Name>`...)
	b = appendText(b, a.Name)
	b = append(b, `</Name>`...)
	if a.Many {
		b = append(b, `<Values>`...)
		for _, v := range a.Values {
			b = append(b, `<string>`...)
			b = appendText(b, v)
			b = append(b, `</string>`...)
		}
		return append(b, `</Values></Attribute>`...)
	}
	b = append(b, `<Value>`...)
	if len(a.Values) > 0 {
		b = appendText(b, a.Values[0])
	}
	return append(b, `</Value></Attribute>`...)
}

// ParseBookAnswer reads the envelope of the answer, as a client does. A fault is
// returned as an error with its reason.
func ParseBookAnswer(doc []byte) ([]BookEntry, error) {
	const op = "soap.ParseBookAnswer"
	var entries []BookEntry
	s := xmlpull.New(doc, maxAnswer)
	seen := false
	walk(s, []string{"SearchAbEntryResponse", "SearchAbEntryResult", "Items"}, func(string) {
		seen = true
		for name := range s.Children() {
			if name != "AbEntry" {
				continue
			}
			e := BookEntry{}
			for range s.Children() {
				for name := range s.Children() {
					if name == "Attribute" {
						e = append(e, readAttribute(s))
					}
				}
			}
			entries = append(entries, e)
		}
	})
	if err := s.Finish(); err != nil {
		return nil, fault.Wrap(op, err)
	}
	if !seen {
		return nil, fault.New(fault.Invalid, op, "the answer has no SearchAbEntryResult with Items")
	}
	return entries, nil
}

// walk calls f on the element below the body of an envelope to which path leads.
func walk(s *xmlpull.Scanner, path []string, f func(name string)) {
	if !s.Root("Envelope") {
		return
	}
	path = append([]string{"Body"}, path...)
	var down func(depth int)
	down = func(depth int) {
		for name := range s.Children() {
			switch {
			case name != path[depth]:
			case depth == len(path)-1:
				f(name)
			default:
				down(depth + 1)
			}
		}
	}
	down(0)
}

func readAttribute(s *xmlpull.Scanner) BookAttribute {
	var a BookAttribute
	for name := range s.Children() {
		switch name {
		case "Name":
			a.Name = s.Text()
		case "Value":
			a.Values = append(a.Values, s.Text())
		case "Values":
			a.Many = true
			for range s.Children() {
				a.Values = append(a.Values, s.Text())
			}
		}
	}
	return a
}
