package presence

import (
	"context"
	"crypto/rand"
	"slices"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/sipnotify"
	"trivet/rule/access"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/pidf"
	"trivet/wire/presdoc"
)

// wish is what a SUBSCRIBE to presence asks for.
type wish struct {
	format     groupstate.Format
	targets    []uc.UserURI // of ours; in the order asked for
	others     []string     // addresses that are not ours
	added      []uc.UserURI // just put on the contact list
	dropped    []uc.UserURI // not to be watched any more
	categories []string
}

// usualCategories are what a watcher is told that does not say.
var usualCategories = []string{"contactCard", "note", "state"}

// subscribe serves the presence of one or many to a watcher.
func (s *Service) subscribe(ctx context.Context, r *sipmux.Request) (*message, error) {
	cmd, err := s.cfg.Notifier.Record(r)
	if err != nil {
		return nil, err
	}
	var w wish
	if !cmd.Refresh || len(r.Body) > 0 && cmd.Lifetime > 0 {
		if w, err = s.wish(r); err != nil {
			return nil, err
		}
	}
	cmd.Format, cmd.Targets, cmd.Categories = w.format, w.targets, w.categories
	if err := s.limit(cmd, &w); err != nil {
		return nil, err
	}
	if cmd.Refresh && len(r.Body) > 0 && cmd.Lifetime > 0 {
		if err := s.amend(ctx, cmd, &w); err != nil {
			return nil, err
		}
	}
	if cmd.Lifetime == 0 {
		return s.endOrPoll(ctx, r, cmd, func() (string, []byte, error) { return s.document(ctx, r.User, sipnotify.Once(cmd), w) })
	}
	return s.watch(ctx, r, cmd, w)
}

// amend makes the wish within a dialog a change of what the dialog has: actions add
// and take away. Once nobody is left, the subscription ends.
func (s *Service) amend(ctx context.Context, cmd *groupstate.Subscribe, w *wish) error {
	var now *groupstate.Subscription
	err := s.cfg.Groups.Read(ctx, cmd.User, func(state *groupstate.State) {
		if u := state.User(cmd.User); u != nil {
			now = u.Subscription(cmd.Endpoint, cmd.Dialog.CallID, cmd.Dialog.RemoteTag)
		}
	})
	if err != nil || now == nil { // the routing group refuses an unknown dialog
		return err
	}
	cmd.Targets = slices.Clone(w.targets)
	for t := range now.Targets() {
		if !slices.Contains(w.targets, t) && !slices.Contains(w.dropped, t) {
			cmd.Targets = append(cmd.Targets, t)
		}
	}
	cmd.Categories = slices.Clone(now.Categories)
	for _, name := range w.categories {
		if !slices.Contains(cmd.Categories, name) {
			cmd.Categories = append(cmd.Categories, name)
		}
	}
	if len(cmd.Targets)+len(w.others) == 0 {
		cmd.Lifetime = 0
	}
	return nil
}

// wish reads the SUBSCRIBE. A subscription to the own address with a batch body is
// for many, any other for the person it is addressed to.
func (s *Service) wish(r *sipmux.Request) (wish, error) {
	const op = "presence.subscribe"
	to, err := r.To()
	if err != nil {
		return wish{}, err
	}
	if r.ContentType() != presdoc.TypeBatchSub {
		return s.wishOne(r, to.URI)
	}
	sub, err := presdoc.ParseBatchSub(r.Body)
	if err != nil {
		return wish{}, err
	}
	w := wish{format: groupstate.LyncSingle}
	if r.Has("Require", "adhoclist") {
		w.format = groupstate.LyncBatch
	}
	for _, a := range sub.Actions {
		w.act(s, a, to.URI)
	}
	switch {
	case len(w.targets)+len(w.others)+len(w.dropped) == 0:
		return w, fault.New(fault.Invalid, op, "the subscription names nobody; it needs a resource")
	case w.format == groupstate.LyncSingle && len(w.others) > 0 && len(w.targets) == 0:
		return w, unknown(w.others[0])
	}
	return w, nil
}

// act takes one action of a batch. Without resources it is about the person whom
// the request is addressed to.
func (w *wish) act(s *Service, a presdoc.BatchAction, to string) {
	if len(a.Resources) == 0 {
		a.Resources = []presdoc.BatchResource{{URI: to}}
	}
	for _, x := range a.Resources {
		if !a.Unsubscribe {
			w.add(s, x.URI, x.Added)
		} else if who, err := uc.ParseUserURI(x.URI); err == nil {
			w.dropped = append(w.dropped, who)
		}
	}
	if a.Unsubscribe {
		return
	}
	if len(a.Categories) == 0 {
		a.Categories = usualCategories
	}
	for _, name := range a.Categories {
		if !slices.Contains(w.categories, name) {
			w.categories = append(w.categories, name)
		}
	}
}

func unknown(address string) error {
	return fault.New(fault.NotFound, "presence.subscribe", "there is no such user here").About(address).Diagnosed(4005)
}

