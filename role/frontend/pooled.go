package frontend

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/link/pki"
	"trivet/link/sipmux"
	"trivet/link/sippeer"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/service/conference"
	"trivet/uc"
)

// What the services of a server do with the other servers of its pool. On a Standard
// Edition server, which has no fabric, each of these says that there are none.

// sipPeers sets up the SIP connections to the other servers.
func (s *server) sipPeers() error {
	cfg := sippeer.Config{Link: s.layer, Life: s.life, Clock: s.clock, Log: s.log, Server: s.fqdn, Epoch: s.epoch}
	if s.fabric != nil {
		roots, err := pki.ReadRoots(s.path("ca.pem"))
		if err != nil {
			return err
		}
		source := s.authority.Source(pki.Default)
		cfg.Address = s.fabric.sipAddress
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return source(nil) }}
	}
	s.peers = sippeer.New(cfg)
	return nil
}

// asksForCertificates says whether SIP listeners ask for a certificate, by which other
// servers are known.
func (s *server) asksForCertificates() tls.ClientAuthType {
	if s.fabric != nil {
		return tls.RequestClientCert
	}
	return tls.NoClientCert
}

// knownServer recognises the servers of the pool by their certificates; nil: there are
// none.
func (s *server) knownServer() (func(*tls.ConnectionState) string, error) {
	if s.fabric == nil {
		return nil, nil
	}
	roots, err := pki.ReadRoots(s.path("ca.pem"))
	if err != nil {
		return nil, err
	}
	id := sippeer.Identity{Roots: roots.Clone, Known: func(name uc.ServerFQDN) bool { return s.fabric.sipAddress(name) != "" }}
	return id.Server, nil
}

// sipAddress is where the SIP listener of another server is reached, "" for no server
// of the pool.
func (f *fabric) sipAddress(name uc.ServerFQDN) string {
	for _, c := range f.computers() {
		if c.FQDN == name {
			return c.SIPAddress
		}
	}
	return ""
}

// contactOf is the URI at which a server takes Lync clients.
func (f *fabric) contactOf(name uc.ServerFQDN) string {
	return fmt.Sprintf("sip:%s:%d;transport=tls", name, f.pool.Ports.SIP)
}

// preferred is the server that a Lync client is sent to; see registrar.Config. Only one
// that lives is: who is sent to a dead server comes back slowly.
func (s *server) preferred(user uc.UserURI) (name uc.ServerFQDN, contact string, ok bool) {
	x, err := s.groups.of(user)
	if err != nil {
		return "", "", false
	}
	name = s.fabric.leader(x.id)
	if name == "" || name == s.fqdn || !s.fabric.live(name) {
		return "", "", false
	}
	return name, s.fabric.contactOf(name), true
}

// leadsDirectory reports whether this server does what one server of the pool does for
// all: it leads the directory group. A Standard Edition server does everything.
func (s *server) leadsDirectory() bool {
	return s.fabric == nil || s.directoryGroup.Status().Primary
}

// focusPool is the pool as conferences see it; nil without one.
func (s *server) focusPool() conference.Pool {
	if s.fabric == nil {
		return nil
	}
	return focusPool{s}
}

type focusPool struct{ *server }

func (p focusPool) Primary(organizer uc.UserURI) (uc.ServerFQDN, bool) {
	x, err := p.groups.of(organizer)
	if err != nil {
		return "", false
	}
	name := p.fabric.leader(x.id)
	return name, name != ""
}

func (p focusPool) Forward(r *sipmux.Request, to uc.ServerFQDN) error {
	return p.proxy.Elsewhere(r, to)
}

func (p focusPool) Conn(to uc.ServerFQDN) (*siptrans.Conn, error) { return p.peers.Conn(to) }

// keepPeers opens the SIP connections to the other servers, and sees to it when one is
// lost or a group is led by another.
func (s *server) keepPeers(context.Context) error {
	if s.fabric == nil {
		return nil
	}
	running := func() int { n, _ := s.meetings.Count(); return n }
	s.conferences.Store(&running)
	s.life.Add("conferences", time.Second, func(context.Context) error { s.conferences.Store(nil); return nil })
	s.life.Go("lost servers", s.watchServers)
	for _, x := range s.routing {
		s.life.Go("leadership of a group", func(ctx context.Context) error { return s.watchGroup(ctx, x) })
	}
	return nil
}

