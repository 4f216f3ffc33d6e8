package presence

import (
	"context"
	"errors"
	"slices"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/sipnotify"
	"trivet/rule/access"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

type message = sip.Message

// subscribeSelf serves the user's own presence to one of the user's endpoints.
func (s *Service) subscribeSelf(ctx context.Context, r *sipmux.Request) (*message, error) {
	if err := sipnotify.Own(r); err != nil {
		return nil, err
	}
	cmd, err := s.cfg.Notifier.Record(r)
	if err != nil {
		return nil, err
	}
	cmd.Format = groupstate.Plain
	if cmd.Lifetime == 0 {
		return s.endOrPoll(ctx, r, cmd, func() (string, []byte, error) {
			body, err := s.roamingSelf(ctx, r.User)
			return typeSelf, body, err
		})
	}
	if _, err := s.cfg.Groups.Propose(ctx, r.User, cmd); err != nil {
		return nil, err
	}
	body, err := s.roamingSelf(ctx, r.User)
	if err != nil {
		return nil, err
	}
	if sipnotify.Refresh(r.Message) {
		body = nil
	}
	return s.cfg.Notifier.Answer(r, int(cmd.Lifetime/1000), typeSelf, body), nil
}

// endOrPoll answers a SUBSCRIBE with Expires: 0: within a dialog it ends the
// subscription, outside it asks once.
func (s *Service) endOrPoll(ctx context.Context, r *sipmux.Request, cmd *groupstate.Subscribe, print func() (string, []byte, error)) (*message, error) {
	if cmd.Refresh {
		_, err := s.cfg.Groups.Propose(ctx, r.User, &groupstate.Unsubscribe{
			User: r.User, Endpoint: cmd.Endpoint, Now: cmd.Now, CallID: cmd.Dialog.CallID, RemoteTag: cmd.Dialog.RemoteTag, Reason: groupstate.ClientInitiated,
		})
		if err != nil {
			return nil, err
		}
		return s.cfg.Notifier.Answer(r, 0, "", nil), nil
	}
	contentType, body, err := print()
	if err != nil {
		return nil, err
	}
	return s.cfg.Notifier.Answer(r, 0, contentType, body), nil
}

// roamingSelf prints the whole of a user's own presence.
func (s *Service) roamingSelf(ctx context.Context, user uc.UserURI) (body []byte, err error) {
	now := s.cfg.Clock.Now().UnixMilli()
	var doc presdoc.Roaming
	err = s.cfg.Groups.Read(ctx, user, func(state *groupstate.State) {
		doc = presdoc.Roaming{Categories: &presdoc.Categories{URI: string(user)}, Containers: []presdoc.Container{}, Subscribers: []presdoc.Subscriber{}}
		if u := state.User(user); u != nil {
			doc.Categories.List = ownCategories(u.Publications(), now)
			doc.Containers = containers(u.Containers())
			doc.Subscribers = subscribers(u.Subscribers())
		}
	})
	if err != nil {
		return nil, err
	}
	doc.Categories.List = append(doc.Categories.List, s.userProperties(user)...)
	return doc.Append(nil), nil
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
		b = append(append(b, card.LineURI...), "</line>"...)
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

// roamingChange prints what changed for the user's own endpoints, nil for nothing.
func roamingChange(c *change, now int64) []byte {
	var doc presdoc.Roaming
	if c.presence {
		own := slices.DeleteFunc(slices.Clone(c.view.publications), func(p groupstate.Publication) bool {
			return !slices.Contains(c.categories, p.Category)
		})
		doc.Categories = &presdoc.Categories{URI: string(c.user), Names: c.categories, List: ownCategories(own, now)}
	}
	if c.containers != nil {
		doc.Containers = containers(c.containers)
	}
	if c.subscribers != nil {
		doc.Subscribers = subscribers(c.subscribers)
	}
	if doc.Categories == nil && doc.Containers == nil && doc.Subscribers == nil {
		return nil
	}
	return doc.Append(nil)
}

// publish stores publications of the user.
func (s *Service) publish(ctx context.Context, r *sipmux.Request) (*message, error) {
	if err := sipnotify.Own(r); err != nil {
		return nil, err
	}
	doc, err := presdoc.ParsePublish(r.Body)
	if err != nil {
		return nil, err
	}
	if doc.URI != "" {
		if owner, err := uc.ParseUserURI(doc.URI); err != nil || owner != r.User {
			return nil, fault.New(fault.Forbidden, "presence.publish", "publications must be the own ones: the uri attribute names somebody else").Diagnosed(4004)
		}
	}
	cmd := &groupstate.Publish{User: r.User, Endpoint: r.Endpoint, Now: r.Now.UnixMilli()}
	for _, p := range doc.Publications {
		cmd.Items = append(cmd.Items, groupstate.PublishItem{
			PublicationKey: groupstate.PublicationKey{Category: p.Category, Container: p.Container, Instance: p.Instance},
			Version:        p.Version, ExpireType: groupstate.ExpireType(p.ExpireType), Lifetime: int64(p.Expires) * 1000, Remove: p.Remove, Body: p.Body,
		})
	}
	result, err := s.cfg.Groups.Propose(ctx, r.User, cmd)
	if res := stale(r, err); res != nil {
		return res, nil
	}
	if err != nil {
		return nil, err
	}
	done := result.(groupstate.PublishResult)
	answer := presdoc.Roaming{Categories: &presdoc.Categories{URI: string(r.User), Names: done.Categories, List: ownCategories(done.Publications, r.Now.UnixMilli())}}
	res := r.Reply(200, "")
	res.Add("Content-Type", typeSelf)
	res.Body = answer.Append(nil)
	return res, nil
}

// stale is the 409 that tells a client the current versions, nil when err is
// something else.
func stale(r *sipmux.Request, err error) *message {
	var old *groupstate.StaleError
	if !errors.As(err, &old) {
		return nil
	}
	ops := make([]presdoc.StaleOp, len(old.Items))
	for i, it := range old.Items {
		ops[i] = presdoc.StaleOp{Index: uint32(it.Index), CurVersion: it.Current}
	}
	res := r.Reply(409, "")
	res.Add("Content-Type", presdoc.TypeFault)
	res.Body = presdoc.AppendWrongDelta(nil, ops)
	return res
}

// setContainers changes who is in which container.
func (s *Service) setContainers(ctx context.Context, r *sipmux.Request) (*message, error) {
	if err := sipnotify.Own(r); err != nil {
		return nil, err
	}
	list, err := presdoc.ParseSetContainers(r.Body)
	if err != nil {
		return nil, err
	}
	cmd := &groupstate.SetContainers{User: r.User, By: r.Endpoint, Now: r.Now.UnixMilli()}
	for _, c := range list {
		k := groupstate.ContainerChange{ID: c.ID, Version: c.Version}
		for _, m := range c.Members {
			member, err := access.ParseMember(m.Type, m.Value)
			if err != nil {
				return nil, err
			}
			k.Members = append(k.Members, groupstate.MemberChange{Remove: m.Remove, Member: member})
		}
		cmd.Changes = append(cmd.Changes, k)
	}
	_, err = s.cfg.Groups.Propose(ctx, r.User, cmd)
	if res := stale(r, err); res != nil {
		return res, nil
	}
	if err != nil {
		return nil, err
	}
	return r.Reply(200, ""), nil
}

// setSubscribers acknowledges people who added the user.
func (s *Service) setSubscribers(ctx context.Context, r *sipmux.Request) (*message, error) {
	if err := sipnotify.Own(r); err != nil {
		return nil, err
	}
	list, err := presdoc.ParseSetSubscribers(r.Body)
	if err != nil {
		return nil, err
	}
	cmd := &groupstate.SetSubscribers{User: r.User, By: r.Endpoint, Now: r.Now.UnixMilli()}
	for _, x := range list {
		who, err := uc.ParseUserURI(x.User)
		if err != nil {
			return nil, err
		}
		cmd.Items = append(cmd.Items, groupstate.SubscriberChange{User: who, Acknowledged: x.Acknowledged})
	}
	if _, err := s.cfg.Groups.Propose(ctx, r.User, cmd); err != nil {
		return nil, err
	}
	return r.Reply(200, ""), nil
}
