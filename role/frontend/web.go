package frontend

import (
	"context"
	"fmt"
	"net/http"

	"trivet/link/httpd"
	"trivet/link/pki"
)

func (s *server) startHTTPS(ctx context.Context) error {
	if s.set.HTTPS.Off() {
		return nil
	}
	s.watchMetrics()
	s.watchFabric()
	web := httpd.New(httpd.Config{
		Addr: string(s.set.HTTPS), GetCertificate: s.authority.Source(pki.WebServicesInternal),
		Log: s.log, Metrics: s.metrics, Ready: s.unready, Degraded: s.degraded, PerSource: s.set.Limits.WebSource,
	})
	mux := http.NewServeMux()
	s.auth.Routes(mux, http.HandlerFunc(s.home))
	s.book.Routes(mux, s.auth)
	s.life.Go("address book files", s.book.Run)
	web.Mount("/", mux)
	web.Mount("GET /meet/{user}/{id}", s.meetings.Meet(s.set.Domain))
	web.Mount("/api/", s.desk.Remote())
	if s.fabric != nil {
		web.Mount("GET /pool", s.desk.Guard(s.poolPage()))
	}
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
		if !st.Primary && s.fabric == nil {
			problems[fmt.Sprintf("routing group %d", st.Group)] = "The routing group has no primary."
		}
	}
	if s.fabric != nil && s.fabric.draining() { // balancers send nobody any more
		problems["pool"] = "The server is being stopped by an administrator."
	}
	if !s.set.SIP.TLS.Off() && !s.sipTLS.IsValid() {
		problems["SIP"] = "The SIP listeners are not open yet."
	}
	return problems
}
