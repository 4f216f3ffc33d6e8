package dirsync

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"trivet/rule/dirsync"
)

// Bounds of what a State lists.
const (
	maxListed   = 1000
	maxExamples = 10
)

// recall reads the state of the last process.
func (s *Service) recall(ctx context.Context, name string) (*dirsync.State, error) {
	st := &dirsync.State{Source: name, Phase: dirsync.NeverRun}
	b, err := s.cfg.State.State(ctx, name)
	if err == nil && b != nil {
		if json.Unmarshal(b, st) != nil { // of another release: the next run writes it anew
			st = &dirsync.State{Source: name, Phase: dirsync.NeverRun}
		}
	}
	return st, err
}

// States returns how all sources stand, in the order of the settings.
func (s *Service) States() []dirsync.State {
	var list []dirsync.State
	for _, x := range s.sources {
		list = append(list, s.stateOf(x))
	}
	return list
}

func (s *Service) stateOf(x *source) dirsync.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := *s.states[x.Name]
	st.Exceeded, st.Examples, st.Conflicts = slices.Clone(st.Exceeded), slices.Clone(st.Examples), slices.Clone(st.Conflicts)
	return st
}

func (s *Service) change(x *source, f func(st *dirsync.State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.states[x.Name])
}

// save changes the state and stores it.
func (s *Service) save(ctx context.Context, x *source, f func(st *dirsync.State)) error {
	s.change(x, f)
	b, err := json.Marshal(s.stateOf(x))
	if err != nil {
		return err
	}
	return s.cfg.State.SetState(ctx, x.Name, b)
}

// Problems says which sources are not well, by source.
func (s *Service) Problems() map[string]string {
	problems := map[string]string{}
	for _, st := range s.States() {
		switch st.Phase {
		case dirsync.WaitingForApproval, dirsync.Failed:
			problems["directory source "+st.Source] = st.Problem
		}
	}
	return problems
}

// waits notes a plan that waits for approval. It is told in the log once.
func (s *Service) waits(ctx context.Context, x *source, f *fetched, p *dirsync.Plan, began time.Time) error {
	if s.stateOf(x).PlanID != p.ID {
		s.cfg.Log.Warn("a directory asks for more than its budget; nothing is changed until the plan is approved", "source", x.Name, "plan", p.ID, "why", p.Exceeded, "examples", examples(p))
	}
	s.counted.runs(x.Name, "waiting")
	return s.save(ctx, x, func(st *dirsync.State) {
		s.seen(st, f, p, began)
		st.Phase, st.PlanID, st.Pending, st.Exceeded, st.Examples = dirsync.WaitingForApproval, p.ID, p.Counts, p.Exceeded, examples(p)
		st.Problem = fmt.Sprintf("The directory asks for more than its budget (%s); nothing was changed. See Update-CsUserDatabase -Source %s -WhatIf, then approve it with -Approve %s.", join(p.Exceeded), x.Name, p.ID)
	})
}

// done notes a plan that was applied, or asked for nothing.
func (s *Service) done(ctx context.Context, x *source, f *fetched, p *dirsync.Plan, began time.Time) error {
	s.counted.runs(x.Name, "done")
	return s.save(ctx, x, func(st *dirsync.State) {
		s.seen(st, f, p, began)
		st.Phase, st.Problem, st.LastSuccess, st.Counts = dirsync.Ready, "", st.LastRun, p.Counts
		st.PlanID, st.Pending, st.Exceeded, st.Examples, st.Granted = "", dirsync.Counts{}, nil, nil, nil
	})
}

// failed notes a run that changed nothing, or not all, for want of an answer.
func (s *Service) failed(ctx context.Context, x *source, err error, applied dirsync.Counts, began time.Time) error {
	s.counted.runs(x.Name, "failed")
	return s.save(ctx, x, func(st *dirsync.State) {
		st.Phase, st.LastRun, st.Duration, st.Server = dirsync.Failed, began, s.cfg.Clock.Now().Sub(began), ""
		st.Failures++
		st.Problem = "The last run failed: " + sentence(err) + ". Users and groups stay as they are."
		if applied != (dirsync.Counts{}) {
			st.Counts = applied
			st.Problem = "The last run was ended in the middle: " + sentence(err) + ". The changes up to then are made; the next run does the rest."
		}
	})
}

// seen notes what a whole answer had.
func (s *Service) seen(st *dirsync.State, f *fetched, p *dirsync.Plan, began time.Time) {
	st.LastRun, st.Duration, st.Server, st.Failures = began, s.cfg.Clock.Now().Sub(began), f.server, 0
	st.Users, st.Groups, st.Skipped, st.Kept, st.Conflicts = p.People, p.Teams, p.Skipped, p.Kept, nil
	for i, c := range p.Conflicts {
		if i == maxListed {
			st.Conflicts = append(st.Conflicts, fmt.Sprintf("and %d more", len(p.Conflicts)-i))
			break
		}
		st.Conflicts = append(st.Conflicts, c.Label+": "+c.Text)
	}
}

func examples(p *dirsync.Plan) (list []string) {
	perKind := map[dirsync.Kind]int{}
	for _, a := range p.Actions {
		if perKind[a.Kind]++; perKind[a.Kind] <= 3 && len(list) < maxExamples {
			list = append(list, a.String()+": "+a.Label)
		}
	}
	return list
}

func join(list []string) string { return strings.Join(list, "; ") }
