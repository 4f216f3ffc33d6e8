package presdoc

import "trivet/wire/xmlpull"

// ProvisionGroup is a set of in-band settings: elements in Entries, and a list of
// named properties in Properties.
type ProvisionGroup struct {
	Name       string
	Entries    []Setting
	Properties []Setting
}

// Setting is a name, which must be that of an XML element in Entries, and a value.
type Setting struct{ Name, Value string }

// ParseProvisioningRequest reads a provisioningGroupList: the names of the groups
// that the client wants.
func ParseProvisioningRequest(b []byte) ([]string, error) {
	var names []string
	err := read("ParseProvisioningRequest", b, "provisioningGroupList", func(s *xmlpull.Scanner) { names = readNames(s, "provisioningGroup") })
	if err != nil {
		return nil, err
	}
	return names, nil
}

// AppendProvisioningRequest writes a provisioningGroupList.
func AppendProvisioningRequest(b []byte, names []string) []byte {
	b = append(b, `<provisioningGroupList xmlns="`+nsGroupList+`">`...)
	for _, name := range names {
		b = append(xmlpull.AppendAttr(append(b, "<provisioningGroup"...), "name", name), "/>"...)
	}
	return append(b, "</provisioningGroupList>"...)
}

// AppendProvisioning writes the answer, a provisionGroupList of TypeProvisioning.
func AppendProvisioning(b []byte, groups []ProvisionGroup) []byte {
	b = append(b, `<provisionGroupList xmlns="`+nsProvision+`">`...)
	for _, g := range groups {
		b = append(xmlpull.AppendAttr(append(b, "<provisionGroup"...), "name", g.Name), '>')
		for _, e := range g.Entries {
			b = xmlpull.AppendElement(b, e.Name, e.Value)
		}
		b = appendProperties(b, g.Properties)
		b = append(b, "</provisionGroup>"...)
	}
	return append(b, "</provisionGroupList>"...)
}

func appendProperties(b []byte, list []Setting) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(b, "<propertyEntryList>"...)
	for _, p := range list {
		b = append(xmlpull.AppendAttr(append(b, "<property"...), "name", p.Name), '>')
		b = append(xmlpull.Escape(b, p.Value), "</property>"...)
	}
	return append(b, "</propertyEntryList>"...)
}

// ParseProvisioning reads the answer.
func ParseProvisioning(b []byte) ([]ProvisionGroup, error) {
	var groups []ProvisionGroup
	err := read("ParseProvisioning", b, "provisionGroupList", func(s *xmlpull.Scanner) {
		for name := range s.Children() {
			if name == "provisionGroup" && !full(s, len(groups), MaxNames, "groups") {
				groups = append(groups, readProvisionGroup(s))
			}
		}
	})
	if err != nil {
		return nil, err
	}
	return groups, nil
}

func readProvisionGroup(s *xmlpull.Scanner) ProvisionGroup {
	g := ProvisionGroup{Name: s.Attr("name")}
	for name := range s.Children() {
		switch {
		case full(s, len(g.Entries)+len(g.Properties), 512, "settings"):
		case name != "propertyEntryList":
			g.Entries = append(g.Entries, Setting{name, s.Text()})
		default:
			for range s.Children() {
				if !full(s, len(g.Properties), 512, "settings") {
					g.Properties = append(g.Properties, Setting{s.Attr("name"), s.Text()})
				}
			}
		}
	}
	return g
}
