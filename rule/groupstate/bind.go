package groupstate

import (
	"cmp"
	"slices"

	"trivet/fault"
	"trivet/uc"
)

func (x *Bind) apply(t *turn) (any, error) {
	const op = "groupstate.Bind"
	e, err := t.active(op, x.User)
	if err != nil {
		return nil, err
	}
	yields, err := x.check(e.user)
	if err != nil {
		return nil, err
	}
	old := e.user.bindings
	r := BindResult{}
	for _, b := range old { // expired before anybody swept
		if b.Expires <= x.Now && !x.names(b.Endpoint) {
			t.unbind(e, []Binding{b}, expiryReason(b), x.Now)
		}
	}
	for _, c := range x.Contacts {
		i := e.user.bound(c.Endpoint)
		if c.Lifetime > 0 {
			r.note(e.user.bindings, i, x.Flow)
			moved := c.Lync && i >= 0 && e.user.bindings[i].Flow != x.Flow
			t.bind(e, x.binding(t, e.user, c, i), i)
			if moved {
				t.endSubscriptions(e, func(s *Subscription) bool { return s.Endpoint == c.Endpoint && s.Flow != x.Flow }, ClientCrashed)
			}
		} else if i >= 0 {
			r.Removed = append(r.Removed, e.user.bindings[i])
			t.unbind(e, r.Removed[len(r.Removed)-1:], ClientInitiated, x.Now)
		}
	}
	t.unbind(e, yields, ClientCrashed, x.Now)
	if r.Added > 0 {
		t.derive(e, x.Now)
	}
	r.Bindings = e.user.bindings
	t.reckon(e)
	return r, nil
}

func (r *BindResult) note(now []Binding, i int, flow Flow) {
	switch {
	case i < 0:
		r.Added++
	case now[i].Flow != flow:
		r.Replaced = append(r.Replaced, now[i])
	}
}

func (x *Bind) names(id uc.EndpointID) bool {
	return slices.ContainsFunc(x.Contacts, func(c BindContact) bool { return c.Endpoint == id })
}

// check checks the whole command against the user. It returns the bindings that
// have to give way to the new ones.
func (x *Bind) check(u *User) ([]Binding, error) {
	const op = "groupstate.Bind"
	if len(x.Contacts) == 0 {
		return nil, fault.New(fault.Invalid, op, "a registration needs at least one contact").About(string(x.User))
	}
	count, grows := 0, false
	for _, b := range u.bindings {
		if b.Expires > x.Now && !x.names(b.Endpoint) {
			count++
		}
	}
	for i, c := range x.Contacts {
		if c.Endpoint == "" || c.Lifetime > 0 && c.Contact == "" || c.Lifetime < 0 {
			return nil, fault.New(fault.Invalid, op, "a contact needs an endpoint, an address and a lifetime that is not negative").About(string(x.User))
		}
		if slices.ContainsFunc(x.Contacts[:i], func(d BindContact) bool { return d.Endpoint == c.Endpoint }) {
			return nil, fault.New(fault.Invalid, op, "the same contact occurs twice; name each once").About(string(c.Endpoint))
		}
		if b := u.Binding(c.Endpoint); b != nil && !(c.Lync && b.Flow != x.Flow) {
			if err := inOrder(op, b, x.CallID, x.CSeq); err != nil {
				return nil, err
			}
		}
		if c.Lifetime > 0 {
			count++
			grows = grows || u.Binding(c.Endpoint) == nil
		}
	}
	if !grows || count <= int(x.Max) {
		return nil, nil
	}
	yields := x.detached(u)
	if len(yields) < count-int(x.Max) {
		return nil, fault.Newf(fault.Limit, op, "the user has the most endpoints allowed, %d; sign out elsewhere first", x.Max).About(string(x.User))
	}
	return yields[:count-int(x.Max)], nil
}

// detached are the bindings without connection that x does not name, those first
// whose time is over first. A client without an instance that comes back over a new
// connection is another endpoint, and the one before it is among these.
func (x *Bind) detached(u *User) []Binding {
	waiting := slices.DeleteFunc(slices.Clone(u.bindings), func(b Binding) bool {
		return !b.Detached || b.Expires <= x.Now || x.names(b.Endpoint)
	})
	slices.SortStableFunc(waiting, func(a, b Binding) int { return cmp.Compare(a.Expires, b.Expires) })
	return waiting
}

// inOrder is RFC 3261 10.3 step 7: within a Call-ID the CSeq has to grow.
func inOrder(op string, b *Binding, callID string, cseq uint32) error {
	if b.CallID == callID && cseq <= b.CSeq {
		return fault.New(fault.Stale, op, "CSeq must be higher than in the registration before it").About(string(b.Endpoint))
	}
	return nil
}

