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
	categories []string
}

// subscribe serves the presence of one or many to a watcher.
func (s *Service) subscribe(ctx context.Context, r *sipmux.Request) (*message, error) {
	cmd, err := s.cfg.Notifier.Record(r)
	if err != nil {
		return nil, err
	}
	var w wish
	if len(r.Body) > 0 || !cmd.Refresh {
		if w, err = s.wish(r); err != nil {
			return nil, err
		}
	}
	cmd.Format, cmd.Targets, cmd.Categories = w.format, w.targets, w.categories
	if cmd.Lifetime == 0 {
		return s.endOrPoll(ctx, r, cmd, func() (string, []byte, error) {
			once := &groupstate.Subscription{Format: w.format, Categories: w.categories}
			contentType, body := s.document(ctx, r.User, once, w)
			return contentType, body, nil
		})
	}
	return s.watch(ctx, r, cmd, w)
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
		if a.Unsubscribe {
			continue
		}
		for _, name := range a.Categories {
			if !slices.Contains(w.categories, name) {
				w.categories = append(w.categories, name)
			}
		}
		if len(a.Resources) == 0 {
			w.add(s, to.URI, false)
		}
		for _, x := range a.Resources {
			w.add(s, x.URI, x.Added)
		}
	}
	if len(w.targets)+len(w.others) == 0 {
		return w, fault.New(fault.Invalid, op, "the subscription names nobody; it needs a resource")
	}
	return w, nil
}

// wishOne is a subscription to one person, as PIDF unless the watcher accepts
// nothing but categories.
func (s *Service) wishOne(r *sipmux.Request, to string) (wish, error) {
	const op = "presence.subscribe"
	w := wish{format: groupstate.PIDF}
	switch {
	case sipnotify.Accepts(r.Message, pidf.Type, true):
	case sipnotify.Accepts(r.Message, presdoc.TypeCategories, false):
		w.format, w.categories = groupstate.LyncSingle, []string{"contactCard", "note", "state"}
	default:
		return w, fault.New(fault.Unsupported, op, "presence is sent as application/pidf+xml; Accept must name it")
	}
	w.add(s, to, false)
	if len(w.targets) == 0 {
		return w, fault.New(fault.NotFound, op, "there is no such user here").About(to).Diagnosed(4005)
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
	w.others = append(w.others, address)
}

// watch stores the subscription and tells the watcher what is. Changes meanwhile
// are held back until the answer is out, then told.
func (s *Service) watch(ctx context.Context, r *sipmux.Request, cmd *groupstate.Subscribe, w wish) (*message, error) {
	result, err := s.cfg.Groups.Propose(ctx, r.User, cmd)
	if err != nil {
		return nil, err
	}
	sub := result.(groupstate.SubscribeResult).Subscription
	s.prompt(ctx, r.User, w.added)
	if cmd.Refresh && len(r.Body) == 0 {
		w = wish{format: sub.Format, categories: sub.Categories, targets: slices.Collect(sub.Targets())}
	}
	at := s.index.find(r.User, sub)
	if at == nil { // nobody of ours is watched
		at = &watcher{user: r.User, sub: sub}
	}
	at.open()
	contentType, body := s.document(ctx, r.User, sub, w)
	seconds := int(cmd.Lifetime / 1000)
	if sipnotify.Piggyback(r.Message) {
		r.Tx.Respond(s.cfg.Notifier.Answer(r, seconds, contentType, body))
	} else {
		r.Tx.Respond(s.cfg.Notifier.Answer(r, seconds, "", nil))
		s.cfg.Notifier.Notify(r.User, sub, "", contentType, body)
	}
	s.catchUp(ctx, at, at.close())
	return nil, nil
}

// document prints what a watcher is told first: one document for one person, a
// list with a part for each for several.
func (s *Service) document(ctx context.Context, watcher uc.UserURI, sub *groupstate.Subscription, w wish) (contentType string, body []byte) {
	views := s.views(ctx, w.targets)
	if len(w.targets)+len(w.others) == 1 && len(w.targets) == 1 {
		return s.printer(w.targets[0], views[w.targets[0]]).forWatcher(watcher, sub, nil)
	}
	list := presdoc.List{URI: string(watcher), Full: true}
	parts := make([]presdoc.Part, 1, len(w.targets)+1)
	for _, t := range w.targets {
		kind, body := s.printer(t, views[t]).forWatcher(watcher, sub, nil)
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
	return m.Type(), m.Append(nil)
}

// maxPrompts bounds the people told at once that they were added.
const maxPrompts = 32

// prompt notes at everybody just added that the watcher added them. It is a
// courtesy: a failure does not fail the subscription.
func (s *Service) prompt(ctx context.Context, watcher uc.UserURI, added []uc.UserURI) {
	if s.cfg.Policy.MaxPromptedSubscriber == 0 {
		return
	}
	card, _ := s.cfg.Directory.Person(watcher)
	for _, user := range added[:min(len(added), maxPrompts)] {
		_, err := s.cfg.Groups.Propose(ctx, user, &groupstate.AddPrompt{
			User: user, Now: s.cfg.Clock.Now().UnixMilli(), Watcher: watcher, DisplayName: card.DisplayName,
			Type: access.SameEnterprise, Max: s.cfg.Policy.MaxPromptedSubscriber,
		})
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Debug("somebody is not told of a new subscriber", "user", user, "err", err)
		}
	}
}
