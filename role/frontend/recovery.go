package frontend

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/replica"
	"trivet/rule/groupstate"
	"trivet/rule/poolstate"
	"trivet/rule/quorum"
	"trivet/rule/recovery"
	"trivet/store/users"
	"trivet/uc"
)

// Calls between servers about recovery.
const (
	callSurvey  = "recovery.survey"
	callTake    = "recovery.take"
	callRestart = "service.restart"
)

// surveyLimit is how long servers may take to say what they have, takeLimit how long one may
// take to recover its groups.
const (
	surveyLimit = 10 * time.Second
	takeLimit   = 2 * time.Minute
)

// surveyed is what a server has of a group, and who votes in it as far as it knows.
type surveyed struct {
	Group   uc.GroupID    `json:"group"`
	Copy    recovery.Copy `json:"copy"`
	Voters  []uint64      `json:"voters"`
	Leaving []uint64      `json:"leaving,omitempty"`
}

func (m *member) serveRecovery() {
	f := m.fabric
	f.links.Serve(callSurvey, func(context.Context, uc.ServerFQDN, []byte) ([]byte, error) {
		list, group := m.copies(), f.groupStarted()
		if p := f.state(); group == nil || !group.Replayed() || p.Open() && len(list) < len(p.Groups)+2 { // the pool group and the directory group
			return nil, fault.New(fault.Unavailable, "frontend.survey", "this server has not opened all its groups yet")
		}
		return json.Marshal(list)
	})
	f.links.Serve(callTake, func(ctx context.Context, _ uc.ServerFQDN, in []byte) ([]byte, error) {
		var steps []recovery.Step
		if err := json.Unmarshal(in, &steps); err != nil {
			return nil, fault.New(fault.Invalid, "frontend.take", "the steps of the recovery cannot be read").Because(err)
		}
		return nil, m.rework(ctx, "groups are recovered", func(ctx context.Context) error { return m.take(ctx, steps) })
	})
	f.links.Serve(callRestart, func(ctx context.Context, _ uc.ServerFQDN, _ []byte) ([]byte, error) {
		return nil, m.rework(ctx, "an administrator wants it", func(context.Context) error { return nil })
	})
}

// copies are what this server has of every group.
func (m *member) copies() (list []surveyed) {
	for _, st := range m.host.Status() {
		list = append(list, surveyed{st.Group, recovery.Copy{
			Server: m.fqdn, Voter: slices.Contains(st.Voters, m.fabric.number), Leads: st.Primary,
			Generation: st.Generation, Term: st.Term, LastTerm: st.LastTerm, LastIndex: st.LastIndex,
		}, st.Voters, st.Leaving})
	}
	return list
}

// take carries out the steps that fall to this server.
func (m *member) take(ctx context.Context, steps []recovery.Step) error {
	for _, s := range steps {
		r := replica.Recovery{Term: s.Term, Generation: s.Generation}
		begin := m.host.Recover
		if s.Source != recovery.FromCopy {
			begin = m.host.Renew
			if s.Group == uc.DirectoryGroup {
				if err := m.directory.Forget(ctx); err != nil {
					return err
				}
			}
		}
		if err := m.replaceGroup(s.Group, func(x replica.Machine) (*replica.Group, error) { return begin(ctx, s.Group, x, r) }); err != nil {
			return err
		}
		if s.Source == recovery.FromBackEnd {
			if err := m.refill(ctx, m.routing[s.Group-1]); err != nil {
				return err
			}
		}
	}
	return nil
}

// refill gives a routing group that began with nothing the data of the Back End.
func (m *member) refill(ctx context.Context, x *group) error {
	list, _, err := m.backEnd.store.Load(ctx, x.id)
	if err != nil {
		return err
	}
	if err := x.raft.Ready(ctx); err != nil {
		return err
	}
	for _, u := range list {
		r, err := groupstate.ReadRecord(u.Data)
		if err != nil {
			m.log.Error("the copy of a user in the Back End cannot be read", "user", u.User, "err", err)
			continue
		}
		for _, cmd := range groupstate.ImportCommands(r, m.clock.Now().UnixMilli()) {
			if _, err := x.propose(ctx, cmd); err != nil {
				return err
			}
		}
	}
	m.log.Warn("a routing group was given the data of the Back End", "group", x.id, "users", len(list))
	return nil
}

// recoveryDesk is recovery for the cmdlets.
type recoveryDesk struct{ *ground }

var _ cmdlet.Recovery = recoveryDesk{}

// Recovery implements cmdlet.Deployment; a Standard Edition server has nothing to recover.
func (d deployment) Recovery() cmdlet.Recovery {
	if d.fabric == nil {
		return nil
	}
	return recoveryDesk{d.ground}
}

