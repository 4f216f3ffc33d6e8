package presdoc

import "trivet/wire/xmlpull"

// StaleOp is a publication or container of a request, counted from 1, whose version
// is not the current one, 0 for a thing that does not exist.
type StaleOp struct {
	Index      uint32
	CurVersion uint32
}

const wrongDelta = "Client.BadCall.WrongDelta"

// AppendWrongDelta writes the fault of TypeFault that goes with 409: every stale
// operation of the request.
func AppendWrongDelta(b []byte, ops []StaleOp) []byte {
	b = append(b, `<Fault xmlns="`+nsFault+`"><Faultcode>`+wrongDelta+`</Faultcode><details>`...)
	for _, o := range ops {
		b = xmlpull.AppendUint(append(b, "<operation"...), "index", uint64(o.Index))
		b = append(xmlpull.AppendUint(b, "curVersion", uint64(o.CurVersion)), "/>"...)
	}
	return append(b, "</details></Fault>"...)
}

// ParseWrongDelta reads such a fault; another code is a mistake.
func ParseWrongDelta(b []byte) ([]StaleOp, error) {
	var ops []StaleOp
	code := ""
	err := read("ParseWrongDelta", b, "Fault", func(s *xmlpull.Scanner) {
		for name := range s.Children() {
			switch name {
			case "Faultcode":
				code = s.Text()
			case "details":
				for name := range s.Children() {
					if name == "operation" && !full(s, len(ops), MaxPublications, "operations") {
						ops = append(ops, StaleOp{s.Uint32("index"), s.Uint32("curVersion")})
					}
				}
			}
		}
		if code != wrongDelta {
			s.Fail("the Faultcode must be " + wrongDelta)
		}
	})
	if err != nil {
		return nil, err
	}
	return ops, nil
}
