package presence

import (
	"slices"

	"trivet/rule/access"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/presdoc"
	"trivet/wire/xmlpull"
)

const typeSelf = presdoc.TypeRoamingSelf

// roamingParts are all parts of the document of a user's own presence.
var roamingParts = []string{"categories", "containers", "subscribers"}

// roaming prints the wanted parts of a user's own presence. The user is nil when
// nothing is known of it yet. Containers are always there: clients wait for them.
func (s *Service) roaming(user uc.UserURI, u *groupstate.User, parts []string) []byte {
	if u == nil {
		u = new(groupstate.User)
	}
	doc := presdoc.Roaming{Containers: containers(u.Containers())}
	if slices.Contains(parts, "categories") {
		list := append(ownCategories(u.Publications(), s.cfg.Clock.Now().UnixMilli()), s.userProperties(user)...)
		doc.Categories = &presdoc.Categories{URI: string(user), List: list}
	}
	if slices.Contains(parts, "subscribers") {
		doc.Subscribers = subscribers(u.Subscribers())
	}
	return doc.Append(nil)
}

// roamingChange prints what changed for the user's own endpoints, with what was
// published or without. It is empty, not nil, when there is nothing to tell.
func (s *Service) roamingChange(c *change, published bool) []byte {
	var doc presdoc.Roaming
	var names []string
	if published {
		names = c.names()
	}
	if c.card && !slices.Contains(names, "userProperties") {
		names = append(names, "userProperties")
	}
	if len(names) > 0 {
		doc.Categories = &presdoc.Categories{URI: string(c.user), Names: names}
		if c.view != nil {
			doc.Categories.List = ownCategories(c.view.Publications(names...), s.cfg.Clock.Now().UnixMilli())
		}
		if slices.Contains(names, "userProperties") {
			doc.Categories.List = append(doc.Categories.List, s.userProperties(c.user)...)
		}
	}
	if c.containers != nil {
		doc.Containers = containers(c.containers)
	}
	if c.subscribers != nil {
		doc.Subscribers = subscribers(c.subscribers)
	}
	if doc.Categories == nil && doc.Containers == nil && doc.Subscribers == nil {
		return []byte{}
	}
	return doc.Append(nil)
}

// userProperties tells the user's own telephone line, from the directory.
func (s *Service) userProperties(user uc.UserURI) []presdoc.Category {
	card, ok := s.cfg.Directory.Person(user)
	if !ok {
		return nil
	}
	b := []byte("<userProperties><lines>")
	if card.LineURI != "" {
		b = append(b, `<line lineType="Uc">`...)
		b = append(xmlpull.Escape(b, card.LineURI), "</line>"...)
	}
	b = append(b, "</lines></userProperties>"...)
	return []presdoc.Category{{Name: "userProperties", Container: access.Self, Version: 1, Body: string(b)}}
}

func ownCategories(list []groupstate.Publication, now int64) []presdoc.Category {
	out := make([]presdoc.Category, len(list))
	for i := range list {
		out[i] = category(&list[i])
		out[i].ExpireType = presdoc.ExpireType(list[i].ExpireType) // the same numbers
		if list[i].ExpireType == groupstate.TimeBound {
			out[i].Expires = uint32(max(list[i].Expires-now, 0) / 1000)
		}
	}
	return out
}

func containers(list []groupstate.Container) []presdoc.Container {
	out := make([]presdoc.Container, 0, len(list))
	for _, c := range list {
		k := presdoc.Container{ID: c.ID, Version: c.Version}
		for _, m := range c.Members {
			k.Members = append(k.Members, presdoc.Member{Type: m.Type.String(), Value: m.Value})
		}
		out = append(out, k)
	}
	return out
}

func subscribers(list []groupstate.Subscriber) []presdoc.Subscriber {
	out := make([]presdoc.Subscriber, 0, len(list))
	for _, x := range list {
		out = append(out, presdoc.Subscriber{User: x.User.Bare(), DisplayName: x.DisplayName, Acknowledged: x.Acknowledged, Type: x.Type.String()})
	}
	return out
}
