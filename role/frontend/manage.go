package frontend

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"trivet/admin"
	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/link/httpd"
	"trivet/link/pki"
	"trivet/link/siptrans"
	"trivet/rule/directory"
	"trivet/rule/groupstate"
	"trivet/service/conference"
	"trivet/store/users"
	"trivet/uc"
	"trivet/wire/presdoc"
)

func (s *server) startHTTPS(ctx context.Context) error {
	if s.set.HTTPS.Off() {
		return nil
	}
	s.watchMetrics()
	web := httpd.New(httpd.Config{
		Addr: string(s.set.HTTPS), GetCertificate: s.authority.Source(pki.WebServicesInternal),
		Log: s.log, Metrics: s.metrics, Ready: s.unready, Degraded: s.degraded,
	})
	mux := http.NewServeMux()
	s.auth.Routes(mux, http.HandlerFunc(s.home))
	s.book.Routes(mux, s.auth)
	s.life.Go("address book files", s.book.Run)
	web.Mount("/", mux)
	web.Mount("GET /meet/{user}/{id}", s.meetings.Meet(s.set.Domain))
	web.Mount("/api/", s.desk.Remote())
	var err error
	s.https, err = web.Start(ctx, s.life)
	return err
}

// home answers at the root of the web server, where no page is yet.
func (s *server) home(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "Trivet, %s\n", s.set.FQDN)
}

// unready says what is not ready, by part.
func (s *server) unready(ctx context.Context) map[string]string {
	problems := map[string]string{}
	if err := s.store.Check(ctx); err != nil {
		problems["directory"] = "The directory's database does not answer."
	}
	if err := s.central.Check(ctx); err != nil {
		problems["configuration"] = "The configuration's database does not answer."
	}
	for _, st := range s.host.Status() {
		if !st.Primary {
			problems[fmt.Sprintf("routing group %d", st.Group)] = "The routing group has no primary."
		}
	}
	if !s.set.SIP.TLS.Off() && !s.sipTLS.IsValid() {
		problems["SIP"] = "The SIP listeners are not open yet."
	}
	return problems
}

func (s *server) startManagement(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("/api/", s.desk.Local())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // profiles, for the owner of the folder only
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("GET /metrics", s.metrics.Handler())
	return httpd.Local(ctx, s.life, s.path("admin.sock"), mux, s.log)
}

// makeDesk makes the one management service behind both doors: the lines of its
// audit file stay whole only when one value writes them all.
func (s *server) makeDesk(context.Context) error {
	s.desk = admin.New(admin.Config{Deployment: deployment{s}, SignIn: s.signInAdmin, Audit: s.path("audit.log"), Clock: s.clock, Log: s.log})
	return nil
}

// signInAdmin checks an administrator's password with the gate and the brakes of
// every sign-in.
func (s *server) signInAdmin(ctx context.Context, login, password, source string) (string, []string, error) {
	addr, err := netip.ParseAddr(source)
	if err != nil {
		return "", nil, fault.Wrap("frontend.signInAdmin", err)
	}
	u, err := s.auth.Password(ctx, addr, login, password)
	if err != nil {
		return "", nil, err
	}
	return u.UserPrincipalName, u.AdminRoles, nil
}

// deployment is what cmdlets act on.
type deployment struct{ *server }

var _ admin.Deployment = deployment{}

func (d deployment) Users() cmdlet.Users               { return directoryUsers(d) }
func (d deployment) Pool() cmdlet.Pool                 { return pool(d) }
func (d deployment) Certificates() cmdlet.Certificates { return d.authority }
func (d deployment) Policies() cmdlet.Policies         { return d.policies }

// directoryUsers are the users with their credentials.
type directoryUsers struct{ *server }

func (d directoryUsers) Find(ctx context.Context, identity string) (directory.User, error) {
	return d.store.Find(ctx, identity)
}

func (d directoryUsers) List(ctx context.Context, pattern string, filter directory.Filter, limit int) ([]directory.User, error) {
	return d.store.List(ctx, users.Query{Pattern: pattern, Filter: filter, Limit: limit})
}

