package presdoc

import "trivet/wire/xmlpull"

// Container is an access level. In a change Version is what the client believes
// to be current and each member says whether it is added or removed.
type Container struct {
	ID      uint32
	Version uint32
	Members []Member
}

// Member is one entry: user, domain, sameEnterprise, federated, publicCloud or
// everyone. Value is an address without "sip:" or a domain, else "".
type Member struct {
	Remove bool // of a change
	Type   string
	Value  string
}

// ParseSetContainers reads a setContainerMembers document, TypeSetContainers.
func ParseSetContainers(b []byte) ([]Container, error) {
	var list []Container
	err := read("ParseSetContainers", b, "setContainerMembers", func(s *xmlpull.Scanner) { list = readContainers(s, true) })
	if err != nil {
		return nil, err
	}
	return list, nil
}

// AppendSetContainers writes a setContainerMembers document.
func AppendSetContainers(b []byte, list []Container) []byte {
	b = append(b, `<setContainerMembers xmlns="`+nsContainers+`">`...)
	return append(appendContainers(b, list, true), "</setContainerMembers>"...)
}

func readContainers(s *xmlpull.Scanner, change bool) []Container {
	list, members := []Container{}, 0
	for name := range s.Children() {
		if name != "container" || full(s, len(list), MaxContainers, "containers") {
			continue
		}
		if _, ok := s.Lookup("id"); !ok {
			s.Fail("a container needs an id")
		}
		c := Container{ID: s.Uint32("id"), Version: s.Uint32("version")}
		for name := range s.Children() {
			if name == "member" && !full(s, members, MaxMembers, "members") {
				c.Members = append(c.Members, readMember(s, change))
				members++
			}
		}
		list = append(list, c)
	}
	return list
}

func readMember(s *xmlpull.Scanner, change bool) Member {
	m := Member{Type: s.Attr("type"), Value: s.Attr("value")}
	if m.Type == "" {
		s.Fail("a member needs a type")
	}
	if m.Type == "user" {
		m.Value = bare(m.Value)
	}
	if !change {
		return m
	}
	switch s.Attr("action") {
	case "add":
	case "remove":
		m.Remove = true
	default:
		s.Fail("the action of a member must be add or remove")
	}
	return m
}

func appendContainers(b []byte, list []Container, change bool) []byte {
	for i := range list {
		b = xmlpull.AppendUint(append(b, "<container"...), "id", uint64(list[i].ID))
		b = xmlpull.AppendUint(b, "version", uint64(list[i].Version))
		if len(list[i].Members) == 0 {
			b = append(b, "/>"...)
			continue
		}
		b = append(b, '>')
		for _, m := range list[i].Members {
			b = m.append(b, change)
		}
		b = append(b, "</container>"...)
	}
	return b
}

func (m Member) append(b []byte, change bool) []byte {
	b = append(b, "<member"...)
	if change && m.Remove {
		b = xmlpull.AppendAttr(b, "action", "remove")
	} else if change {
		b = xmlpull.AppendAttr(b, "action", "add")
	}
	b = xmlpull.AppendAttr(b, "type", m.Type)
	if m.Type == "user" {
		b = xmlpull.AppendAttr(b, "value", bare(m.Value))
	} else if m.Value != "" {
		b = xmlpull.AppendAttr(b, "value", m.Value)
	}
	return append(b, "/>"...)
}
