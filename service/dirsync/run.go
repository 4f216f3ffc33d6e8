package dirsync

import (
	"context"
	"time"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/dirsync"
	"trivet/store/users"
)

// window is the time that a budget is for.
const window = 24 * time.Hour

// Update runs a source now, all of them for "". A run goes on when ctx ends: it is
// the caller who stops waiting. fault.Stale when the directory does not ask for the
// approved plan any more.
func (s *Service) Update(ctx context.Context, name string, o dirsync.Options) ([]dirsync.Result, error) {
	const op = "dirsync.Update"
	list, err := s.named(name)
	if err != nil {
		return nil, err
	}
	if o.Approve != "" && len(list) != 1 {
		return nil, fault.New(fault.Invalid, op, "a plan is approved for one source; name it with -Source").About("Source")
	}
	type outcome struct {
		results []dirsync.Result
		err     error
	}
	done := make(chan outcome, 1)
	if !s.cfg.Life.Go("directory on demand", func(ctx context.Context) error {
		var out outcome
		for _, x := range list {
			r, err := s.run(ctx, x, o)
			if out.results = append(out.results, r); err != nil && out.err == nil {
				out.err = err
			}
		}
		done <- out
		return nil
	}) {
		return nil, fault.New(fault.Unavailable, op, "the server is stopping")
	}
	select {
	case out := <-done:
		return out.results, out.err
	case <-ctx.Done():
		return nil, fault.New(fault.Timeout, op, "the run goes on; Get-CsDirectorySyncState shows when it is done").Because(ctx.Err())
	}
}

// run reads one source and does what it asks for.
func (s *Service) run(ctx context.Context, x *source, o dirsync.Options) (dirsync.Result, error) {
	if err := x.turn.Acquire(ctx, 1); err != nil {
		return dirsync.Result{}, err
	}
	defer x.turn.Release(1)
	s.change(x, func(st *dirsync.State) { st.Running = true })
	plan, err := s.once(ctx, x, o)
	s.change(x, func(st *dirsync.State) { st.Running = false })
	return dirsync.Result{State: s.stateOf(x), Plan: plan}, err
}

// once is a run that has its turn.
func (s *Service) once(ctx context.Context, x *source, o dirsync.Options) (dirsync.Plan, error) {
	began := s.cfg.Clock.Now()
	f, plan, err := s.plan(ctx, x, began)
	switch {
	case o.WhatIf && (err != nil || o.Approve == "" || o.Approve == plan.ID):
	case err != nil:
		if ctx.Err() == nil {
			err = s.or(err, s.failed(ctx, x, err, dirsync.Counts{}, began))
		}
	case o.Approve != "" && o.Approve != plan.ID:
		err = fault.Newf(fault.Stale, "dirsync.run", "the directory asks for plan %s by now, not for %s; look at it with -WhatIf and approve that one", plan.ID, clip(o.Approve)).About("Approve")
	case len(plan.Exceeded) > 0 && o.Approve == "":
		err = s.waits(ctx, x, f, &plan, began)
	default:
		err = s.carry(ctx, x, f, &plan, o.Approve != "", began)
	}
	return plan, err
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// or returns the first failure that there is; the other one is logged.
func (s *Service) or(err, second error) error {
	if err == nil {
		return second
	}
	if second != nil {
		s.cfg.Log.Error("the state of the synchronisation was not stored", "err", second)
	}
	return err
}

// plan reads the source and compares.
func (s *Service) plan(ctx context.Context, x *source, now time.Time) (*fetched, dirsync.Plan, error) {
	f, err := x.fetch(ctx, now, s.cfg.Log)
	if err != nil {
		return nil, dirsync.Plan{}, err
	}
	in := dirsync.Input{
		Source: x.Name, Mapping: x.mapping, Now: now, Retention: x.Retention, First: s.stateOf(x).LastSuccess.IsZero(),
		Groups: len(x.Groups.Bases) > 0, People: f.people, Teams: f.teams, Broken: f.broken, Limits: limits(x),
	}
	if in.Known, err = s.cfg.State.All(ctx, x.Name); err != nil {
		return nil, dirsync.Plan{}, err
	}
	if in.Spent, err = s.cfg.State.Spent(ctx, x.Name, now.Add(-window)); err != nil {
		return nil, dirsync.Plan{}, err
	}
	if granted := s.stateOf(x).Granted; len(granted) > 0 {
		in.Granted = make(map[string]bool, len(granted))
		for digest := range granted {
			in.Granted[digest] = true
		}
	}
	if in.Users, err = s.cfg.Users.List(ctx, users.Query{}); err != nil {
		return nil, dirsync.Plan{}, err
	}
	if in.Stored, in.Members, err = s.groups(ctx, x.Name); err != nil {
		return nil, dirsync.Plan{}, err
	}
	return f, dirsync.Make(in), nil
}

// groups reads the stored groups, with the members of those of the source.
func (s *Service) groups(ctx context.Context, name string) ([]directory.Group, map[string][]directory.Member, error) {
	list, err := s.cfg.Users.ListGroups(ctx, "", 0)
	members := map[string][]directory.Member{}
	for i := 0; err == nil && i < len(list); i++ {
		if list[i].Source != name {
			continue
		}
		var e directory.Expansion
		e, err = s.cfg.Users.Expand(ctx, list[i].GUID, 0)
		for _, m := range e.Members {
			members[list[i].GUID] = append(members[list[i].GUID], m.Member())
		}
	}
	return list, members, err
}

func limits(x *source) dirsync.Limits {
	b := x.Budget
	return dirsync.Limits{
		Creates: dirsync.Limit{Max: b.Creates, Percent: b.CreatesPercent}, Changes: dirsync.Limit{Max: b.Changes, Percent: b.ChangesPercent},
		Disables: dirsync.Limit{Max: b.Disables, Percent: b.DisablesPercent}, Reactivations: dirsync.Limit{Max: b.Reactivations, Percent: b.ReactivationsPercent},
		Deletes: dirsync.Limit{Max: b.Deletes, Percent: b.DeletesPercent}, Groups: dirsync.Limit{Max: b.Groups, Percent: b.GroupsPercent},
	}
}
