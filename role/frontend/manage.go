package frontend

import (
	"context"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"trivet/admin"
	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/link/httpd"
)

func (s *server) startManagement(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("/api/", s.desk.Local())
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // profiles, for the owner of the folder only
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("GET /metrics", s.metrics.Handler())
	endBackup := s.mountBackup(mux)
	if err := httpd.Local(ctx, s.life, s.path("admin.sock"), mux, s.log); err != nil {
		return err
	}
	s.life.Add("backup", time.Second, func(context.Context) error { endBackup(); return nil })
	return nil
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
func (d deployment) Groups() cmdlet.Groups             { return d.store }
func (d deployment) Photos() cmdlet.Photos             { return d.store }