// survey asks all servers that run. One that is connected and does not answer fails it: it
// may hold what the others lack, and would go on with it beside them. For the same reason
// the answer is of the pool group alone while that has to be recovered and a server has
// not opened the others yet: it does when it knows the pool.
func (r recoveryDesk) survey(ctx context.Context) (groups map[uc.GroupID]*recovery.Group, servers []uc.ServerFQDN, err error) {
	f := r.fabric
	groups = map[uc.GroupID]*recovery.Group{}
	voters := map[uc.GroupID]surveyed{} // as the newest copy has them
	opened := map[uc.ServerFQDN]int{}
	limited, cancel := context.WithTimeout(ctx, surveyLimit)
	defer cancel()
	for _, name := range f.connected() {
		list, err := r.ask(limited, name)
		switch {
		case err != nil && f.live(name):
			return nil, nil, fault.Newf(fault.Unavailable, "frontend.survey", "%s is connected and does not say what it has; wait until it does, or stop it, and run this again", name).Because(err)
		case err != nil:
			continue // it is gone
		}
		servers = append(servers, name)
		opened[name] = len(list)
		for _, s := range list {
			if groups[s.Group] == nil {
				groups[s.Group] = &recovery.Group{ID: s.Group}
			}
			groups[s.Group].Copies = append(groups[s.Group].Copies, s.Copy)
			have := voters[s.Group]
			if len(s.Voters) > 0 && cmp.Or(cmp.Compare(s.Copy.Generation, have.Copy.Generation), cmp.Compare(s.Copy.LastTerm, have.Copy.LastTerm), cmp.Compare(s.Copy.LastIndex, have.Copy.LastIndex)) >= 0 {
				voters[s.Group] = s
			}
		}
	}
	for id, g := range groups {
		g.Voters, g.Witness = r.holders(voters[id].Voters)
		g.Leaving, _ = r.holders(voters[id].Leaving)
	}
	if i := slices.IndexFunc(servers, func(name uc.ServerFQDN) bool { return opened[name] < len(groups) }); i >= 0 {
		if g := groups[uc.PoolGroup]; g == nil || recovery.Plan([]recovery.Group{*g}, servers)[0].Source == recovery.Healthy {
			return nil, nil, fault.Newf(fault.Unavailable, "frontend.survey", "%s has not opened all its groups yet; wait until it has, and run this again", servers[i])
		}
		groups = map[uc.GroupID]*recovery.Group{uc.PoolGroup: groups[uc.PoolGroup]}
	}
	r.kept(ctx, groups)
	return groups, servers, nil
}

// ask has a server say what it has, once it has opened its groups.
func (r recoveryDesk) ask(ctx context.Context, name uc.ServerFQDN) (list []surveyed, err error) {
	for {
		b, err := r.fabric.links.Call(ctx, name, callSurvey, nil)
		if err == nil {
			err = json.Unmarshal(b, &list)
		}
		if err == nil || !r.fabric.live(name) || pause(ctx, r.clock, 200*time.Millisecond) != nil {
			return list, err
		}
	}
}

// holders are the servers among voters, and whether the witness is one of them.
func (r recoveryDesk) holders(voters []uint64) (names []uc.ServerFQDN, witness bool) {
	for _, n := range voters {
		if n == quorum.Witness {
			witness = true
			continue
		}
		name := r.fabric.server(n)
		if name == "" {
			name = "a server that is gone"
		}
		names = append(names, name)
	}
	return names, witness
}

// kept adds what the Back End has.
func (r recoveryDesk) kept(ctx context.Context, groups map[uc.GroupID]*recovery.Group) {
	if r.backEnd == nil {
		return
	}
	at, err := r.backEnd.store.Positions(ctx)
	if err != nil {
		r.log.Warn("the Back End was not asked for what it has", "err", err)
		return
	}
	for id, p := range at {
		if g := groups[id]; g != nil {
			g.Kept = &recovery.Kept{Term: p.Term, Index: p.Index, Age: "up to entry " + strconv.FormatUint(p.Index, 10)}
		}
	}
}

