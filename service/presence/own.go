package presence

import (
	"context"
	"errors"

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

// result gives the outcome of a proposal its type; a refusal by the state is the
// error that it is.
func result[R any](v any, err error) (R, error) {
	var none R
	if err == nil {
		err = groupstate.Refused(v)
	}
	if err != nil {
		return none, err
	}
	return v.(R), nil
}

// subscribeSelf serves the user's own presence to one of the user's endpoints.
func (s *Service) subscribeSelf(ctx context.Context, r *sipmux.Request) (*message, error) {
	if err := sipnotify.Own(r); err != nil {
		return nil, err
	}
	parts, err := presdoc.ParseRoamingRequest(r.Body)
	if err != nil {
		return nil, err
	}
	cmd, err := s.cfg.Notifier.Record(r)
	if err != nil {
		return nil, err
	}
	cmd.Format = groupstate.Plain
	document := func() (string, []byte, error) {
		views, err := s.views(ctx, []uc.UserURI{r.User})
		if err != nil {
			return "", nil, err
		}
		return typeSelf, s.roaming(r.User, views[r.User], parts), nil
	}
	if cmd.Lifetime == 0 {
		return s.endOrPoll(ctx, r, cmd, document)
	}
	defer s.hold(r.User, cmd)()
	done, err := result[groupstate.SubscribeResult](s.cfg.Groups.Propose(ctx, r.User, cmd))
	if err != nil {
		return nil, err
	}
	contentType, body, err := document()
	if err != nil {
		return nil, err
	}
	s.cfg.Notifier.Deliver(r, done.Subscription, int(cmd.Lifetime/1000), contentType, body)
	return nil, nil
}

// hold holds the notifications of a dialog back until the function that it returns
// is called, which has what was missed told.
func (s *Service) hold(user uc.UserURI, cmd *groupstate.Subscribe) (release func()) {
	w := s.index.open(dialogOf(user, cmd.Endpoint, &cmd.Dialog))
	return func() { s.catchUp(w, s.index.close(w)) }
}

// holdOwn does the same for the roaming-self subscriptions of an endpoint that is
// told its own state in an answer.
func (s *Service) holdOwn(user uc.UserURI, endpoint uc.EndpointID) (release func()) {
	var held []*watcher
	_, self := s.index.of(user)
	for _, w := range self {
		if w.dialog.endpoint == endpoint {
			held = append(held, s.index.open(w.dialog))
		}
	}
	return func() {
		for _, w := range held {
			s.catchUp(w, s.index.close(w))
		}
	}
}

// endOrPoll answers a SUBSCRIBE with Expires: 0: within a dialog it ends the
// subscription, outside it asks once.
func (s *Service) endOrPoll(ctx context.Context, r *sipmux.Request, cmd *groupstate.Subscribe, document func() (string, []byte, error)) (*message, error) {
	sub, contentType, body := sipnotify.Once(cmd), "", []byte(nil)
	if cmd.Refresh {
		done, err := result[groupstate.SubscribeResult](s.cfg.Groups.Propose(ctx, r.User, &groupstate.Unsubscribe{
			User: r.User, Endpoint: cmd.Endpoint, Now: cmd.Now, CallID: cmd.Dialog.CallID, RemoteTag: cmd.Dialog.RemoteTag, Reason: groupstate.ClientInitiated,
		}))
		if err != nil {
			return nil, err
		}
		sub = done.Subscription
	} else {
		var err error
		if contentType, body, err = document(); err != nil {
			return nil, err
		}
	}
	s.cfg.Notifier.Deliver(r, sub, 0, contentType, body)
	return nil, nil
}

// publish stores publications of the user.
func (s *Service) publish(ctx context.Context, r *sipmux.Request) (*message, error) {
	const op = "presence.publish"
	if err := sipnotify.Own(r); err != nil {
		return nil, err
	}
	doc, err := presdoc.ParsePublish(r.Body)
	if err != nil {
		return nil, err
	}
	if doc.URI != "" {
		if owner, err := uc.ParseUserURI(doc.URI); err != nil || owner != r.User {
			return nil, fault.New(fault.Forbidden, op, "publications must be the own ones: the uri attribute names somebody else").Diagnosed(4004)
		}
	}
	if len(doc.Publications) == 0 {
		return nil, fault.New(fault.Invalid, op, "a publish document needs a publication")
	}
	cmd := &groupstate.Publish{User: r.User, Endpoint: r.Endpoint, Now: r.Now.UnixMilli()}
	for _, p := range doc.Publications {
		cmd.Items = append(cmd.Items, groupstate.PublishItem{
			PublicationKey: groupstate.PublicationKey{Category: p.Category, Container: p.Container, Instance: p.Instance},
			Version:        offered(p.Version), ExpireType: groupstate.ExpireType(p.ExpireType), // the same numbers
			Lifetime: int64(p.Expires) * 1000, Remove: p.Remove, Body: p.Body,
		})
	}
	defer s.holdOwn(r.User, r.Endpoint)()
	done, err := result[groupstate.PublishResult](s.cfg.Groups.Propose(ctx, r.User, cmd))
	if res := stale(r, err); res != nil {
		return res, nil
	}
	if err != nil {
		return nil, err
	}
	res := r.Reply(200, "")
	res.Add("Content-Type", typeSelf)
	res.Body = s.published(r.User, &done, cmd.Now)
	r.Tx.Respond(res) // before what was held back
	return nil, nil
}

// offered is the version a client names. The number that skips the check is ours.
func offered(version uint32) uint32 { return min(version, groupstate.AnyVersion-1) }

// published is the answer to a publication: the touched categories, whole.
func (s *Service) published(user uc.UserURI, done *groupstate.PublishResult, now int64) []byte {
	doc := presdoc.Categories{URI: string(user), Names: done.Categories, List: ownCategories(done.Publications, now)}
	for _, name := range done.Categories {
		if name == "userProperties" {
			doc.List = append(doc.List, s.userProperties(user)...)
		}
	}
	return presdoc.Roaming{Categories: &doc}.Append(nil)
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
	_, err = result[groupstate.ContainersResult](s.cfg.Groups.Propose(ctx, r.User, cmd))
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
	if _, err := result[groupstate.SubscribersResult](s.cfg.Groups.Propose(ctx, r.User, cmd)); err != nil {
		return nil, err
	}
	return r.Reply(200, ""), nil
}
