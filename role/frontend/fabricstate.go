package frontend

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/replica"
	"trivet/rule/quorum"
	"trivet/uc"
)

// Fabric is the groups of the pool; a Standard Edition server has none.
func (d deployment) Fabric() cmdlet.Fabric {
	if d.fabric == nil {
		return nil
	}
	return fabricView{d.ground}
}

// fabricView is the pool for those who look at it.
type fabricView struct{ *ground }

var _ cmdlet.Fabric = fabricView{}

// callProgress asks a server how far the members of the groups are that it leads.
const callProgress = "group.progress"

// serveProgress answers it.
func (f *fabric) serveProgress() {
	f.links.Serve(callProgress, func(ctx context.Context, _ uc.ServerFQDN, _ []byte) ([]byte, error) {
		out := map[uc.GroupID][]replica.Progress{}
		for _, st := range f.host.Status() {
			g := f.host.Group(st.Group)
			if g == nil || !st.Primary {
				continue
			}
			list, err := g.Progress(ctx)
			if err != nil {
				return nil, err
			}
			out[st.Group] = list
		}
		return json.Marshal(out)
	})
}

// progress asks the leaders of all groups, each once.
func (f *fabric) progress(ctx context.Context) map[uc.GroupID][]replica.Progress {
	leaders := map[uc.ServerFQDN]bool{}
	for _, st := range f.host.Status() {
		if name := f.leader(st.Group); name != "" {
			leaders[name] = true
		}
	}
	limited, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var (
		mu   sync.Mutex // guards all
		all  = map[uc.GroupID][]replica.Progress{}
		done sync.WaitGroup
	)
	for name := range leaders {
		done.Add(1)
		if !f.start("progress of groups", func(context.Context) error {
			defer done.Done()
			b, err := f.links.Call(limited, name, callProgress, nil)
			var got map[uc.GroupID][]replica.Progress
			if err != nil || json.Unmarshal(b, &got) != nil {
				return nil // it is shown as not known
			}
			mu.Lock()
			defer mu.Unlock()
			for g, list := range got {
				all[g] = list
			}
			return nil
		}) {
			done.Done()
		}
	}
	done.Wait()
	return all
}

// GroupOf implements cmdlet.Fabric.
func (v fabricView) GroupOf(user uc.UserURI) (uc.GroupID, error) {
	u, err := v.store.ByAddress(context.Background(), user)
	if err != nil {
		return 0, err
	}
	if u.RoutingGroup == 0 {
		return 0, fault.New(fault.NotFound, "frontend.GroupOf", "the user is not enabled and so in no routing group").About(string(user))
	}
	return u.RoutingGroup, nil
}

// State implements cmdlet.Fabric.
func (v fabricView) State(ctx context.Context) (cmdlet.FabricState, error) {
	f := v.fabric
	out := cmdlet.FabricState{Pool: v.pool}
	if f.groupStarted() == nil {
		return out, fault.New(fault.Unavailable, "frontend.State", "this server has not found its place in the pool yet")
	}
	progress := f.progress(ctx)
	for _, st := range f.host.Status() {
		out.Groups = append(out.Groups, f.groupState(st, progress[st.Group]))
	}
	order := map[string]int{cmdlet.PoolService: 0, cmdlet.DirectoryService: 1, cmdlet.RoutingService: 2}
	slices.SortStableFunc(out.Groups, func(a, b cmdlet.FabricGroup) int {
		return cmp.Or(cmp.Compare(order[a.Service], order[b.Service]), cmp.Compare(a.Group, b.Group))
	})
	out.Servers = f.serverStates(out.Groups)
	f.countVotes(&out)
	return out, nil
}

func (f *fabric) groupState(st replica.Status, list []replica.Progress) cmdlet.FabricGroup {
	g := cmdlet.FabricGroup{Service: cmdlet.RoutingService, Group: st.Group, Primary: f.leader(st.Group), Generation: st.Generation}
	p := f.state()
	g.Wanted = quorum.Seeds(len(f.names()))
	switch {
	case st.Group == uc.PoolGroup:
		g.Service = cmdlet.PoolService
	case st.Group == uc.DirectoryGroup:
		g.Service = cmdlet.DirectoryService
	case int(st.Group) <= len(p.Groups):
		g.Preferred, g.Wanted = f.server(p.Groups[st.Group-1].Preferred), quorum.Copies(len(f.names()))
	}
	add := func(n uint64, role string) {
		name := f.server(n)
		r := cmdlet.FabricReplica{Server: name, Role: role, Live: name != "" && f.live(name)}
		switch {
		case n == quorum.Witness:
			r = cmdlet.FabricReplica{Server: cmdlet.RoleWitness, Role: cmdlet.RoleWitness, Live: f.witnessUp()}
		case name == "":
			r.Server = uc.ServerFQDN("a server that is gone")
		case name == g.Primary:
			r.Role = cmdlet.RolePrimary
		}
		for _, x := range list {
			switch {
			case x.Node != n:
			case n == quorum.Witness: // only the leader asks it often
				r.Known, r.Behind, r.Live = true, x.Lag, x.Active
			default:
				r.Known, r.Behind, r.Live = true, x.Lag, r.Live && x.Active
			}
		}
		g.Replicas = append(g.Replicas, r)
	}
	for _, n := range st.Voters {
		add(n, cmdlet.RoleSecondary)
	}
	for _, n := range st.Observers {
		add(n, cmdlet.RoleObserver)
	}
	rank := map[string]int{cmdlet.RolePrimary: 0, cmdlet.RoleSecondary: 1, cmdlet.RoleWitness: 2, cmdlet.RoleObserver: 3}
	slices.SortStableFunc(g.Replicas, func(a, b cmdlet.FabricReplica) int { return cmp.Compare(rank[a.Role], rank[b.Role]) })
	return g
}

func (f *fabric) witnessUp() bool {
	st := f.witness()
	return !st.Since.IsZero() && st.Err == nil
}

// serverStates are the servers with what they have of the groups.
func (f *fabric) serverStates(groups []cmdlet.FabricGroup) (list []cmdlet.FabricServer) {
	p := f.state()
	since := map[uc.ServerFQDN]time.Time{f.self: f.began}
	for _, x := range f.links.Peers() {
		since[x.FQDN] = x.Since
	}
	for i, name := range f.names() {
		s := cmdlet.FabricServer{Number: f.numberOf(name), FQDN: name, Live: f.live(name), Since: since[name], Seed: i < quorum.Seeds(len(f.names()))}
		if is := p.Server(name); is != nil {
			s.Domain, s.Draining = is.Domain, is.Draining
		}
		for _, g := range groups {
			if g.Primary == name {
				s.Leads++
			}
			if slices.ContainsFunc(g.Replicas, func(r cmdlet.FabricReplica) bool {
				return r.Server == name && r.Role != cmdlet.RoleObserver
			}) {
				s.Votes++
			}
		}
		list = append(list, s)
	}
	return list
}

// countVotes counts those of the pool group.
func (f *fabric) countVotes(out *cmdlet.FabricState) {
	for _, g := range out.Groups {
		if g.Service != cmdlet.PoolService {
			continue
		}
		for _, r := range g.Replicas {
			if r.Role == cmdlet.RoleObserver {
				continue
			}
			out.Votes++
			if r.Live {
				out.Present++
			}
			if r.Role == cmdlet.RoleWitness {
				out.Witness = "Unknown"
				if r.Known || !f.witness().Since.IsZero() {
					out.Witness = map[bool]string{true: "Up", false: "Down"}[r.Live]
				}
			}
		}
	}
	out.Needed = quorum.Majority(out.Votes)
}
