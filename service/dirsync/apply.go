package dirsync

import (
	"context"
	"errors"
	"slices"
	"time"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/dirsync"
	"trivet/store/users"
)

// chunk is how many users one transaction changes.
const chunk = 200

// job is a plan that is being applied.
type job struct {
	*Service
	*source
	plan    *dirsync.Plan
	known   map[string]dirsync.Known
	applied dirsync.Counts
	absent  map[string]bool // GUIDs of users and groups that could not be made
	free    map[string]bool // digests of the actions that were approved
	first   bool            // nothing of the source was applied before: creating is free
}

// carry applies a plan and notes how it went. Whatever is refused is a conflict;
// the rest is done.
func (s *Service) carry(ctx context.Context, x *source, f *fetched, p *dirsync.Plan, approved bool, began time.Time) error {
	j := &job{Service: s, source: x, plan: p, absent: map[string]bool{}, first: s.stateOf(x).LastSuccess.IsZero()}
	err := j.apply(ctx, f, approved)
	if err == nil && s.cfg.Settled != nil {
		err = s.cfg.Settled(ctx)
	}
	for k, n := range j.applied {
		s.counted.applied(dirsync.Kind(k), n)
	}
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return s.or(err, s.failed(ctx, x, err, j.applied, began))
	}
	if p.Counts != (dirsync.Counts{}) {
		s.cfg.Log.Info("a directory was synchronised", "source", x.Name, "server", f.server, "created", j.applied[dirsync.Create], "changed", j.applied[dirsync.Update],
			"disabled", j.applied[dirsync.Disable], "enabled again", j.applied[dirsync.Reactivate], "deleted", j.applied[dirsync.Delete],
			"groups", j.applied[dirsync.CreateGroup]+j.applied[dirsync.UpdateGroup]+j.applied[dirsync.DeleteGroup], "conflicts", len(p.Conflicts), "approved", approved)
	}
	p.Counts = j.applied
	return s.done(ctx, x, f, p, began)
}

// steps are the parts of a plan, in the order of the kinds.
var steps = [...]func(*job, context.Context, []dirsync.Action) error{
	dirsync.Disable:     (*job).disable,
	dirsync.Delete:      (*job).remove,
	dirsync.Update:      (*job).update,
	dirsync.Reactivate:  (*job).reactivate,
	dirsync.Create:      (*job).create,
	dirsync.DeleteGroup: (*job).removeGroups,
	dirsync.CreateGroup: (*job).createGroups,
	dirsync.UpdateGroup: (*job).updateGroups,
}

