package frontend

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"trivet/admin/cmdlet"
	"trivet/uc"
)

// callReport asks a server how it is.
const callReport = "service.report"

// serverReport is the answer.
type serverReport struct {
	Version  string           `json:"version"` // of its program
	Serving  bool             `json:"serving"`
	Halted   bool             `json:"halted,omitempty"` // an administrator has stopped its services
	Waits    string           `json:"waits,omitempty"`  // for what, while it does not serve
	Services []cmdlet.Service `json:"services"`
}

// serveReport answers it.
func (m *member) serveReport() {
	m.fabric.links.Serve(callReport, func(ctx context.Context, _ uc.ServerFQDN, _ []byte) ([]byte, error) {
		r := serverReport{Version: m.version, Waits: m.waits(), Halted: m.halted.Load()}
		list := waitingPool{m}.Services
		if running := m.services.Load(); running != nil {
			r.Serving, list = !r.Halted, *running
		}
		var err error
		if r.Services, err = list(ctx); err != nil {
			return nil, err
		}
		return json.Marshal(r)
	})
}

// reports asks all servers of the pool at once; those that do not answer are missing.
func (f *fabric) reports(ctx context.Context) map[uc.ServerFQDN]serverReport {
	limited, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var (
		mu   sync.Mutex // guards all
		all  = map[uc.ServerFQDN]serverReport{}
		done sync.WaitGroup
	)
	for _, name := range f.connected() {
		done.Add(1)
		if !f.start("report of a server", func(context.Context) error {
			defer done.Done()
			b, err := f.links.Call(limited, name, callReport, nil)
			var r serverReport
			if err != nil || json.Unmarshal(b, &r) != nil {
				return nil // it is shown as not known
			}
			mu.Lock()
			defer mu.Unlock()
			all[name] = r
			return nil
		}) {
			done.Done()
		}
	}
	done.Wait()
	return all
}

// Services implements cmdlet.Fabric.
func (v fabricView) Services(ctx context.Context) (list []cmdlet.Service, err error) {
	f := v.fabric
	all := f.reports(ctx)
	for _, name := range f.names() {
		if r, ok := all[name]; ok {
			list = append(list, r.Services...)
			continue
		}
		why := "The server cannot be reached."
		if f.live(name) {
			why = "The server does not answer."
		}
		list = append(list, cmdlet.Service{Name: "RTCSRV", Role: "Registrar", Computer: name, Pool: v.pool, Activity: "unknown", Problem: why})
	}
	return list, nil
}
