package sipauth

import (
	"context"
	"crypto/tls"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/wire/sip"
)

type peerKey struct{} // of the peer among the values of a connection

// Authenticate finds out who sent r, for the mux. Servers and partners are known
// by their certificate; everybody else has to sign in as a user.
func (a *Authenticator) Authenticate(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	if a.byCertificate(r) {
		return nil, nil
	}
	if r.Need == sipmux.Server || r.Need == sipmux.Partner {
		return nil, fault.Newf(fault.Forbidden, opCheck, "this request needs the certificate of a %s", r.Need)
	}
	user, challenge, err := a.of(r.Conn).check(ctx, r.Message, r.Tx.Uncork)
	if user != "" {
		r.User, r.Role = user, sipmux.User
	}
	return challenge, err
}

// byCertificate fills in the caller of a connection of a server or partner.
func (a *Authenticator) byCertificate(r *sipmux.Request) bool {
	state := r.Conn.TLS()
	if state == nil || len(state.PeerCertificates) == 0 {
		return false
	}
	for _, t := range [...]struct {
		name func(*tls.ConnectionState) string
		role sipmux.Who
	}{{a.cfg.Server, sipmux.Server}, {a.cfg.Partner, sipmux.Partner}} {
		if t.name == nil {
			continue
		}
		if name := t.name(state); name != "" {
			r.Role, r.Peer = t.role, name
			return true
		}
	}
	return false
}

// of returns what we know of a connection. The first call makes the peer the
// signer of the connection.
func (a *Authenticator) of(c *siptrans.Conn) *peer {
	if p, ok := c.Value(peerKey{}).(*peer); ok {
		return p
	}
	a.mu.Lock()
	p, ok := c.Value(peerKey{}).(*peer)
	if !ok {
		p = a.newPeer(c.Remote().Addr(), c.Local().Addr(), c.Stream(), c.Close) // over UDP, that ends the dialogs of the address
		c.SetValue(peerKey{}, p)
	}
	a.mu.Unlock()
	if !ok {
		c.SetSigner(p)
		c.OnClose(p.end)
	}
	return p
}
