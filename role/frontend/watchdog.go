package frontend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"trivet/fault"
	"trivet/link/sipclient"
	"trivet/uc"
)

// watch gives the service manager its signs of life, if it wants any.
func (s *server) watch() {
	s.life.Go("watchdog", func(ctx context.Context) error { return s.manager.Watch(ctx, s.probe) })
}

// probe asks what a hung server would not answer: every routing group to read,
// which takes the Raft loop and the goroutine of its state, and the SIP layer for
// a request from a socket. It returns a line on what the server does.
func (s *server) probe(ctx context.Context) (string, error) {
	for _, x := range s.groups.all {
		if err := x.raft.Inspect(ctx, func() {}); err != nil {
			return "", fault.Newf(fault.Unavailable, "frontend.probe", "routing group %d does not answer", x.id).Because(err)
		}
	}
	if err := s.probeSIP(ctx); err != nil {
		return "", err
	}
	users, endpoints := s.registrar.Count()
	return fmt.Sprintf("serving %s: %d endpoints of %d users", s.set.FQDN, endpoints, users), nil
}

// probeSIP sends OPTIONS as a stranger to a listener of this server. Any answer
// counts, a refusal and the end of the connection too: a server that is full is
// not to be started again. What counts against it is silence, or no listener. A
// server that listens on neither TCP nor TLS is not asked.
func (s *server) probeSIP(ctx context.Context) error {
	const op = "frontend.probeSIP"
	at, conf := s.sipTCP, (*tls.Config)(nil)
	if !at.IsValid() {
		// The certificate may be anybody's: this is the server talking to itself.
		at, conf = s.sipTLS, &tls.Config{InsecureSkipVerify: true, ServerName: s.set.FQDN}
	}
	if !at.IsValid() {
		return nil
	}
	self := uc.UserURI("sip:" + s.set.FQDN)
	c, err := sipclient.Dial(ctx, sipclient.Config{Addr: reach(at).String(), TLS: conf, User: self})
	if err == nil {
		defer c.Close()
		_, err = c.Do(ctx, c.Request("OPTIONS", self))
	}
	if ctx.Err() != nil || errors.Is(err, syscall.ECONNREFUSED) {
		return fault.Newf(fault.Unavailable, op, "the SIP layer does not answer on %s", at).Because(err)
	}
	return nil
}

// reach is the address under which this computer reaches a listener of its own.
func reach(at netip.AddrPort) netip.AddrPort {
	if !at.Addr().IsUnspecified() {
		return at
	}
	if at.Addr().Is4() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Loopback(), at.Port())
}