// plan is what would be done.
func (r recoveryDesk) plan(ctx context.Context) ([]recovery.Step, map[uc.GroupID]*recovery.Group, error) {
	if r.fabric.groupStarted() == nil {
		return nil, nil, fault.New(fault.Unavailable, "frontend.plan", "this server has not found its place in the pool yet: it has nothing that could be recovered")
	}
	groups, servers, err := r.survey(ctx)
	if err != nil {
		return nil, nil, err
	}
	var list []recovery.Group
	for _, g := range groups {
		list = append(list, *g)
	}
	// The pool's own groups first, whose numbers are the highest.
	slices.SortFunc(list, func(a, b recovery.Group) int {
		return cmp.Or(cmp.Compare(rankOf(a.ID), rankOf(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	return recovery.Plan(list, servers), groups, nil
}

func rankOf(id uc.GroupID) int {
	switch id {
	case uc.PoolGroup:
		return 0
	case uc.DirectoryGroup:
		return 1
	}
	return 2
}

// Plan implements cmdlet.Recovery.
func (r recoveryDesk) Plan(ctx context.Context) ([]cmdlet.RecoveryStep, error) {
	steps, groups, err := r.plan(ctx)
	if err != nil {
		return nil, err
	}
	return r.told(ctx, steps, groups), nil
}

// told is a plan in the words of the cmdlets.
func (r recoveryDesk) told(ctx context.Context, steps []recovery.Step, groups map[uc.GroupID]*recovery.Group) (out []cmdlet.RecoveryStep) {
	people := map[uc.GroupID]int{}
	if list, err := r.store.List(ctx, users.Query{}); err == nil {
		for _, u := range list {
			people[u.RoutingGroup]++
		}
	}
	for _, s := range steps {
		if s.Source == recovery.Healthy {
			continue
		}
		x := cmdlet.RecoveryStep{Service: cmdlet.RoutingService, Group: s.Group, Server: s.Server, Missing: s.Missing, MayBeLost: s.Loss(groups[s.Group].Kept), Users: people[s.Group]}
		switch s.Group {
		case uc.PoolGroup:
			if x.Service = cmdlet.PoolService; len(groups) == 1 { // servers open the others when they know the pool
				x.MayBeLost += "; the other groups can be looked at once this one goes on"
			}
		case uc.DirectoryGroup:
			x.Service = cmdlet.DirectoryService
		}
		x.Source = map[recovery.Source]string{recovery.FromCopy: "Replica", recovery.FromBackEnd: "BackEnd", recovery.FromNothing: "None"}[s.Source]
		out = append(out, x)
	}
	return out
}

// QuorumLoss implements cmdlet.Recovery.
func (r recoveryDesk) QuorumLoss(ctx context.Context) ([]cmdlet.RecoveryStep, error) {
	const op = "frontend.QuorumLoss"
	steps, groups, err := r.plan(ctx)
	if err != nil {
		return nil, err
	}
	by := map[uc.ServerFQDN][]recovery.Step{}
	for _, s := range steps {
		switch {
		case s.Source == recovery.Healthy:
			continue
		case s.Source == recovery.FromNothing && (s.Group == uc.PoolGroup || s.Group == uc.DirectoryGroup):
			return nil, fault.Newf(fault.NotFound, op, "no server that runs has a copy of group %d, without which there is no pool; start one that has", s.Group)
		}
		by[s.Server] = append(by[s.Server], s)
	}
	for _, name := range r.fabric.names() { // in an order, the pool's groups first with each
		if len(by[name]) == 0 {
			continue
		}
		b, err := json.Marshal(by[name])
		if err != nil {
			return nil, err
		}
		limited, cancel := context.WithTimeout(ctx, takeLimit)
		_, err = r.fabric.links.Call(limited, name, callTake, b)
		cancel()
		if err != nil {
			return nil, fault.Newf(fault.KindOf(err), op, "%s could not recover its groups; what other servers did before holds", name).Because(err)
		}
	}
	return r.told(ctx, steps, groups), nil
}

// Restart implements cmdlet.Recovery: one server after the other.
func (r recoveryDesk) Restart(ctx context.Context) error {
	var failed error
	names := r.fabric.connected()
	slices.SortStableFunc(names, func(a, b uc.ServerFQDN) int { // this one last: it answers
		return cmp.Compare(map[bool]int{true: 1}[a == r.fqdn], map[bool]int{true: 1}[b == r.fqdn])
	})
	for _, name := range names {
		limited, cancel := context.WithTimeout(ctx, takeLimit)
		_, err := r.fabric.links.Call(limited, name, callRestart, nil)
		cancel()
		if err != nil {
			failed = errors.Join(failed, fault.Newf(fault.KindOf(err), "frontend.Restart", "the services of %s were not started anew", name).Because(err))
		}
	}
	return failed
}

// MachineLost implements cmdlet.Recovery.
func (r recoveryDesk) MachineLost(ctx context.Context, name uc.ServerFQDN) error {
	const op = "frontend.MachineLost"
	s := r.fabric.state().Server(name)
	switch {
	case s == nil:
		return fault.Newf(fault.NotFound, op, "the pool has no server %s; it has %s", name, list(r.fabric.names()))
	case r.fabric.live(name):
		return fault.Newf(fault.Exists, op, "%s runs and is connected: stop it first if its data is lost", name)
	}
	_, err := r.fabric.propose(ctx, &poolstate.Dismiss{FQDN: name, Number: s.Number})
	return err
}

// Await implements cmdlet.Recovery.
func (r recoveryDesk) Await(ctx context.Context) (waits string, err error) {
	f := r.fabric
	for {
		switch {
		case f.groupStarted() == nil:
			waits = "this server to find its place in the pool"
		case f.leader(uc.PoolGroup) == "":
			waits = f.quorumReason()
		case !f.state().Open():
			waits = "the pool to be opened; missing: " + list(f.absent())
		default:
			waits = ""
			for _, st := range f.host.Status() {
				if f.leader(st.Group) == "" {
					waits = "group " + strconv.FormatUint(uint64(st.Group), 10) + ", which has no primary; connected: " + list(f.connected()) + "; missing: " + list(f.absent())
				}
			}
		}
		if waits == "" || pause(ctx, f.clock, 250*time.Millisecond) != nil {
			return waits, nil
		}
	}
}
