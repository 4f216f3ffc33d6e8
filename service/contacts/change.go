package contacts

import (
	"context"
	"strings"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/sipnotify"
	"trivet/rule/groupstate"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

const opChange = "contacts.change"

// operations are the contact operations by the name of their element.
var operations = map[string]func(s *Service, r *sipmux.Request, o *presdoc.ContactOp) groupstate.Command{
	"setContact": func(s *Service, r *sipmux.Request, o *presdoc.ContactOp) groupstate.Command {
		return &groupstate.SetContact{User: r.User, By: r.Endpoint, Now: r.Now.UnixMilli(), Delta: o.DeltaNum,
			Max:     uint32(min(max(s.cfg.Limits.MaxContacts(r.User), 0), groupstate.MaxContacts)),
			Contact: groupstate.Contact{URI: o.URI, Name: alias(o), Groups: set(o.Groups), Subscribed: o.Subscribed, ExternalURI: o.ExternalURI}}
	},
	"deleteContact": func(_ *Service, r *sipmux.Request, o *presdoc.ContactOp) groupstate.Command {
		return &groupstate.DeleteContact{User: r.User, By: r.Endpoint, Now: r.Now.UnixMilli(), Delta: o.DeltaNum, URI: o.URI}
	},
	"addGroup": func(_ *Service, r *sipmux.Request, o *presdoc.ContactOp) groupstate.Command {
		return &groupstate.AddGroup{User: r.User, By: r.Endpoint, Now: r.Now.UnixMilli(), Delta: o.DeltaNum, Name: o.Name, ExternalURI: o.ExternalURI}
	},
	"modifyGroup": func(_ *Service, r *sipmux.Request, o *presdoc.ContactOp) groupstate.Command {
		return &groupstate.ModifyGroup{User: r.User, By: r.Endpoint, Now: r.Now.UnixMilli(), Delta: o.DeltaNum, ID: uint8(o.GroupID), Name: o.Name, ExternalURI: o.ExternalURI}
	},
	"deleteGroup": func(_ *Service, r *sipmux.Request, o *presdoc.ContactOp) groupstate.Command {
		return &groupstate.DeleteGroup{User: r.User, By: r.Endpoint, Now: r.Now.UnixMilli(), Delta: o.DeltaNum, ID: uint8(o.GroupID)}
	},
}

// change carries out a SOAP operation on the own contact list.
func (s *Service) change(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	name, err := presdoc.SOAPOperation(r.Body)
	if err != nil {
		return nil, err
	}
	command := operations[name]
	if command == nil {
		if s.cfg.Other != nil {
			return s.cfg.Other(ctx, name, r)
		}
		return nil, fault.New(fault.Unsupported, opChange, "this SOAP operation is not known here").About(name)
	}
	if err := sipnotify.Own(r); err != nil {
		return nil, err
	}
	o, err := presdoc.ParseContactOp(r.Body)
	if err != nil {
		return nil, err
	}
	for _, id := range append(o.Groups, max(o.GroupID, 1)) {
		if id == 0 || id > groupstate.MaxGroups {
			return nil, fault.Newf(fault.Invalid, opChange, "group ids go from 1 to %d", groupstate.MaxGroups)
		}
	}
	if err := s.roomForGroup(ctx, r, &o); err != nil {
		return nil, err
	}
	done, err := result[groupstate.ContactsResult](s.cfg.Groups.Propose(ctx, r.User, command(s, r, &o)))
	if err != nil {
		return nil, err
	}
	res := r.Reply(200, "")
	if o.Verb == presdoc.AddGroup {
		res.Add("Content-Type", presdoc.TypeSOAP)
		res.Body = presdoc.AppendGroupID(nil, uint32(done.GroupID))
	}
	return res, nil
}

// roomForGroup refuses a distribution group above the user's limit. Such a group is
// known by the extension that clients give it.
func (s *Service) roomForGroup(ctx context.Context, r *sipmux.Request, o *presdoc.ContactOp) error {
	if o.Verb != presdoc.AddGroup || o.ExternalURI == "" {
		return nil
	}
	n, most := 0, s.cfg.Limits.MaxGroups(r.User)
	err := s.cfg.Groups.Read(ctx, r.User, func(state *groupstate.State) {
		u := state.User(r.User)
		if u == nil {
			return
		}
		for _, g := range u.Contacts().Groups {
			if g.ExternalURI != "" {
				n++
			}
		}
	})
	if err == nil && n >= most {
		err = fault.Newf(fault.Limit, opChange, "the contact list holds at most %d distribution groups; remove one first", most)
	}
	return err
}

// alias is the name that the user gave a contact. Clients send the address as the
// name of a contact without one; kept, it would hide the name of the contact card.
func alias(o *presdoc.ContactOp) string {
	bare := func(s string) string {
		s = strings.ToLower(strings.TrimSpace(s))
		return strings.TrimPrefix(s, "sip:")
	}
	if bare(o.Name) == bare(o.URI) {
		return ""
	}
	return o.Name
}

func set(ids []uint32) groupstate.GroupSet {
	var s groupstate.GroupSet
	for _, id := range ids {
		s |= groupstate.Groups(uint8(id))
	}
	return s
}
