package frontend

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/google/uuid"

	"trivet/fault"
	"trivet/replica"
	"trivet/rule/poolstate"
	"trivet/service/poolmanager"
	"trivet/uc"
)

// managed is the pool as its manager sees it.
type managed struct{ *member }

var _ poolmanager.Pool = managed{}

// Calls between servers about the members of groups.
const (
	callChange   = "group.change"
	callHandover = "group.handover"
)

// groupOrder asks the leader of a group for something.
type groupOrder struct {
	Group   uc.GroupID      `json:"group"`
	Members replica.Members `json:"members,omitzero"`
	To      uint64          `json:"to,omitempty"`
}

func (m managed) State() *poolstate.Pool { return m.fabric.state() }

func (m managed) Leads() bool { return m.fabric.groupStarted().Status().Primary }

func (m managed) Topology() poolstate.Open {
	return poolstate.Open{
		ID: uuid.NewString(), Witness: m.fabric.pool.BackEnd != nil, Members: membersOf(m.fabric.pool.Computers), Document: m.document,
	}
}

func (m managed) RoutingGroups() int { return m.fabric.pool.RoutingGroups }

func (m managed) Live(name uc.ServerFQDN) bool { return m.fabric.live(name) }

func (m managed) Propose(ctx context.Context, c poolstate.Command) error {
	_, err := m.fabric.propose(ctx, c)
	return err
}

func (m managed) Membership(g uc.GroupID) (is replica.Members, leader uint64, ok bool) {
	x, ok := m.fabric.led(g)
	return x.Members, x.Leader, ok
}

func (m managed) Generation(g uc.GroupID) uint64 {
	x, _ := m.fabric.led(g)
	return x.Generation
}

func (m managed) Change(ctx context.Context, g uc.GroupID, want replica.Members) error {
	return m.fabric.order(ctx, callChange, groupOrder{Group: g, Members: want})
}

func (m managed) Handover(ctx context.Context, g uc.GroupID, to uint64) error {
	return m.fabric.order(ctx, callHandover, groupOrder{Group: g, To: to})
}

// order has the leader of a group do something with it.
func (f *fabric) order(ctx context.Context, call string, o groupOrder) error {
	leader := f.leader(o.Group)
	if x, _ := f.led(o.Group); leader == "" {
		leader = f.server(x.Leader)
	}
	if leader == "" || leader == f.self && !f.host.Group(o.Group).Status().Primary {
		return fault.Newf(fault.NoQuorum, "frontend.order", "group %d has no leader", o.Group)
	}
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = f.links.Call(ctx, leader, call, b)
	return err
}

// serveOrders carries out what the manager asks of the leaders of groups.
func (f *fabric) serveOrders() {
	orders := map[string]func(ctx context.Context, g *replica.Group, o groupOrder) error{
		callChange: func(ctx context.Context, g *replica.Group, o groupOrder) error { return g.Change(ctx, o.Members) },
		callHandover: func(_ context.Context, g *replica.Group, o groupOrder) error {
			if !slices.Contains(g.Status().Voters, o.To) {
				return fault.Newf(fault.Invalid, "frontend.handover", "server %d does not vote in group %d", o.To, o.Group)
			}
			g.Handover(o.To)
			return nil
		},
	}
	for name, do := range orders {
		f.links.Serve(name, func(ctx context.Context, from uc.ServerFQDN, in []byte) ([]byte, error) {
			const op = "frontend.order"
			var o groupOrder
			if err := json.Unmarshal(in, &o); err != nil {
				return nil, fault.New(fault.Invalid, op, "the order cannot be read").Because(err)
			}
			if f.leader(uc.PoolGroup) != from {
				return nil, fault.Newf(fault.Forbidden, op, "%s does not lead the pool group", from)
			}
			g := f.host.Group(o.Group)
			if g == nil || !g.Status().Primary {
				return nil, fault.Newf(fault.NotPrimary, op, "this server does not lead group %d", o.Group)
			}
			return nil, do(ctx, g, o)
		})
	}
}