func (x *Bind) binding(t *turn, u *User, c BindContact, i int) Binding {
	b := Binding{
		Endpoint: c.Endpoint, Instance: c.Instance, RegID: c.RegID, Contact: c.Contact, Params: c.Params,
		GRUU: c.GRUU, Q: c.Q, Lync: c.Lync, Methods: t.words.one(c.Methods), Flow: x.Flow,
		Since: x.Now, Updated: x.Now, Expires: x.Now + c.Lifetime, CallID: x.CallID, CSeq: x.CSeq,
		UserAgent: t.words.one(x.UserAgent), Path: x.Path,
	}
	b.Flow.Server = uc.ServerFQDN(t.words.one(string(x.Flow.Server)))
	b.Flow.Transport = t.words.one(x.Flow.Transport)
	if i >= 0 {
		b.Since = u.bindings[i].Since
	}
	return b
}

// bind puts b at place i, at the end when i is -1.
func (t *turn) bind(e *entry, b Binding, i int) {
	u := t.edit(e)
	next := make([]Binding, len(u.bindings), max(len(u.bindings)+1, 1))
	copy(next, u.bindings)
	if i < 0 {
		next = append(next, b)
	} else {
		next[i] = b
	}
	u.bindings = slices.Clip(next)
	t.emit(Bound{User: u.uri, Endpoint: b.Endpoint, New: i < 0, Bindings: u.bindings})
}

// unbind ends registrations with everything that is bound to their endpoints.
func (t *turn) unbind(e *entry, ended []Binding, why Reason, now int64) {
	if len(ended) == 0 {
		return
	}
	u := t.edit(e)
	gone := map[uc.EndpointID]bool{}
	for _, b := range ended {
		gone[b.Endpoint] = true
	}
	u.bindings = slices.DeleteFunc(slices.Clone(u.bindings), func(b Binding) bool { return gone[b.Endpoint] })
	if len(u.bindings) == 0 {
		u.bindings = nil
	}
	for _, b := range ended {
		t.emit(Unbound{User: u.uri, Reason: why, Ended: b, Bindings: u.bindings})
	}
	t.endSubscriptions(e, func(s *Subscription) bool { return gone[s.Endpoint] }, why)
	t.endPublications(e, gone, now)
}

func (x *Unbind) apply(t *turn) (any, error) {
	const op = "groupstate.Unbind"
	e, err := t.known(op, x.User)
	if err != nil {
		return nil, err
	}
	var ended []Binding
	for _, b := range e.user.bindings {
		if x.Endpoint != "" && b.Endpoint != x.Endpoint {
			continue
		}
		if x.CallID != "" {
			if err := inOrder(op, &b, x.CallID, x.CSeq); err != nil {
				return nil, err
			}
		}
		ended = append(ended, b)
	}
	t.unbind(e, ended, x.Reason, x.Now)
	t.reckon(e)
	return UnbindResult{Ended: ended, Bindings: e.user.bindings}, nil
}

func (x *Detach) apply(t *turn) (any, error) {
	e, err := t.known("groupstate.Detach", x.User)
	if err != nil {
		return nil, err
	}
	n := t.detach(e, x.Now+max(x.Grace, 0), func(b *Binding) bool {
		f := &b.Flow
		return b.Endpoint == x.Endpoint && f.Server == x.Server && f.Epoch == x.Epoch && f.Conn == x.Conn
	})
	t.reckon(e)
	return DetachResult{n}, nil
}

func (x *Restarted) apply(t *turn) (any, error) {
	lost := func(b *Binding) bool {
		return b.Flow.Server == x.Server && b.Flow.Epoch < x.Epoch && b.Flow.Transport != "udp"
	}
	var hit []*entry
	for _, e := range t.users {
		for i := range e.user.bindings {
			if lost(&e.user.bindings[i]) {
				hit = append(hit, e)
				break
			}
		}
	}
	slices.SortFunc(hit, byName)
	n := 0
	for _, e := range hit {
		n += t.detach(e, x.Now+max(x.Grace, 0), lost)
		t.reckon(e)
	}
	return DetachResult{n}, nil
}

// detach shortens the registrations that are hit to until.
func (t *turn) detach(e *entry, until int64, hit func(*Binding) bool) int {
	var which []int
	for i := range e.user.bindings {
		if b := &e.user.bindings[i]; !b.Detached && hit(b) {
			which = append(which, i)
		}
	}
	if len(which) == 0 {
		return 0
	}
	u := t.edit(e)
	u.bindings = slices.Clone(u.bindings)
	for _, i := range which {
		b := &u.bindings[i]
		b.Detached = true
		b.Expires = min(b.Expires, until)
		t.emit(Detached{User: u.uri, Endpoint: b.Endpoint, Bindings: u.bindings})
	}
	return len(which)
}

// expiryReason is why a binding ends when its time is over.
func expiryReason(b Binding) Reason {
	if b.Detached {
		return ClientCrashed
	}
	return RegistrationExpired
}
