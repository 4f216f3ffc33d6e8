package registrar

import (
	"trivet/link/sipmux"
	"trivet/wire/sip"
)

// redirect sends a Lync client that signs in to the server that leads the routing group
// of its user: 301 with that server first and this one as the second choice. Who is
// signed in here already, on whichever connection, stays; so does who signs out. The
// client opens a connection to the first Contact and begins anew.
func (r *Registrar) redirect(req *sipmux.Request) *sip.Message {
	if r.cfg.Preferred == nil || r.signedIn(req) {
		return nil
	}
	if n, ok := req.Expires(); ok && n == 0 {
		return nil
	}
	server, contact, ok := r.cfg.Preferred(req.User)
	if !ok || server == r.cfg.FQDN {
		return nil
	}
	res := req.Reply(301, "Redirect request to Home Server")
	res.Add("Contact", "<"+contact+">;q=0.7")
	if r.cfg.Contact != "" {
		res.Add("Contact", "<"+r.cfg.Contact+">;q=0.3")
	}
	return res
}

// signedIn reports whether the endpoint is registered over a live connection of this
// server.
func (r *Registrar) signedIn(req *sipmux.Request) bool {
	bindings := r.index.get(req.User)
	for i := range bindings {
		if b := &bindings[i]; b.Endpoint == req.Endpoint {
			return !b.Detached && r.tied(b)
		}
	}
	return false
}
