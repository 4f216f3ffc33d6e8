package presdoc

import "trivet/wire/xmlpull"

// List is a resource list, RFC 4662, a body of TypeRLMI: which persons a
// notification tells about.
type List struct {
	URI       string
	Version   uint32
	Full      bool
	Resources []Resource
}

// Resource is one person of a List. State is written always, "active" for "":
// clients crash without. "resubscribe" makes the client subscribe to that person
// alone. CID names the part with the document, "" for none.
type Resource struct {
	URI   string
	State string
	CID   string
}

// Append writes the document.
func (l List) Append(b []byte) []byte {
	b = xmlpull.AppendAttr(append(b, `<list xmlns="`+nsRLMI+`"`...), "uri", withScheme(l.URI))
	b = xmlpull.AppendUint(b, "version", uint64(l.Version))
	b = append(appendBool(b, "fullState", l.Full), '>')
	for _, r := range l.Resources {
		state := r.State
		if state == "" {
			state = "active"
		}
		b = append(xmlpull.AppendAttr(append(b, "<resource"...), "uri", withScheme(r.URI)), `><instance id="1"`...)
		b = xmlpull.AppendAttr(b, "state", state)
		if r.CID != "" {
			b = xmlpull.AppendAttr(b, "cid", r.CID)
		}
		b = append(b, "/></resource>"...)
	}
	return append(b, "</list>"...)
}

// ParseList reads a resource list; of several instances of a resource the last counts.
func ParseList(b []byte) (List, error) {
	var l List
	err := read("ParseList", b, "list", func(s *xmlpull.Scanner) {
		l = List{URI: s.Attr("uri"), Version: s.Uint32("version"), Full: s.Bool("fullState")}
		for name := range s.Children() {
			if name != "resource" || full(s, len(l.Resources), MaxResources, "resources") {
				continue
			}
			r := Resource{URI: s.Attr("uri")}
			for name := range s.Children() {
				if name == "instance" {
					r.State, r.CID = s.Attr("state"), s.Attr("cid")
				}
			}
			l.Resources = append(l.Resources, r)
		}
	})
	if err != nil {
		return List{}, err
	}
	return l, nil
}
