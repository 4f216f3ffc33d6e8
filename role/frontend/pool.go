package frontend

import (
	"context"
	"fmt"
	"slices"
	"time"

	"trivet/admin/cmdlet"
	"trivet/uc"
)

// pool is the pool of one.
type pool struct{ *server }

func (p pool) FQDN() uc.PoolFQDN  { return p.ground.pool }
func (p pool) Domains() []string  { return []string{p.set.Domain} }
func (p pool) HomeServer() string { return homeServer(p.FQDN()) }

// homeServer is the name of a pool in the property of its users.
func homeServer(pool uc.PoolFQDN) string {
	return "CN=Lc Services,CN=Microsoft,CN=" + string(pool) + ",CN=Pools,CN=RTC Service"
}

func (p pool) Placement(_ context.Context, user uc.UserURI) (cmdlet.Placement, error) {
	x, err := p.groups.of(user)
	if err != nil {
		return cmdlet.Placement{}, err
	}
	if p.fabric != nil {
		return p.fabric.placement(x.id), nil
	}
	at := cmdlet.Placement{Pool: p.FQDN(), Machines: []uc.ServerFQDN{p.fqdn}}
	if x.raft.Status().Primary {
		at.Primary = p.fqdn
	}
	return at, nil
}

func (p pool) Endpoints(ctx context.Context, user uc.UserURI) ([]cmdlet.Endpoint, error) {
	bindings, err := p.registrar.Endpoints(ctx, user)
	if err != nil {
		return nil, err
	}
	out := make([]cmdlet.Endpoint, 0, len(bindings))
	for _, b := range bindings {
		out = append(out, cmdlet.Endpoint{
			ID: b.Endpoint, Contact: b.Contact, Server: b.Flow.Server, Transport: b.Flow.Transport, Remote: b.Flow.Remote.String(),
			UserAgent: b.UserAgent, Registered: time.UnixMilli(b.Since), Expires: time.UnixMilli(b.Expires), Connected: !b.Detached && (b.Flow.Epoch == p.epoch || b.Flow.Transport == "udp"),
		})
	}
	return out, nil
}

// Services lists the parts under the names of the product's services.
func (p pool) Services(ctx context.Context) ([]cmdlet.Service, error) {
	problems := p.unready(ctx)
	signedIn, endpoints := p.registrar.Count()
	conferences, participants := p.meetings.Count()
	st := p.layer.Stats()
	open := int64(0)
	for _, n := range st.Connections {
		open += n
	}
	service := func(name, role, activity string, parts ...string) cmdlet.Service {
		x := cmdlet.Service{Name: name, Role: role, Computer: p.fqdn, Pool: p.FQDN(), Running: true, Activity: activity}
		for _, part := range parts {
			if why := problems[part]; why != "" {
				x.Running, x.Problem = false, why
			}
		}
		return x
	}
	groups := make([]string, 0, len(p.routing))
	for id := 1; id <= len(p.routing); id++ {
		groups = append(groups, fmt.Sprintf("routing group %d", id))
	}
	return []cmdlet.Service{
		service("RTCSRV", "Registrar", fmt.Sprintf("%d connections, %d endpoints of %d users", open, endpoints, signedIn), "SIP"),
		service("RTCSRV", "UserServer", fmt.Sprintf("%d routing groups", len(p.routing)), groups...),
		service("RTCIMMCU", "ConferencingServer", fmt.Sprintf("%d conferences, %d participants", conferences, participants), "SIP"),
		service("W3SVC", "WebServer", "HTTPS "+shown(p.https)),
		p.synchronised(service("MASTER", "CentralManagement", "directory of users, policies", "directory", "configuration")),
	}, nil
}

// placement says where the users of a routing group are served: the leader first, then
// the other voters, the preferred one before the rest.
func (f *fabric) placement(g uc.GroupID) cmdlet.Placement {
	at := cmdlet.Placement{Pool: f.pool.FQDN, Primary: f.leader(g)}
	p := f.state()
	if int(g) > len(p.Groups) {
		return at
	}
	add := func(name uc.ServerFQDN) {
		if name != "" && !slices.Contains(at.Machines, name) {
			at.Machines = append(at.Machines, name)
		}
	}
	add(at.Primary)
	add(f.server(p.Groups[g-1].Preferred))
	for _, n := range p.Groups[g-1].Voters {
		add(f.server(n))
	}
	return at
}