// watchServers has the registrar detach the endpoints of servers whose link is lost.
func (s *server) watchServers(ctx context.Context) error {
	lost := map[uc.ServerFQDN]bool{}
	for {
		changed := s.fabric.links.Changed()
		s.peers.Keep(s.fabric.names()...) // some may be new
		for _, name := range s.fabric.names() {
			gone := !s.fabric.live(name)
			if gone && !lost[name] {
				s.log.Warn("a server of the pool cannot be reached", "server", name)
				s.life.Go("lost server", func(ctx context.Context) error { return s.serverLost(ctx, name) })
			} else if !gone && lost[name] {
				s.log.Info("a server of the pool is back", "server", name)
			}
			lost[name] = gone
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// serverLost repeats what groups without a primary could not do.
func (s *server) serverLost(ctx context.Context, name uc.ServerFQDN) error {
	for ctx.Err() == nil && !s.fabric.live(name) {
		if err := s.registrar.ServerLost(ctx, name); err == nil {
			return nil
		}
		if pause(ctx, s.clock, time.Second) != nil {
			return nil
		}
	}
	return nil
}

// watchGroup does what falls to a server when it begins to lead a group, or another does.
func (s *server) watchGroup(ctx context.Context, x *group) error {
	done := uint64(0) // term of which it is done
	for {
		changed := x.raft.Changed()
		st := x.raft.Status()
		switch {
		case st.Primary && st.Term != done:
			if err := s.lead(ctx, x); err == nil {
				done = st.Term
				continue
			}
			if err := pause(ctx, s.clock, time.Second); err != nil {
				return nil
			}
			continue
		case !st.Primary && st.Leader != 0 && done != 0:
			done = 0
			s.meetings.Resign()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// lead brings a group that this server leads from now on behind the directory, and
// detaches what hangs on servers that are not there.
func (s *server) lead(ctx context.Context, x *group) error {
	if err := s.agree(ctx, x); err != nil {
		return err
	}
	for _, name := range s.fabric.names() {
		if !s.fabric.live(name) {
			if err := s.registrar.ServerLost(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// adoptSoon takes a routing group on whether it has a quorum or not: what it holds here
// is known at once, what has to be told it when it can be.
func (s *server) adoptSoon(ctx context.Context, x *group) error {
	if err := x.raft.Inspect(ctx, func() { s.registrar.Reload(x.state) }); err != nil {
		return err
	}
	s.life.Go("adoption of a group", func(ctx context.Context) error {
		for {
			err := s.registrar.Adopt(ctx, x)
			if err == nil || pause(ctx, s.clock, time.Second) != nil {
				return nil
			}
			s.log.Debug("a routing group is adopted later", "group", x.id, "err", err)
		}
	})
	return nil
}

// pause waits; its error says that ctx has ended.
func pause(ctx context.Context, c clock.Clock, d time.Duration) error {
	t := c.NewTicker(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C():
		return nil
	}
}

// callFollowed asks the leader of a group whether it has followed the directory.
const callFollowed = "directory.followed"

type followedOrder struct {
	Group uc.GroupID `json:"group"`
	Index uint64     `json:"index"` // of the directory group, that has to be followed
}

// serveFollowed answers it.
func (s *server) serveFollowed() {
	if s.fabric == nil {
		return
	}
	s.fabric.links.Serve(callFollowed, func(ctx context.Context, _ uc.ServerFQDN, in []byte) ([]byte, error) {
		const op = "frontend.followed"
		var o followedOrder
		if err := json.Unmarshal(in, &o); err != nil || o.Group == 0 || int(o.Group) > len(s.routing) {
			return nil, fault.New(fault.Invalid, op, "the question cannot be read").Because(err)
		}
		x := s.routing[o.Group-1]
		for s.directoryGroup.Status().Applied < o.Index {
			if pause(ctx, s.clock, 20*time.Millisecond) != nil {
				return nil, fault.New(fault.Timeout, op, "the directory here is behind")
			}
		}
		if done := x.behind.last(); done != nil {
			select {
			case <-done:
			case <-ctx.Done():
				return nil, fault.New(fault.Timeout, op, "the group has not followed yet")
			}
		}
		if !x.Primary() {
			return nil, fault.Newf(fault.NotPrimary, op, "this server does not lead group %d", o.Group)
		}
		return nil, nil
	})
}

// chaseElsewhere has the leader of a group bring it behind the directory; led is true
// when that is this server.
func (s *server) chaseElsewhere(ctx context.Context, x *group, cmd groupstate.Command) (led bool, err error) {
	if s.fabric == nil || x.Primary() {
		return true, nil
	}
	if idle, err := x.idle(ctx, cmd); err != nil || idle {
		return false, err
	}
	leader := s.fabric.leader(x.id)
	if leader == "" || leader == s.fqdn {
		return false, fault.Newf(fault.NoQuorum, "frontend.chase", "routing group %d has no primary", x.id)
	}
	b, err := json.Marshal(followedOrder{x.id, s.directoryGroup.Status().Applied})
	if err != nil {
		return false, err
	}
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = s.fabric.links.Call(limited, leader, callFollowed, b)
	return false, err
}
