package frontend

import (
	"context"
	"net/http"
	"path"
	"time"

	"trivet/admin"
	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/kit/life"
	"trivet/kit/metric"
	"trivet/link/httpd"
	"trivet/link/pki"
	"trivet/uc"
)

// room is where a server of a pool waits for it: it serves nobody, but answers who asks
// why, and takes the cmdlets that bring a pool back.
type room struct{ life *life.Group }

// openRoom answers while the services do not run.
func (m *member) openRoom(ctx context.Context) (*room, error) {
	r := &room{life: life.New(context.WithoutCancel(ctx), m.log)}
	if err := m.openWaitingDesk(ctx, r); err != nil || m.set.HTTPS.Off() {
		return r, err
	}
	web := httpd.New(httpd.Config{
		Addr: string(m.set.HTTPS), GetCertificate: m.authority.Source(pki.WebServicesInternal), Log: m.log, Metrics: metric.New(),
		Ready: func(context.Context) map[string]string {
			return map[string]string{"pool": "The server waits for " + m.waits() + "."}
		},
	})
	web.Mount("/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "The server is starting; it waits for "+m.waits()+".", http.StatusServiceUnavailable)
	}))
	_, err := web.Start(ctx, r.life)
	return r, err
}

func (r *room) close(ctx context.Context) error {
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return r.life.Stop(stop)
}

// whileWaiting are the cmdlets that need no services.
var whileWaiting = map[string]bool{
	"Get-CsPoolFabricState": true, "Get-CsWindowsService": true, "Reset-CsPoolRegistrarState": true, "Start-CsPool": true,
	"Get-CsPoolUpgradeReadinessState": true, "Get-CsPoolUpgrade": true, "Invoke-CsPoolUpgrade": true, "Stop-CsWindowsService": true, "Start-CsWindowsService": true,
	"Get-CsTopology": true, "Test-CsTopology": true, "Get-CsPool": true, "Get-CsComputer": true,
	"Get-CsDatabaseMirrorState": true, "Install-CsDatabase": true, "Test-CsDatabase": true,
}

// openWaitingDesk takes cmdlets of the owner of the data folder.
func (m *member) openWaitingDesk(ctx context.Context, r *room) error {
	desk := admin.New(admin.Config{Deployment: waiting{m}, Audit: m.path("audit.log"), Clock: m.clock, Log: m.log}).Local()
	return httpd.Local(ctx, r.life, m.path("admin.sock"), http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if c, err := cmdlet.Lookup(path.Base(q.URL.Path)); err == nil && !whileWaiting[c.Name] {
			e := fault.Newf(fault.Unavailable, "frontend.waiting", "%s needs the services of this server, which waits for %s", c.Name, m.waits())
			e.RetryAfter = 5 * time.Second
			httpd.Problem(w, e)
			return
		}
		desk.ServeHTTP(w, q)
	}), m.log)
}

// waiting is the deployment while no services run: only what whileWaiting needs is there.
type waiting struct{ *member }

var _ admin.Deployment = waiting{}

func (w waiting) Users() cmdlet.Users                 { return nil }
func (w waiting) Groups() cmdlet.Groups               { return nil }
func (w waiting) Photos() cmdlet.Photos               { return nil }
func (w waiting) Policies() cmdlet.Policies           { return nil }
func (w waiting) AddressBook() cmdlet.AddressBook     { return nil }
func (w waiting) DirectorySync() cmdlet.DirectorySync { return nil }
func (w waiting) Certificates() cmdlet.Certificates   { return w.authority }
func (w waiting) UserData() cmdlet.UserData           { return nil }
func (w waiting) Fabric() cmdlet.Fabric               { return fabricView{w.ground} }
func (w waiting) Recovery() cmdlet.Recovery           { return recoveryDesk{w.ground} }
func (w waiting) Topology() cmdlet.Topology           { return documents{w.ground} }
func (w waiting) Computer() uc.ServerFQDN             { return w.fqdn }
func (w waiting) Pool() cmdlet.Pool                   { return waitingPool(w) }
func (w waiting) Databases() cmdlet.Databases {
	if w.backEnd == nil {
		return nil
	}
	return *w.backEnd
}

// waitingPool is the pool of a server that serves nobody.
type waitingPool struct{ *member }

func (p waitingPool) FQDN() uc.PoolFQDN  { return p.pool }
func (p waitingPool) Domains() []string  { return []string{p.set.Domain} }
func (p waitingPool) HomeServer() string { return homeServer(p.pool) }

func (p waitingPool) unserved() error {
	return fault.New(fault.Unavailable, "frontend.waiting", "this server serves nobody; it waits for "+p.waits())
}

func (p waitingPool) Placement(context.Context, uc.UserURI) (cmdlet.Placement, error) {
	return cmdlet.Placement{}, p.unserved()
}

func (p waitingPool) Endpoints(context.Context, uc.UserURI) ([]cmdlet.Endpoint, error) {
	return nil, p.unserved()
}

// Services says of each that it does not run, and why.
func (p waitingPool) Services(context.Context) ([]cmdlet.Service, error) {
	var list []cmdlet.Service
	for _, x := range []struct{ name, role string }{
		{"RTCSRV", "Registrar"}, {"RTCSRV", "UserServer"}, {"RTCIMMCU", "ConferencingServer"}, {"W3SVC", "WebServer"}, {"MASTER", "CentralManagement"},
	} {
		list = append(list, cmdlet.Service{Name: x.name, Role: x.role, Computer: p.fqdn, Pool: p.pool, Activity: "waits for " + p.waits(), Problem: "The server waits for " + p.waits() + "."})
	}
	return list, nil
}
