package frontend

import (
	"context"
	"fmt"
	"io"
	"time"

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
	all   []*group // index = id-1
	home  func(uc.UserURI) (uc.GroupID, bool)
	clock clock.Clock
}

func startGroups(ctx context.Context, host *replica.Host, home func(uc.UserURI) (uc.GroupID, bool), c clock.Clock) (*groups, error) {
	g := &groups{home: home, clock: c}
	for id := uc.GroupID(1); id <= groupCount; id++ {
		state := groupstate.New()
		r, err := host.Start(ctx, id, machine{state})
		if err != nil {
			return nil, fault.Wrap(fmt.Sprintf("frontend.startGroups %d", id), err)
		}
		g.all = append(g.all, &group{id, r, state})
	}
	for _, x := range g.all {
		if err := x.raft.Ready(ctx); err != nil {
			return nil, fault.Wrap(fmt.Sprintf("frontend.startGroups %d", x.id), err)
		}
	}
	return g, nil
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
// there first: the directory is where users are made.
func (g *groups) Propose(ctx context.Context, user uc.UserURI, cmd groupstate.Command) (any, error) {
	x, err := g.of(user)
	if err != nil {
		return nil, err
	}
	result, err := x.propose(ctx, cmd)
	if fault.Is(err, fault.NotFound) && !x.knows(ctx, user) {
		if _, err := x.propose(ctx, &groupstate.EnableUser{User: user, Now: g.now()}); err != nil {
			return nil, err
		}
		return x.propose(ctx, cmd)
	}
	return result, err
}

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
// now. f must be brief and may keep what it is handed.
func (g *groups) Read(ctx context.Context, user uc.UserURI, f func(*groupstate.State)) error {
	x, err := g.of(user)
	if err != nil {
		return err
	}
	return x.raft.Read(ctx, func() { f(x.state) })
}

// Each calls f for every group.
func (g *groups) Each(f func(uc.GroupID, *groupstate.State, *replica.Group)) {
	for _, x := range g.all {
		f(x.id, x.state, x.raft)
	}
}

// ReadAll runs f on the goroutine of every group, one after the other.
func (g *groups) ReadAll(ctx context.Context, f func(*groupstate.State)) error {
	for _, x := range g.all {
		if err := x.raft.Read(ctx, func() { f(x.state) }); err != nil {
			return err
		}
	}
	return nil
}

// ProposeAll has every group carry out cmd.
func (g *groups) ProposeAll(ctx context.Context, cmd groupstate.Command) error {
	for _, x := range g.all {
		if _, err := x.propose(ctx, cmd); err != nil {
			return err
		}
	}
	return nil
}

func (g *groups) now() int64 { return g.clock.Now().UnixMilli() }

// sweepEvery is how often groups are asked whether something has expired. What a
// client was promised to end at an instant may end this much later.
const sweepEvery = time.Second

// sweep ends what has expired: registrations, publications, subscriptions.
func (g *groups) sweep(ctx context.Context) error {
	tick := g.clock.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C():
		}
		for _, x := range g.all {
			due := int64(0)
			now := g.now()
			err := x.raft.Read(ctx, func() { due, _ = x.state.NextExpiry() })
			if err == nil && due != 0 && due <= now {
				_, err = x.propose(ctx, &groupstate.Sweep{Now: now})
			}
			if err != nil && ctx.Err() == nil && !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.NoQuorum) {
				return fault.Wrap("frontend.sweep", err)
			}
		}
	}
}
