package presdoc

import "trivet/wire/xmlpull"

// Roaming is a user's own presence as the endpoints learn it, a body of
// TypeRoamingSelf. A part that is nil is left out, which leaves the client's
// knowledge alone.
//
// A client that finds a category in the document forgets all instances of it that
// are not there. So Categories must have every publication, in all containers, of
// each category it mentions; a name in Names without any is written as "nothing
// left".
type Roaming struct {
	Categories  *Categories
	Containers  []Container // with all members; not nil in the first document
	Subscribers []Subscriber
}

// Subscriber is somebody who watches the user. User is without "sip:". With
// Acknowledged false the user is asked whether to add that contact.
type Subscriber struct {
	User         string
	DisplayName  string
	Acknowledged bool
	Type         string // sameEnterprise, federated or publicCloud
}

// Append writes the document.
func (r Roaming) Append(b []byte) []byte {
	b = append(b, `<roamingData xmlns="`+nsRoaming+`">`...)
	if r.Categories != nil {
		b = r.Categories.append(b, true)
	}
	if r.Containers != nil {
		b = append(b, `<containers xmlns="`+nsContainers+`">`...)
		b = append(appendContainers(b, r.Containers, false), "</containers>"...)
	}
	if r.Subscribers != nil {
		b = append(b, `<subscribers xmlns="`+nsSubscribers+`">`...)
		b = append(appendSubscribers(b, r.Subscribers), "</subscribers>"...)
	}
	return append(b, "</roamingData>"...)
}

// ParseRoaming reads a roamingData document.
func ParseRoaming(b []byte) (Roaming, error) {
	var r Roaming
	err := read("ParseRoaming", b, "roamingData", func(s *xmlpull.Scanner) {
		for name := range s.Children() {
			switch name {
			case "categories":
				c := readCategories(s, true)
				r.Categories = &c
			case "containers":
				r.Containers = readContainers(s, false)
			case "subscribers":
				r.Subscribers = readSubscribers(s)
			}
		}
	})
	if err != nil {
		return Roaming{}, err
	}
	return r, nil
}

// ParseRoamingRequest reads the roamingList of a subscription to the own presence:
// which of categories, containers and subscribers are wanted. An empty body
// wants all.
func ParseRoamingRequest(b []byte) ([]string, error) {
	var list []string
	if len(b) == 0 {
		return []string{"categories", "containers", "subscribers"}, nil
	}
	err := read("ParseRoamingRequest", b, "roamingList", func(s *xmlpull.Scanner) {
		for name := range s.Children() {
			if want := s.Attr("type"); name == "roaming" && !full(s, len(list), MaxNames, "roaming elements") {
				list = append(list, want)
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// AppendRoamingRequest writes a roamingList.
func AppendRoamingRequest(b []byte, parts []string) []byte {
	b = append(b, `<roamingList xmlns="`+nsRoaming+`">`...)
	for _, part := range parts {
		b = append(xmlpull.AppendAttr(append(b, "<roaming"...), "type", part), "/>"...)
	}
	return append(b, "</roamingList>"...)
}

// ParseSetSubscribers reads a setSubscribers document, TypeSetSubscriber: User and
// Acknowledged count.
func ParseSetSubscribers(b []byte) ([]Subscriber, error) {
	var list []Subscriber
	err := read("ParseSetSubscribers", b, "setSubscribers", func(s *xmlpull.Scanner) { list = readSubscribers(s) })
	if err != nil {
		return nil, err
	}
	return list, nil
}

// AppendSetSubscribers writes a setSubscribers document.
func AppendSetSubscribers(b []byte, list []Subscriber) []byte {
	b = append(b, `<setSubscribers xmlns="`+nsSubscribers+`">`...)
	return append(appendSubscribers(b, list), "</setSubscribers>"...)
}

func readSubscribers(s *xmlpull.Scanner) []Subscriber {
	list := []Subscriber{}
	for name := range s.Children() {
		if name != "subscriber" || full(s, len(list), MaxResources, "subscribers") {
			continue
		}
		x := Subscriber{User: bare(s.Attr("user")), DisplayName: s.Attr("displayName"), Acknowledged: s.Bool("acknowledged"), Type: s.Attr("type")}
		if x.User == "" {
			s.Fail("a subscriber needs a user")
		}
		list = append(list, x)
	}
	return list
}

func appendSubscribers(b []byte, list []Subscriber) []byte {
	for _, x := range list {
		b = xmlpull.AppendAttr(append(b, "<subscriber"...), "user", bare(x.User))
		if x.DisplayName != "" {
			b = xmlpull.AppendAttr(b, "displayName", x.DisplayName)
		}
		b = appendBool(b, "acknowledged", x.Acknowledged)
		if x.Type != "" {
			b = xmlpull.AppendAttr(b, "type", x.Type)
		}
		b = append(b, "/>"...)
	}
	return b
}
