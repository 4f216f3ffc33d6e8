package groupstate

import (
	"hash/fnv"
	"slices"
	"strconv"

	"trivet/fault"
	"trivet/rule/aggregate"
	"trivet/uc"
)

func (x *Publish) apply(t *turn) (any, error) {
	const op = "groupstate.Publish"
	e, err := t.active(op, x.User)
	if err != nil {
		return nil, err
	}
	inputs, err := x.check(e.user)
	if err != nil {
		return nil, err
	}
	offer, late := x.stale(e.user)
	if len(late) > 0 && !e.user.refusedBefore(x.Endpoint, offer) {
		t.edit(e).presence = e.user.presence.refusing(refusal{x.Endpoint, offer})
		return nil, stale(op, x.User, late)
	}
	next, err := x.store(t, e.user, inputs)
	if err != nil {
		return nil, err
	}
	t.edit(e).presence = next
	for i := range x.Items {
		t.touch(e, x.Endpoint, x.Items[i].Category, x.Items[i].Container)
	}
	t.derive(e, x.Now)
	t.reckon(e)
	r := t.touched(e)
	return PublishResult{Categories: r.Categories, Publications: r.Publications}, nil
}

// check looks at everything but versions and total sizes, and reads the states
// that will be aggregated.
func (x *Publish) check(u *User) ([]*aggregate.Input, error) {
	inputs := make([]*aggregate.Input, len(x.Items))
	for i := range x.Items {
		it := &x.Items[i]
		if text := it.wrong(u, x.Endpoint); text != "" {
			return nil, fault.Newf(fault.Invalid, "groupstate.Publish", "publication %d (%s) %s", i+1, it.Category, text).About(string(x.User))
		}
		if slices.ContainsFunc(x.Items[:i], func(o PublishItem) bool { return o.PublicationKey == it.PublicationKey }) {
			return nil, fault.Newf(fault.Invalid, "groupstate.Publish", "publication %d names the same instance and container as one before it", i+1).About(string(x.User))
		}
		if it.Remove || !aggregated(it.PublicationKey) {
			continue
		}
		if i > 0 && inputs[i-1] != nil && x.Items[i-1].Body == it.Body { // the usual pair in 2 and 3
			it.Body, inputs[i] = x.Items[i-1].Body, inputs[i-1]
			continue
		}
		in, err := aggregate.ParseState([]byte(it.Body))
		if err != nil {
			return nil, fault.Wrap("groupstate.Publish", err)
		}
		in.Published, in.Endpoint = x.Now, x.Endpoint
		inputs[i] = &in
	}
	return inputs, nil
}

func (it *PublishItem) wrong(u *User, by uc.EndpointID) string {
	switch {
	case it.Category == "":
		return "needs a categoryName"
	case computed(it.PublicationKey):
		return "has an instance that only the server computes; choose another"
	case it.Remove:
		return ""
	case it.ExpireType == TimeBound && it.Lifetime <= 0:
		return "of expireType time needs an expires above 0"
	case it.ExpireType == EndpointBound && u.bound(by) < 0:
		return "is bound to an endpoint that is not registered; register first"
	case it.ExpireType == UserBound && len(u.bindings) == 0:
		return "is bound to a user who is not registered; register first"
	}
	return ""
}

// stale returns the items whose version is not current, and a mark of this very
// mistake.
func (x *Publish) stale(u *User) (uint64, []StaleItem) {
	var late []StaleItem
	h := fnv.New64a()
	var b []byte
	for i := range x.Items {
		it := &x.Items[i]
		current := uint32(0)
		if p, _ := u.find(it.PublicationKey); p != nil {
			current = p.Version
		}
		if it.Version == current || it.Version == AnyVersion || it.Remove && current == 0 {
			continue
		}
		late = append(late, StaleItem{Index: i + 1, Current: current})
		b = append(b[:0], it.Category...)
		for _, n := range [...]uint32{it.Instance, it.Container, it.Version, current} {
			b = strconv.AppendUint(append(b, ' '), uint64(n), 10)
		}
		h.Write(b)
	}
	return h.Sum64(), late
}

func (u *User) refusedBefore(by uc.EndpointID, offer uint64) bool {
	return u.presence != nil && slices.Contains(u.presence.refused, refusal{by, offer})
}

func (p *presence) refusing(r refusal) *presence {
	if p == nil {
		p = &presence{}
	}
	next := *p
	next.refused = append(p.without(r.Endpoint), r)
	if n := len(next.refused) - maxRefusals; n > 0 {
		next.refused = next.refused[n:]
	}
	return &next
}

func (p *presence) without(by uc.EndpointID) []refusal {
	return slices.DeleteFunc(slices.Clone(p.refused), func(r refusal) bool { return r.Endpoint == by })
}

// store returns the publications as they are after the command.
func (x *Publish) store(t *turn, u *User, inputs []*aggregate.Input) (*presence, error) {
	next := &presence{}
	if u.presence != nil {
		next.list, next.bytes, next.refused = slices.Clone(u.presence.list), u.presence.bytes, u.presence.without(x.Endpoint)
	}
	var bodies words
	for i := range x.Items {
		if it := &x.Items[i]; it.Remove {
			next.drop(it.PublicationKey)
		} else {
			p := x.publication(t, u, it)
			p.Body, p.input = bodies.one(it.Body), inputs[i]
			next.put(p)
		}
	}
	if len(next.list) > MaxPublications || next.bytes > MaxPublicationBytes {
		return nil, fault.Newf(fault.Limit, "groupstate.Publish", "a user may have %d publications and %d bytes in them; remove some first", MaxPublications, MaxPublicationBytes).About(string(x.User))
	}
	next.list = slices.Clip(next.list)
	return next, nil
}

// publication makes the publication of an item, without version and body.
func (x *Publish) publication(t *turn, u *User, it *PublishItem) *Publication {
	p := &Publication{PublicationKey: it.PublicationKey, ExpireType: it.ExpireType, Published: x.Now, Endpoint: x.Endpoint}
	p.Category = t.words.one(it.Category)
	if b := u.Binding(x.Endpoint); b != nil {
		p.Endpoint = b.Endpoint // share the text
	}
	if it.ExpireType == TimeBound {
		p.Expires = x.Now + it.Lifetime
	}
	return p
}

// at is where the publication of a key is in the list, or belongs.
func (p *presence) at(k PublicationKey) (int, bool) {
	return slices.BinarySearchFunc(p.list, k, func(p *Publication, k PublicationKey) int { return p.compare(k) })
}

func (p *presence) drop(k PublicationKey) {
	if i, found := p.at(k); found {
		p.bytes -= len(p.list[i].Body)
		p.list = slices.Delete(p.list, i, i+1)
	}
}

// put adds a publication, or the next version of one.
func (p *presence) put(b *Publication) {
	b.Version = 1
	p.bytes += len(b.Body)
	i, found := p.at(b.PublicationKey)
	if !found {
		p.list = slices.Insert(p.list, i, b)
		return
	}
	b.Version += p.list[i].Version
	p.bytes -= len(p.list[i].Body)
	p.list[i] = b
}
