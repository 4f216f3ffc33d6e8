package presdoc

import "trivet/wire/xmlpull"

// BatchSub is a subscription to the presence of many, a body of TypeBatchSub. URI
// is the watcher.
type BatchSub struct {
	URI     string
	Actions []BatchAction
}

// BatchAction subscribes to, or unsubscribes from, resources. Categories apply to
// every resource of the action.
type BatchAction struct {
	ID          string
	Unsubscribe bool
	Resources   []BatchResource
	Categories  []string
}

// BatchResource is a person to watch. Added marks one who was just put on the
// contact list.
type BatchResource struct {
	URI   string
	Added bool
}

// ParseBatchSub reads the body of a presence subscription: a batchSub with one or
// more resources, or a bare categoryList, which gives one action without
// resources: the person subscribed to is then that of the request.
func ParseBatchSub(b []byte) (BatchSub, error) {
	const op = "ParseBatchSub"
	var sub BatchSub
	s := xmlpull.New(b, MaxDocument)
	switch s.RootName() {
	case "batchSub":
		sub.read(s)
	case "categoryList":
		sub.Actions = []BatchAction{{Categories: readNames(s, "category")}}
	default:
		s.Fail("the root element must be batchSub or categoryList")
	}
	if err := wrap(op, s); err != nil {
		return BatchSub{}, err
	}
	return sub, nil
}

func (sub *BatchSub) read(s *xmlpull.Scanner) {
	sub.URI = s.Attr("uri")
	resources := 0
	for name := range s.Children() {
		if name != "action" || full(s, len(sub.Actions), MaxNames, "actions") {
			continue
		}
		a := BatchAction{ID: s.Attr("id")}
		switch s.Attr("name") {
		case "subscribe":
		case "unsubscribe":
			a.Unsubscribe = true
		default:
			s.Fail("the name of an action must be subscribe or unsubscribe")
		}
		for name := range s.Children() {
			switch name {
			case "adhocList":
				a.Resources = readResources(s, a.Resources, &resources)
			case "categoryList":
				a.Categories = readNames(s, "category")
			}
		}
		sub.Actions = append(sub.Actions, a)
	}
}

func readResources(s *xmlpull.Scanner, list []BatchResource, total *int) []BatchResource {
	for name := range s.Children() {
		if name != "resource" || full(s, *total, MaxResources, "resources") {
			continue
		}
		r := BatchResource{URI: s.Attr("uri")}
		if r.URI == "" {
			s.Fail("a resource needs a uri")
		}
		for name := range s.Children() {
			r.Added = r.Added || name == "context"
		}
		list = append(list, r)
		*total++
	}
	return list
}

// readNames collects the name attributes of the children of one kind.
func readNames(s *xmlpull.Scanner, kind string) []string {
	var list []string
	for name := range s.Children() {
		if name != kind || full(s, len(list), MaxNames, kind+" elements") {
			continue
		}
		v := s.Attr("name")
		if v == "" || len(v) > 64 {
			s.Fail("a " + kind + " needs a name of at most 64 bytes")
		}
		list = append(list, v)
	}
	return list
}

// Append writes the document.
func (sub BatchSub) Append(b []byte) []byte {
	b = xmlpull.AppendAttr(append(b, `<batchSub xmlns="`+nsBatch+`"`...), "uri", withScheme(sub.URI))
	b = append(b, ` name="">`...)
	for _, a := range sub.Actions {
		b = a.append(b)
	}
	return append(b, "</batchSub>"...)
}

func (a BatchAction) append(b []byte) []byte {
	name := "subscribe"
	if a.Unsubscribe {
		name = "unsubscribe"
	}
	b = xmlpull.AppendAttr(append(b, "<action"...), "name", name)
	b = append(xmlpull.AppendAttr(b, "id", a.ID), "><adhocList>"...)
	for _, r := range a.Resources {
		b = xmlpull.AppendAttr(append(b, "<resource"...), "uri", withScheme(r.URI))
		if r.Added {
			b = append(b, "><context/></resource>"...)
		} else {
			b = append(b, "/>"...)
		}
	}
	b = append(b, "</adhocList>"...)
	if len(a.Categories) > 0 {
		b = AppendCategoryList(b, a.Categories)
	}
	return append(b, "</action>"...)
}

// AppendCategoryList writes a categoryList.
func AppendCategoryList(b []byte, names []string) []byte {
	b = append(b, `<categoryList xmlns="`+nsCategoryList+`">`...)
	for _, name := range names {
		b = append(xmlpull.AppendAttr(append(b, "<category"...), "name", name), "/>"...)
	}
	return append(b, "</categoryList>"...)
}
