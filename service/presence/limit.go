package presence

import (
	"slices"

	"trivet/fault"
	"trivet/rule/groupstate"
	"trivet/uc"
)

// limit takes those out of a wish whose policy has no room for the watcher
// (MaxCategorySubscription). Who is among several stands in the answer as
// terminated; a subscription to one person is refused. A poll counts for nothing,
// but it too finds nobody whose limit is 0. One's own presence is not limited.
func (s *Service) limit(cmd *groupstate.Subscribe, w *wish) error {
	if cmd.Refresh && cmd.Lifetime == 0 {
		return nil
	}
	var out []uc.UserURI
	for _, t := range w.targets {
		if t != cmd.User && !s.room(t, cmd) {
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		return nil
	}
	if len(w.targets)+len(w.others) == 1 && w.format != groupstate.LyncBatch {
		return fault.New(fault.Limit, "presence.limit", "this person's presence takes no more subscriptions").About(string(out[0]))
	}
	full := func(t uc.UserURI) bool { return slices.Contains(out, t) }
	for _, t := range out {
		w.others = append(w.others, string(t))
	}
	w.targets, w.added = slices.DeleteFunc(w.targets, full), slices.DeleteFunc(w.added, full)
	cmd.Targets = w.targets
	return nil
}

// room reports whether the subscription fits below the target's limit. What the
// same endpoint has already gives way: it may be of a connection that was lost.
func (s *Service) room(target uc.UserURI, cmd *groupstate.Subscribe) bool {
	most, n := s.cfg.Policies.Presence(target).MaxCategorySubscription, max(len(cmd.Categories), 1)
	if most == 0 || cmd.Lifetime == 0 {
		return most > 0
	}
	weight := s.index.weightAt(target)
	if weight+n <= most {
		return true
	}
	watchers, _ := s.index.of(target)
	for _, x := range watchers {
		if x.dialog.user == cmd.User && x.dialog.endpoint == cmd.Endpoint {
			weight -= weightOf(x.subscription())
		}
	}
	return weight+n <= most
}
