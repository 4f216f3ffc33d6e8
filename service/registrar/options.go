package registrar

import (
	"context"
	"slices"
	"strings"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/sip"
)

// options answers OPTIONS, RFC 3261 11: for the server what the server can do;
// for a user, to those who are signed in, what the user's endpoints can do: 480
// when none is registered or the user has blocked who asks, 404 for an unknown user.
func (r *Registrar) options(ctx context.Context, req *sipmux.Request) (*sip.Message, error) {
	const op = "registrar.options"
	uri, err := sip.ParseURI(req.RequestURI)
	if err != nil {
		return nil, err
	}
	if uri.User == "" {
		res := req.Reply(200, "")
		if r.cfg.Describe != nil {
			r.cfg.Describe(res)
		}
		return res, nil
	}
	if req.MaxForwards() == 0 { // RFC 3261 16.3: for a user, not for this server
		return req.Reply(483, ""), nil
	}
	askers := signedIn(req)
	if len(askers) == 0 {
		return nil, fault.New(fault.Forbidden, op, "sign in on this connection before asking about users")
	}
	user, err := uc.ParseUserURI(req.RequestURI)
	if err != nil { // a sound URI (IPv6, say) that none of our users has
		return nil, fault.New(fault.NotFound, op, "there is no such user here").About(req.RequestURI).Diagnosed(4005).Because(err)
	}
	known, bindings := false, []groupstate.Binding(nil)
	if err := r.cfg.Groups.Read(ctx, user, func(s *groupstate.State) {
		if u := s.User(user); u != nil {
			known, bindings = u.Enabled(), u.Bindings()
		}
	}); err != nil {
		return nil, err
	}
	switch {
	case !known:
		return nil, fault.New(fault.NotFound, op, "there is no such user here").About(string(user)).Diagnosed(4005)
	case len(bindings) == 0, r.blocked(user, askers):
		return req.Reply(480, ""), nil
	}
	res := req.Reply(200, "")
	if allow := methods(bindings); allow != "" {
		res.Add("Allow", allow)
	}
	return res, nil
}

// signedIn are the users with an endpoint that is registered over the connection.
func signedIn(req *sipmux.Request) []uc.UserURI {
	held, _ := req.Conn.Value(tiesKey{}).(*ties)
	if held == nil {
		return nil
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	var users []uc.UserURI
	for t := range held.set {
		users = append(users, t.user)
	}
	return users
}

// blocked reports whether the user has blocked one of those who may be asking.
func (r *Registrar) blocked(user uc.UserURI, askers []uc.UserURI) bool {
	return r.cfg.Blocked != nil && slices.ContainsFunc(askers, func(a uc.UserURI) bool { return r.cfg.Blocked(user, a) })
}

// methods are those that some endpoint takes, sorted.
func methods(bindings []groupstate.Binding) string {
	var all []string
	for i := range bindings {
		for m := range sip.Split(bindings[i].Methods) {
			if !slices.Contains(all, m) {
				all = append(all, m)
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
