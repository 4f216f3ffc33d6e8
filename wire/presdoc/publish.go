package presdoc

import "trivet/wire/xmlpull"

// ExpireType says how long a publication lives, [MS-PRES] 2.2.2.
type ExpireType uint8

// The expire types.
const (
	Static        ExpireType = iota // for ever
	UserBound                       // until the last endpoint of the user goes
	EndpointBound                   // until its endpoint goes
	TimeBound                       // for Expires seconds
)

var expireTypes = [...]string{"static", "user", "endpoint", "time"}

// String is the word in documents.
func (t ExpireType) String() string {
	if int(t) < len(expireTypes) {
		return expireTypes[t]
	}
	return ""
}

// Publish is a request to publish, the body of a SERVICE of TypePublish.
type Publish struct {
	URI          string
	Publications []Publication
}

// Publication is one category instance in one container. Version is what the
// client believes to be current, 0 for a new one.
type Publication struct {
	Category   string
	Instance   uint32
	Container  uint32
	Version    uint32
	ExpireType ExpireType
	Expires    uint32 // seconds, of TimeBound
	Remove     bool   // expires="0"
	Body       string // the element inside, "" for none
}

// ParsePublish reads a publish document.
func ParsePublish(b []byte) (Publish, error) {
	var p Publish
	err := read("ParsePublish", b, "publish", func(s *xmlpull.Scanner) {
		for name := range s.Children() {
			if name != "publications" {
				continue
			}
			p.URI = s.Attr("uri")
			for name := range s.Children() {
				if name == "publication" && !full(s, len(p.Publications), MaxPublications, "publications") {
					p.Publications = append(p.Publications, readPublication(s))
				}
			}
		}
	})
	if err != nil {
		return Publish{}, err
	}
	return p, nil
}

func readPublication(s *xmlpull.Scanner) Publication {
	p := Publication{
		Category: s.Attr("categoryName"), Instance: s.Uint32("instance"), Container: s.Uint32("container"),
		Version: s.Uint32("version"), Expires: s.Uint32("expires"), ExpireType: readExpireType(s),
	}
	expires, given := s.Lookup("expires")
	p.Remove = given && expires != "" && p.Expires == 0
	switch {
	case p.Category == "" || len(p.Category) > 64:
		s.Fail("a publication needs a categoryName of at most 64 bytes")
	case p.ExpireType == TimeBound && p.Expires == 0 && !p.Remove:
		s.Fail("a publication with expireType time needs expires")
	}
	p.Body = readBody(s)
	return p
}

// readExpireType takes a missing type for static, or for time when expires is given.
func readExpireType(s *xmlpull.Scanner) ExpireType {
	v := s.Attr("expireType")
	for i, name := range expireTypes {
		if v == name {
			return ExpireType(i)
		}
	}
	if v != "" {
		s.Fail("expireType must be static, user, endpoint or time")
	}
	if s.Uint32("expires") > 0 {
		return TimeBound
	}
	return Static
}

// readBody returns the only element inside of the current one.
func readBody(s *xmlpull.Scanner) string {
	body := ""
	for range s.Children() {
		if body != "" {
			s.Fail("a category carries one element")
		}
		body = s.Raw()
	}
	return body
}

// Append writes the document.
func (p Publish) Append(b []byte) []byte {
	b = append(b, `<publish xmlns="`+nsPublish+`"><publications`...)
	b = append(xmlpull.AppendAttr(b, "uri", withScheme(p.URI)), '>')
	for i := range p.Publications {
		b = p.Publications[i].append(b)
	}
	return append(b, "</publications></publish>"...)
}

func (p *Publication) append(b []byte) []byte {
	b = xmlpull.AppendAttr(append(b, "<publication"...), "categoryName", p.Category)
	b = xmlpull.AppendUint(b, "instance", uint64(p.Instance))
	b = xmlpull.AppendUint(b, "container", uint64(p.Container))
	b = xmlpull.AppendUint(b, "version", uint64(p.Version))
	b = xmlpull.AppendAttr(b, "expireType", p.ExpireType.String())
	if p.Remove || p.ExpireType == TimeBound {
		b = xmlpull.AppendUint(b, "expires", uint64(p.Expires))
	}
	if p.Body == "" {
		return append(b, "/>"...)
	}
	return append(append(append(b, '>'), p.Body...), "</publication>"...)
}
