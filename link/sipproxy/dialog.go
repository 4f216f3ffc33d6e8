package sipproxy

import (
	"context"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/wire/sip"
)

// Serve routes a request by its dialog: the flow token in our Route, else the
// next Route or the request URI through Config.Resolve. It is a handler for the
// rows of sipmux (ACK, BYE, INFO, PRACK, UPDATE, re-INVITE, in-dialog MESSAGE).
func (p *Proxy) Serve(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	targets, err := p.Targets(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.Method == "ACK" {
		return nil, p.ack(r, targets)
	}
	p.Forward(r.Tx, Forward{Targets: targets, Assert: r.User, Trusted: r.Role == sipmux.Server})
	return nil, nil
}

// InDialog reports whether the request belongs to a dialog that went through us:
// it has a To tag and a Route of ours.
func (p *Proxy) InDialog(m *sip.Message) bool {
	if _, _, ours := p.open(userOf(firstRoute(m))); !ours {
		return false
	}
	to, err := m.To()
	return err == nil && to.Tag() != ""
}

// Targets finds where a request goes and takes our Route values off it. No way
// is fault.Gone for a request within a dialog, fault.NotFound for others.
func (p *Proxy) Targets(ctx context.Context, r *sipmux.Request) ([]Target, error) {
	const op = "sipproxy.Targets"
	c, ours := p.routes(r.Message, r.Conn)
	if c != nil {
		return []Target{{Conn: c, Server: c.Peer() != ""}}, nil
	}
	if p.cfg.Resolve != nil {
		next := r.RequestURI
		if top := firstRoute(r.Message); top != "" {
			if a, err := sip.ParseAddr(top); err == nil {
				next = a.URI
			}
		}
		targets, err := p.cfg.Resolve(ctx, next, r)
		if err != nil || len(targets) > 0 {
			return targets, err
		}
	}
	if ours {
		return nil, fault.New(fault.Gone, op, "the other side of the dialog has gone")
	}
	return nil, fault.New(fault.NotFound, op, "nobody is reachable at this address").Diagnosed(4005).About(r.RequestURI)
}

// ack forwards the ACK of a 2xx, which has no transaction.
func (p *Proxy) ack(r *sipmux.Request, targets []Target) error {
	if len(targets) != 1 {
		return fault.New(fault.Gone, "sipproxy.Serve", "an ACK goes to one place")
	}
	f := Forward{Targets: targets, Assert: r.User}
	if err := p.prepare(r.Message, &f); err != nil {
		return err
	}
	p.address(r.Message, r.Conn, &targets[0], &f)
	return p.cfg.Layer.Forward(r.Tx.Batch(), targets[0].Conn, r.Message)
}
