package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trivet/replica"
	"trivet/rule/poolstate"
	"trivet/service/poolmanager"
	"trivet/uc"
)

// managed is the pool as its manager sees it. What it asks for is begun and not waited
// for: the next round sees what came of it.
type managed struct{ s *server }

var _ poolmanager.Pool = managed{}

func (m managed) State() *poolstate.Pool { return m.s.view }

func (m managed) Leads() bool { return m.s.leader(uc.PoolGroup) == m.s }

func (m managed) Topology() poolstate.Open {
	w := m.s.w
	return poolstate.Open{ID: fmt.Sprintf("pool %d", w.opts.Seed), Witness: w.base != nil, Members: w.members(w.topology)}
}

func (w *world) members(names []uc.ServerFQDN) (list []poolstate.Member) {
	for _, n := range names {
		list = append(list, poolstate.Member{FQDN: n, Domain: w.domains[n]})
	}
	return list
}

func (m managed) RoutingGroups() int { return m.s.w.groups }

func (m managed) Live(name uc.ServerFQDN) bool {
	o := m.s.w.named(name)
	return o != nil && m.s.live(o)
}

func (m managed) Propose(_ context.Context, c poolstate.Command) error {
	_, err := m.s.host.Propose(m.s.poolLog, replica.ID{}, poolstate.Encode(c))
	return err
}

func (m managed) Membership(id uc.GroupID) (is replica.Members, leader uint64, ok bool) {
	s := m.s
	if g := s.host.Group(id); g != nil {
		st := g.Status()
		is, leader, ok = st.Members, st.Leader, len(st.Voters) > 0
	}
	if leader != 0 {
		return is, leader, ok
	}
	if by := s.ledBy(id); by != nil {
		return by.host.Group(id).Status().Members, by.number(), true
	}
	return is, leader, ok
}

// ledBy asks the others who leads a group that has no leader as known here: this server
// may be no member of it yet.
func (s *server) ledBy(id uc.GroupID) *server {
	for _, o := range s.w.servers {
		if o == s || !s.w.net.talk(s, o) || o.host == nil {
			continue
		}
		if g := o.host.Group(id); g != nil && g.Status().Primary {
			return o
		}
	}
	return nil
}

func (m managed) Generation(id uc.GroupID) uint64 {
	if g := m.s.host.Group(id); g != nil {
		if n, _ := g.Leader(); n != 0 {
			return g.Generation()
		}
	}
	if by := m.s.ledBy(id); by != nil {
		return by.host.Group(id).Generation()
	}
	return 0
}

var errNoLeader = errors.New("the group has no leader that is reached")

// order has the leader of a group do something, if it still thinks that it leads and that
// this server leads the pool.
func (m managed) order(id uc.GroupID, do func(leader *server)) error {
	s := m.s
	leader := s.leader(id)
	if leader == nil {
		leader = s.ledBy(id)
	}
	if leader == nil || !s.w.net.talk(s, leader) {
		return errNoLeader
	}
	life := leader.life
	s.w.after(s.w.chance.between(0, 3*time.Millisecond), func() {
		leader.now(life, func() {
			if leader.host != nil && leader.leader(uc.PoolGroup) == s && leader.leader(id) == leader {
				do(leader)
				leader.soon()
			}
		})
	})
	return nil
}

func (m managed) Change(_ context.Context, id uc.GroupID, want replica.Members) error {
	return m.order(id, func(leader *server) { leader.host.Change(id, want) })
}

func (m managed) Handover(_ context.Context, id uc.GroupID, to uint64) error {
	return m.order(id, func(leader *server) { leader.host.Group(id).Handover(to) })
}
