// Package frontend is the Front End role: it opens the stores, starts the routing
// groups, joins the services with the links they are reached by, and stops it all
// in reverse. In the Standard Edition it is the whole server. Nothing is decided
// here; what a request does is in the services, what is true is in rule/.
package frontend

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/replica"
	"trivet/rule/groupstate"
	"trivet/uc"
)

// groupCount is the number of routing groups of a Standard Edition server. It is
// fixed when the data folder is made: users are spread over the groups at enable
// time and stay where they are.
const groupCount = 8

// group is one routing group on this server: its replica and the state behind it.
type group struct {
	id    uc.GroupID
	raft  *replica.Group
	state *groupstate.State

	behind follower // changes of the directory that the group has not followed yet

	fed  bool                             // the feed is started; the starts of services follow one another
	feed atomic.Pointer[replica.FeedFunc] // who takes it now, nil for nobody
}

// feedTo has f take the durable feed of the group, nil nobody: then it waits.
func (x *group) feedTo(f replica.FeedFunc) error {
	if f == nil {
		x.feed.Store(nil)
		return nil
	}
	x.feed.Store(&f)
	if x.fed {
		return nil
	}
	x.fed = true
	return x.raft.Feed("contacts", func(ctx context.Context, index uint64, events []any) error {
		f := x.feed.Load()
		if f == nil {
			return fault.New(fault.Unavailable, "frontend.feed", "the services do not run")
		}
		return (*f)(ctx, index, events)
	})
}

// machine makes a routing group's state a replica.Machine.
type machine struct{ state *groupstate.State }

var _ replica.Machine = machine{}

func (m machine) Apply(index uint64, cmd []byte) (any, []any) { return m.state.Apply(index, cmd) }
func (m machine) Snapshot() func(io.Writer) error             { return m.state.Snapshot() }
func (m machine) Restore(r io.Reader) error                   { return m.state.Restore(r) }

// groups is the way to the state of every user: it finds the routing group,
// proposes commands to it and reads from it.
type groups struct {
	all     []*group // index = id-1
	home    func(uc.UserURI) (uc.GroupID, bool)
	enabled func(uc.UserURI) bool
	clock   clock.Clock
	limited func() bool // reports resiliency mode; nil: there is none
}

// startGroup has this server take part in a routing group.
func startGroup(ctx context.Context, host *replica.Host, id uc.GroupID, first replica.Members) (*group, error) {
	state := groupstate.New()
	r, err := host.Start(ctx, id, machine{state}, first)
	if err != nil {
		return nil, fault.Wrap(fmt.Sprintf("frontend.startGroup %d", id), err)
	}
	return newGroup(id, r, state), nil
}

func newGroup(id uc.GroupID, r *replica.Group, state *groupstate.State) *group {
	return &group{id: id, raft: r, state: state, behind: follower{wake: make(chan struct{}, 1)}}
}

// startGroups has this server take part in the first n routing groups, and waits
// until they can be used.
func startGroups(ctx context.Context, host *replica.Host, n int) (all []*group, err error) {
	for id := 1; id <= n; id++ {
		x, err := startGroup(ctx, host, uc.GroupID(id), replica.Alone(1))
		if err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	for _, x := range all {
		if err := x.raft.Ready(ctx); err != nil {
			return nil, fault.Wrap(fmt.Sprintf("frontend.startGroups %d", x.id), err)
		}
	}
	return all, nil
}

func (g *groups) of(user uc.UserURI) (*group, error) {
	id, ok := g.home(user)
	if !ok || id == 0 || int(id) > len(g.all) {
		return nil, fault.New(fault.NotFound, "frontend.groups", "no such user is enabled here").About(string(user)).Diagnosed(4005)
	}
	return g.all[id-1], nil
}

// Propose has the user's routing group carry out cmd and returns its result once
// it is durable. A user of the directory whom the group has never met is enabled
// there first: the directory is where users are made. Several devices may bring
// that about at once.
func (g *groups) Propose(ctx context.Context, user uc.UserURI, cmd groupstate.Command) (any, error) {
	x, err := g.of(user)
	if err != nil {
		return nil, err
	}
	if err := g.refuseLasting(user, cmd); err != nil {
		return nil, err
	}
	result, err := x.propose(ctx, cmd)
	if !fault.Is(err, fault.NotFound) || !g.enabled(user) {
		return result, err
	}
	if err := g.meet(ctx, x, user); err != nil {
		return nil, err
	}
	return x.propose(ctx, cmd)
}

// meet makes a user known to the group, who starts with nothing. What the directory
// said before comes first: the user may be one with a new address.
func (g *groups) meet(ctx context.Context, x *group, user uc.UserURI) error {
	if done := x.behind.last(); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return fault.New(fault.Timeout, "frontend.meet", "the routing group has not followed the directory yet; try again").About(string(user)).Because(ctx.Err())
		}
	}
	if x.knows(ctx, user) {
		return nil
	}
	_, err := x.propose(ctx, &groupstate.EnableUser{User: user, Now: g.now()})
	return err
}

// Propose has this group carry out cmd.
func (x *group) Propose(ctx context.Context, cmd groupstate.Command) (any, error) {
	return x.propose(ctx, cmd)
}

// Read runs f on the group's goroutine.
func (x *group) Read(ctx context.Context, f func(*groupstate.State)) error {
	return x.raft.Read(ctx, func() { f(x.state) })
}

// Primary reports whether this server leads the group.
func (x *group) Primary() bool { return x.raft.Status().Primary }

func (x *group) propose(ctx context.Context, cmd groupstate.Command) (any, error) {
	result, err := x.raft.Propose(ctx, groupstate.Encode(cmd))
	if err != nil {
		return nil, err
	}
	if err := groupstate.Refused(result); err != nil {
		return nil, err
	}
	return result, nil
}

func (x *group) knows(ctx context.Context, user uc.UserURI) bool {
	known := false
	err := x.raft.Read(ctx, func() { known = x.state.User(user) != nil })
	return err == nil && known
}

// Read runs f on the goroutine of the user's routing group with its state as of
// now. f must be brief and may keep what it is handed. A user of the directory whom
// the group has never met is enabled there first.
func (g *groups) Read(ctx context.Context, user uc.UserURI, f func(*groupstate.State)) error {
	x, err := g.of(user)
	if err != nil {
		return err
	}
	stranger := false
	err = x.raft.Read(ctx, func() {
		if stranger = x.state.User(user) == nil && g.enabled(user); !stranger {
			f(x.state)
		}
	})
	if err != nil || !stranger {
		return err
	}
	if err := g.meet(ctx, x, user); err != nil {
		return err
	}
	return x.raft.Read(ctx, func() { f(x.state) })
}

// ReadMany calls f for every user of ours among users, visiting each group once.
func (g *groups) ReadMany(ctx context.Context, users []uc.UserURI, f func(uc.UserURI, *groupstate.State)) error {
	by := make([][]uc.UserURI, len(g.all))
	for _, u := range users {
		if id, ok := g.home(u); ok && int(id) <= len(by) {
			by[id-1] = append(by[id-1], u)
		}
	}
	for i, mine := range by {
		if len(mine) == 0 {
			continue
		}
		x := g.all[i]
		err := x.raft.Read(ctx, func() {
			for _, u := range mine {
				f(u, x.state)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *groups) now() int64 { return g.clock.Now().UnixMilli() }