// wishOne is a subscription to one person, as PIDF unless the watcher accepts
// nothing but categories.
func (s *Service) wishOne(r *sipmux.Request, to string) (wish, error) {
	const op = "presence.subscribe"
	w := wish{format: groupstate.PIDF}
	switch {
	case sipnotify.Accepts(r.Message, pidf.Type, true):
	case sipnotify.Accepts(r.Message, presdoc.TypeCategories, false):
		w.format, w.categories = groupstate.LyncSingle, usualCategories
	default:
		return w, fault.New(fault.Unsupported, op, "presence is sent as application/pidf+xml; Accept must name it")
	}
	w.add(s, to, false)
	if len(w.targets) == 0 {
		return w, unknown(to)
	}
	return w, nil
}

func (w *wish) add(s *Service, address string, added bool) {
	who, err := uc.ParseUserURI(address)
	if err == nil {
		if _, ok := s.cfg.Directory.Person(who); ok {
			if !slices.Contains(w.targets, who) {
				w.targets = append(w.targets, who)
			}
			if added {
				w.added = append(w.added, who)
			}
			return
		}
	}
	if !slices.Contains(w.others, address) {
		w.others = append(w.others, address)
	}
}

// watch stores the subscription and tells the watcher what is. Changes meanwhile
// are held back until the answer is out, then told.
func (s *Service) watch(ctx context.Context, r *sipmux.Request, cmd *groupstate.Subscribe, w wish) (*message, error) {
	if err := s.answer(ctx, r, cmd, w); err != nil {
		return nil, err
	}
	s.prompt(ctx, r.User, w.added)
	return nil, nil
}

func (s *Service) answer(ctx context.Context, r *sipmux.Request, cmd *groupstate.Subscribe, w wish) error {
	defer s.hold(r.User, cmd)()
	done, err := result[groupstate.SubscribeResult](s.cfg.Groups.Propose(ctx, r.User, cmd))
	if err != nil {
		return err
	}
	sub := done.Subscription
	if cmd.Refresh && len(r.Body) == 0 {
		w.targets = slices.Collect(sub.Targets())
	}
	contentType, body, err := s.document(ctx, r.User, sub, w)
	if err != nil {
		return err
	}
	s.cfg.Notifier.Deliver(r, sub, int(cmd.Lifetime/1000), contentType, body)
	return nil
}

// document prints what a watcher is told first: one document for one person, a
// list with a part for each for several.
func (s *Service) document(ctx context.Context, watcher uc.UserURI, sub *groupstate.Subscription, w wish) (contentType string, body []byte, err error) {
	if len(w.targets)+len(w.others) == 0 {
		return "", nil, nil
	}
	views, err := s.views(ctx, w.targets)
	if err != nil {
		return "", nil, err
	}
	if len(w.targets) == 1 && len(w.others) == 0 {
		contentType, body = s.printer(w.targets[0], views[w.targets[0]], nil).forOne(watcher, sub)
		return contentType, body, nil
	}
	list := presdoc.List{URI: string(watcher), Full: true, Resources: make([]presdoc.Resource, 0, len(w.targets)+len(w.others))}
	parts := make([]presdoc.Part, 1, len(w.targets)+1)
	for _, t := range w.targets {
		kind, body := s.printer(t, views[t], nil).forOne(watcher, sub)
		if body == nil {
			continue
		}
		cid := t.Bare()
		list.Resources = append(list.Resources, presdoc.Resource{URI: string(t), State: "active", CID: cid})
		parts = append(parts, presdoc.Part{Type: kind, CID: cid, Body: body})
	}
	for _, other := range w.others {
		list.Resources = append(list.Resources, presdoc.Resource{URI: other, State: "terminated"})
	}
	parts[0] = presdoc.Part{Type: presdoc.TypeRLMI, CID: "list", Body: list.Append(nil)}
	m := presdoc.NewMultipart("b"+rand.Text(), parts)
	return m.Type(), m.Append(nil), nil
}

// maxPrompts bounds the people told at once that they were added.
const maxPrompts = 32

// prompt notes at everybody just added that the watcher added them. It is a
// courtesy: a failure does not fail the subscription.
func (s *Service) prompt(ctx context.Context, watcher uc.UserURI, added []uc.UserURI) {
	card, _ := s.cfg.Directory.Person(watcher)
	for _, user := range added[:min(len(added), maxPrompts)] {
		most := s.cfg.Policies.Presence(user).MaxPromptedSubscriber
		if most <= 0 {
			continue
		}
		_, err := s.cfg.Groups.Propose(ctx, user, &groupstate.AddPrompt{
			User: user, Now: s.cfg.Clock.Now().UnixMilli(), Watcher: watcher, DisplayName: card.DisplayName,
			Type: access.SameEnterprise, Max: uint32(min(most, groupstate.MaxPrompts)),
		})
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Debug("somebody is not told of a new subscriber", "user", user, "err", err)
		}
	}
}