func (d directoryUsers) Create(ctx context.Context, u directory.User, password string) (directory.User, error) {
	if u.GUID == "" {
		u.GUID = uuid.NewString()
	}
	secrets, err := d.auth.MakeSecrets(ctx, &u, password)
	if err != nil {
		return u, err
	}
	made, err := d.store.Create(ctx, users.New{User: u, Secrets: secrets})
	if err != nil {
		return u, err
	}
	return made[0], d.followed(ctx)
}

func (d directoryUsers) Update(ctx context.Context, guid string, change func(*directory.User) error) (directory.User, error) {
	u, err := d.update(ctx, guid, change)
	if err != nil {
		return u, err
	}
	return u, d.followed(ctx)
}

func (d directoryUsers) SetPassword(ctx context.Context, guid, password string) error {
	u, err := d.store.ByGUID(ctx, guid)
	if err != nil {
		return err
	}
	secrets, err := d.auth.MakeSecrets(ctx, &u, password)
	if err != nil {
		return err
	}
	if err := d.store.SetSecrets(ctx, guid, secrets); err != nil {
		return err
	}
	return d.followed(ctx)
}

func (d directoryUsers) Delete(ctx context.Context, guid string) error {
	if err := d.remove(ctx, guid); err != nil {
		return err
	}
	return d.followed(ctx)
}

// userChanged follows the directory: who is new, disabled, renamed or gone, and
// whose password changed. Live sessions end with the right to have them. It runs
// inside the change and only starts what has to be done.
func (s *server) userChanged(c users.Change) {
	was, is := uc.UserURI(""), uc.UserURI("")
	if c.Old != nil {
		was = c.Old.SipAddress
	}
	if c.New != nil {
		is = c.New.SipAddress
	}
	if s.groups == nil { // the server is still starting
		return
	}
	renamed := was != "" && is != "" && was != is && c.Old.RoutingGroup == c.New.RoutingGroup
	if renamed {
		s.follow(c.Old, &groupstate.RenameUser{User: was, To: is, Now: s.groups.now()}, true)
	} else if was != "" && was != is {
		s.follow(c.Old, &groupstate.RemoveUser{User: was, Now: s.groups.now()}, true)
	}
	switch {
	case is == "":
	case !c.New.Enabled:
		s.follow(c.New, &groupstate.DisableUser{User: is, Now: s.groups.now()}, true)
	case was != is && !renamed || c.Old == nil || !c.Old.Enabled:
		s.follow(c.New, &groupstate.EnableUser{User: is, Now: s.groups.now()}, false)
	case renamed:
	case c.Password:
		s.follow(c.New, &groupstate.Unbind{User: is, Now: s.groups.now(), Reason: groupstate.AttributesChanged}, true)
	case cardOf(c.Old) != cardOf(c.New):
		s.life.Go("card of a user", func(ctx context.Context) error {
			if x, err := s.groups.of(is); err != nil || !x.knows(ctx, is) {
				return nil // nobody watches whom the group has never met
			}
			if err := s.presence.Refresh(ctx, is); err != nil && ctx.Err() == nil {
				s.log.Debug("watchers do not know of a changed card", "err", err)
			}
			return nil
		})
	}
}

// pool is the pool of one.
type pool struct{ *server }

func (p pool) FQDN() uc.PoolFQDN { return uc.PoolFQDN(p.fqdn) }
func (p pool) Domains() []string { return []string{p.set.Domain} }
func (p pool) HomeServer() string {
	return "CN=Lc Services,CN=Microsoft,CN=" + string(p.fqdn) + ",CN=Pools,CN=RTC Service"
}

