package sipauth

import (
	"context"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/wire/sip"
)

type (
	peerKey     struct{} // of the peer among the values of a connection
	strangerKey struct{} // says that the other end is no server of ours
)

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

// Peer is the server of the topology at the other end of a connection, "" for anybody
// else. What the certificate says is looked at once and noted in the connection.
func (a *Authenticator) Peer(c *siptrans.Conn) string {
	if name := c.Peer(); name != "" || a.cfg.Server == nil || c.Value(strangerKey{}) != nil {
		return name
	}
	name := ""
	if state := c.TLS(); state != nil && len(state.PeerCertificates) > 0 {
		name = a.cfg.Server(state)
	}
	if name == "" {
		c.SetValue(strangerKey{}, true)
		return ""
	}
	c.SetPeer(name)
	return name
}

// byCertificate fills in the caller of a connection of a server or partner.
func (a *Authenticator) byCertificate(r *sipmux.Request) bool {
	if name := a.Peer(r.Conn); name != "" {
		r.Role, r.Peer = sipmux.Server, name
		return true
	}
	if a.cfg.Partner == nil {
		return false
	}
	state := r.Conn.TLS()
	if state == nil || len(state.PeerCertificates) == 0 {
		return false
	}
	if name := a.cfg.Partner(state); name != "" {
		r.Role, r.Peer = sipmux.Partner, name
		return true
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
