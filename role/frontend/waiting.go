package frontend

import (
	"context"
	"net/http"
	"time"

	"trivet/kit/life"
	"trivet/kit/metric"
	"trivet/link/httpd"
	"trivet/link/pki"
)

// room is where a server of a pool waits for it: it serves nobody, but answers who asks
// why.
type room struct{ life *life.Group }

// openRoom answers questions of health while the services do not run.
func (m *member) openRoom(ctx context.Context) (*room, error) {
	r := &room{life: life.New(context.WithoutCancel(ctx), m.log)}
	if m.set.HTTPS.Off() {
		return r, nil
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
