package frontend

import (
	"context"
	"encoding/json"
	"time"

	"trivet/fault"
	"trivet/rule/poolstate"
	"trivet/uc"
)

// Calls between servers about their services.
const (
	callStop  = "service.stop"
	callStart = "service.start"
)

// stopOrder asks a server to stop its services.
type stopOrder struct {
	Graceful bool          `json:"graceful"`
	Drain    time.Duration `json:"drain"` // how long to wait at most
}

// haltReason is what a server that was stopped waits for.
const haltReason = "an administrator, who has stopped its services; Start-CsWindowsService starts them"

// serveHalt answers the calls.
func (m *member) serveHalt() {
	m.fabric.links.Serve(callStop, func(ctx context.Context, _ uc.ServerFQDN, in []byte) ([]byte, error) {
		var o stopOrder
		if err := json.Unmarshal(in, &o); err != nil {
			return nil, fault.New(fault.Invalid, "frontend.halt", "the order cannot be read").Because(err)
		}
		return nil, m.halt(ctx, o)
	})
	m.fabric.links.Serve(callStart, func(ctx context.Context, _ uc.ServerFQDN, _ []byte) ([]byte, error) {
		m.halted.Store(false)
		_, err := m.fabric.propose(ctx, &poolstate.Drain{FQDN: m.fqdn})
		return nil, err
	})
}

// halt stops the services, gracefully if asked to.
func (m *member) halt(ctx context.Context, o stopOrder) error {
	if o.Graceful {
		if _, err := m.fabric.propose(ctx, &poolstate.Drain{FQDN: m.fqdn, Draining: true}); err != nil {
			return err
		}
		m.drain(ctx, o.Drain)
	}
	m.halted.Store(true)
	return m.rework(ctx, "an administrator stops them", func(context.Context) error {
		m.wait(haltReason) // who asks next is told at once
		return nil
	})
}

// drain waits until this server leads no group and runs no conference, but not longer
// than it may.
func (m *member) drain(ctx context.Context, limit time.Duration) {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		busy := 0
		for _, st := range m.host.Status() {
			if st.Primary {
				busy++
			}
		}
		if count := m.conferences.Load(); count != nil {
			busy += (*count)()
		}
		if busy == 0 || pause(limited, m.clock, 100*time.Millisecond) != nil {
			return
		}
	}
}

// draining reports whether this server is being left.
func (f *fabric) draining() bool {
	s := f.state().Server(f.self)
	return s != nil && s.Draining
}

// undrain takes back what an earlier run of this server left: who starts it again wants
// it to serve.
func (m *member) undrain(ctx context.Context, p *poolstate.Pool) error {
	if s := p.Server(m.fqdn); s == nil || !s.Draining || m.halted.Load() {
		return nil
	}
	_, err := m.fabric.propose(ctx, &poolstate.Drain{FQDN: m.fqdn})
	return err
}

// StopServices implements cmdlet.Fabric.
func (v fabricView) StopServices(ctx context.Context, name uc.ServerFQDN, graceful bool, drain time.Duration) error {
	b, err := json.Marshal(stopOrder{graceful, drain})
	if err != nil {
		return err
	}
	return v.order(ctx, name, callStop, b, drain+time.Minute)
}

// StartServices implements cmdlet.Fabric.
func (v fabricView) StartServices(ctx context.Context, name uc.ServerFQDN) error {
	return v.order(ctx, name, callStart, nil, time.Minute)
}

func (v fabricView) order(ctx context.Context, name uc.ServerFQDN, call string, in []byte, limit time.Duration) error {
	f := v.fabric
	if f.numberOf(name) == 0 {
		return fault.Newf(fault.NotFound, "frontend.order", "the pool has no server %s; it has %s", name, list(f.names()))
	}
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := f.links.Call(limited, name, call, in)
	return err
}