func (p pool) Placement(_ context.Context, user uc.UserURI) (cmdlet.Placement, error) {
	x, err := p.groups.of(user)
	if err != nil {
		return cmdlet.Placement{}, err
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
	groups := make([]string, 0, groupCount)
	for id := 1; id <= groupCount; id++ {
		groups = append(groups, fmt.Sprintf("routing group %d", id))
	}
	return []cmdlet.Service{
		service("RTCSRV", "Registrar", fmt.Sprintf("%d connections, %d endpoints of %d users", open, endpoints, signedIn), "SIP"),
		service("RTCSRV", "UserServer", fmt.Sprintf("%d routing groups", groupCount), groups...),
		service("RTCIMMCU", "ConferencingServer", fmt.Sprintf("%d conferences, %d participants", conferences, participants), "SIP"),
		service("W3SVC", "WebServer", "HTTPS "+shown(p.https)),
		p.synchronised(service("MASTER", "CentralManagement", "directory of users, policies", "directory", "configuration")),
	}, nil
}

// provisioning are the in-band settings, [MS-SIPREGE] 2.2. Services that this
// edition does not have are left out, so that clients do not ask for them.
func (s *server) provisioning(user uc.UserURI, group string) (presdoc.ProvisionGroup, bool) {
	switch group {
	case "ServerConfiguration":
		return presdoc.ProvisionGroup{Name: group, Entries: append([]presdoc.Setting{
			{Name: "focusFactoryUri", Value: conference.Factory(user)},
			{Name: "ucPC2PCAVEncryption", Value: "SupportEncryption"},
			{Name: "ucPortRangeEnabled", Value: "false"},
		}, s.bookSettings()...)}, true
	case "persistentChatConfiguration":
		return presdoc.ProvisionGroup{Name: group, Properties: []presdoc.Setting{{Name: "EnablePersistentChat", Value: "false"}}}, true
	}
	return s.policies.provisioning(user, group)
}

// watchMetrics publishes the counters of the links and services.
func (s *server) watchMetrics() {
	m := s.metrics
	for i, name := range siptrans.Transports {
		m.GaugeFunc("sip_connections_"+name, "Open SIP connections over "+name+".", func() float64 { return float64(s.layer.Stats().Connections[i]) })
	}
	for i, name := range siptrans.Methods {
		m.CounterFunc("sip_requests_"+metricName(name)+"_total", "SIP requests received: "+name+".", func() float64 { return float64(s.layer.Stats().RequestsIn[i]) })
	}
	for class := 1; class <= 6; class++ {
		m.CounterFunc(fmt.Sprintf("sip_replies_%dxx_total", class), fmt.Sprintf("SIP responses sent: %dxx.", class), func() float64 { return float64(s.layer.Stats().RepliesOut[class]) })
	}
	for _, c := range []struct {
		name, help string
		of         func(siptrans.Stats) float64
	}{
		{"sip_malformed_total", "SIP messages that could not be read.", func(t siptrans.Stats) float64 { return float64(t.Malformed) }},
		{"sip_slow_readers_total", "SIP connections closed because the peer did not read.", func(t siptrans.Stats) float64 { return float64(t.SlowReaders) }},
		{"sip_overload_total", "SIP requests refused with 503.", func(t siptrans.Stats) float64 { return float64(t.Overload) }},
		{"sip_rejected_total", "SIP connections refused.", func(t siptrans.Stats) float64 { return float64(t.Rejected) }},
	} {
		m.CounterFunc(c.name, c.help, func() float64 { return c.of(s.layer.Stats()) })
	}
	m.GaugeFunc("registered_users", "Users with an endpoint.", func() float64 { n, _ := s.registrar.Count(); return float64(n) })
	m.GaugeFunc("registered_endpoints", "Registered endpoints.", func() float64 { _, n := s.registrar.Count(); return float64(n) })
	m.GaugeFunc("conferences", "Conferences that somebody is in.", func() float64 { n, _ := s.meetings.Count(); return float64(n) })
	m.GaugeFunc("conference_participants", "Users who are in a conference.", func() float64 { _, n := s.meetings.Count(); return float64(n) })
	for id := 1; id <= groupCount; id++ {
		m.CounterFunc(fmt.Sprintf("group_%d_applied_total", id), "Entries applied by the routing group.", func() float64 {
			return float64(s.groups.all[id-1].raft.Status().Applied)
		})
	}
}

// metricName is a SIP method in the spelling of metric names.
func metricName(method string) string {
	b := []byte(method)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