func (j *job) apply(ctx context.Context, f *fetched, approved bool) error {
	if err := j.grant(ctx, approved); err != nil {
		return err
	}
	if err := j.remember(ctx); err != nil {
		return err
	}
	for rest := j.plan.Actions; len(rest) > 0; {
		kind := rest[0].Kind
		n := slices.IndexFunc(rest, func(a dirsync.Action) bool { return a.Kind != kind })
		if n < 0 {
			n = len(rest)
		}
		if err := steps[kind](j, ctx, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return j.photos(ctx, f)
}

// grant notes what may be done before it is, so that the next run goes on with what
// this one leaves: without another approval, and whatever is charged by then.
func (j *job) grant(ctx context.Context, approved bool) error {
	was := j.stateOf(j.source).Granted
	if len(j.plan.Actions) == 0 {
		return nil
	}
	granted := make(map[string]bool, len(j.plan.Actions))
	for _, a := range j.plan.Actions {
		digest := a.Digest()
		granted[digest] = approved || was[digest]
	}
	j.free = granted
	return j.save(ctx, j.source, func(st *dirsync.State) { st.Granted = granted })
}

// charge takes actions from the budget just before they are done, so that a crash
// does not make them free.
func (j *job) charge(ctx context.Context, list []dirsync.Action) error {
	n := 0
	for _, a := range list {
		if !j.free[a.Digest()] && !(j.first && a.Kind == dirsync.Create) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return j.cfg.State.Spend(ctx, j.Name, j.cfg.Clock.Now(), list[0].Kind, n)
}

// remember stores what the plan knows of users that are there.
func (j *job) remember(ctx context.Context) (err error) {
	if j.known, err = j.cfg.State.All(ctx, j.Name); err != nil {
		return err
	}
	fresh := map[string]bool{}
	for _, a := range j.plan.Actions {
		if a.Kind == dirsync.Create {
			fresh[a.ID] = true
		}
	}
	var now []dirsync.Known
	for _, k := range j.plan.Known {
		if j.known[k.ID] = k; !fresh[k.ID] {
			now = append(now, k)
		}
	}
	if err := j.cfg.State.Put(ctx, j.Name, now...); err != nil {
		return err
	}
	return j.cfg.State.Forget(ctx, j.Name, j.plan.Forget...)
}

// put remembers what became of the users of actions.
func (j *job) put(ctx context.Context, list []dirsync.Action, edit func(*dirsync.Known)) error {
	known := make([]dirsync.Known, 0, len(list))
	for _, a := range list {
		k := j.known[a.ID]
		k.ID, k.GUID = a.ID, a.GUID
		edit(&k)
		j.known[a.ID] = k
		known = append(known, k)
	}
	return j.cfg.State.Put(ctx, j.Name, known...)
}

// batch writes a chunk and sorts what was done from what was refused.
func (j *job) batch(ctx context.Context, list []dirsync.Action, write func(a *dirsync.Action) users.Write) (done, refused []dirsync.Action, err error) {
	if err := j.charge(ctx, list); err != nil {
		return nil, nil, err
	}
	writes := make([]users.Write, len(list))
	for i := range list {
		writes[i] = write(&list[i])
	}
	out, err := j.cfg.Users.Batch(ctx, users.SkipRefused, writes)
	if err != nil {
		return nil, nil, err
	}
	for i, o := range out {
		switch {
		case o.Refused == nil:
			done = append(done, list[i])
			j.applied[list[i].Kind]++
		case errors.Is(o.Refused, errDecided), fault.Is(o.Refused, fault.NotFound):
			refused = append(refused, list[i])
		case fault.Is(o.Refused, fault.Unavailable):
			return done, refused, o.Refused
		default:
			refused = append(refused, list[i])
			j.conflict(list[i], o.Refused)
		}
	}
	return done, refused, nil
}

func (j *job) conflict(a dirsync.Action, err error) {
	j.plan.Conflicts = append(j.plan.Conflicts, dirsync.Conflict{Label: a.Label, Text: a.Kind.String() + " was refused: " + sentence(err)})
}

// errDecided refuses a write because somebody else was first.
var errDecided = errors.New("an administrator has decided meanwhile")

// own makes a change of a user only while it is of the source.
func (j *job) own(change func(u *directory.User) error) func(u *directory.User) error {
	return func(u *directory.User) error {
		if u.Source != j.Name {
			return errDecided
		}
		return change(u)
	}
}

// disable notes first that it is the synchronisation that disables, so that a crash
// between the two is not taken for an administrator's doing.
func (j *job) disable(ctx context.Context, list []dirsync.Action) error {
	now := j.cfg.Clock.Now().UTC().Truncate(time.Millisecond)
	for part := range slices.Chunk(list, chunk) {
		if err := j.disablePart(ctx, part, now); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) disablePart(ctx context.Context, part []dirsync.Action, now time.Time) error {
	j.deciding.Lock()
	defer j.deciding.Unlock()
	reasons := make(map[string]dirsync.Reason, len(part))
	for _, a := range part {
		reasons[a.ID] = a.Reason
	}
	if err := j.put(ctx, part, func(k *dirsync.Known) { k.Disabled, k.Since = reasons[k.ID], now }); err != nil {
		return err
	}
	_, refused, err := j.batch(ctx, part, func(a *dirsync.Action) users.Write {
		return users.Write{GUID: a.GUID, Change: j.own(func(u *directory.User) error {
			if !u.Enabled {
				return errDecided
			}
			u.Enabled = false
			return nil
		})}
	})
	if err != nil {
		return err
	}
	return j.put(ctx, refused, func(k *dirsync.Known) { k.Disabled, k.Since = "", time.Time{} })
}

// reactivate enables again whom the synchronisation disabled, unless an
// administrator has decided since.
func (j *job) reactivate(ctx context.Context, list []dirsync.Action) error {
	for part := range slices.Chunk(list, chunk) {
		if err := j.reactivatePart(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) reactivatePart(ctx context.Context, part []dirsync.Action) error {
	j.deciding.Lock()
	defer j.deciding.Unlock()
	var ours []dirsync.Action
	for _, a := range part {
		k, err := j.cfg.State.Get(ctx, j.Name, a.ID)
		if err != nil {
			return err
		}
		if k.Disabled != "" {
			ours = append(ours, a)
		}
	}
	done, _, err := j.batch(ctx, ours, func(a *dirsync.Action) users.Write {
		return users.Write{GUID: a.GUID, Change: j.own(func(u *directory.User) error {
			if u.SipAddress == "" {
				return errDecided
			}
			u.Enabled = true
			return nil
		})}
	})
	if err != nil {
		return err
	}
	return j.put(ctx, done, func(k *dirsync.Known) { k.Disabled, k.Since = "", time.Time{} })
}

func (j *job) update(ctx context.Context, list []dirsync.Action) error {
	for part := range slices.Chunk(list, chunk) {
		if _, _, err := j.batch(ctx, part, func(a *dirsync.Action) users.Write {
			return users.Write{GUID: a.GUID, Change: j.own(func(u *directory.User) error { dirsync.Apply(u, a.Changes); return nil })}
		}); err != nil {
			return err
		}
	}
	return nil
}

func (j *job) create(ctx context.Context, list []dirsync.Action) error {
	for part := range slices.Chunk(list, chunk) {
		done, refused, err := j.batch(ctx, part, func(a *dirsync.Action) users.Write {
			u := a.User
			j.cfg.Home(&u)
			return users.Write{New: &users.New{User: u}}
		})
		for _, a := range refused {
			j.absent[a.GUID] = true
		}
		if err == nil {
			err = j.put(ctx, done, func(*dirsync.Known) {})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (j *job) remove(ctx context.Context, list []dirsync.Action) error {
	for i := range list {
		if err := j.removeOne(ctx, list[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// removeOne deletes a user unless somebody has enabled him or made him another's
// since the plan was made.
func (j *job) removeOne(ctx context.Context, one []dirsync.Action) error {
	a := one[0]
	j.deciding.Lock()
	defer j.deciding.Unlock()
	if err := j.charge(ctx, one); err != nil {
		return err
	}
	err := j.cfg.Users.DeleteIf(ctx, a.GUID, func(u *directory.User) error {
		if u.Enabled || u.Source != j.Name || u.SourceID != a.ID {
			return errDecided
		}
		return nil
	})
	switch {
	case errors.Is(err, errDecided):
		return nil
	case err == nil:
		j.applied[a.Kind]++
	case !fault.Is(err, fault.NotFound):
		return err
	}
	return j.cfg.State.Forget(ctx, j.Name, a.ID)
}
