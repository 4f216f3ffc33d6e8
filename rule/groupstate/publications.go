package groupstate

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strconv"

	"trivet/fault"
	"trivet/rule/aggregate"
	"trivet/uc"
)

// Limits of the publications of one user.
const (
	MaxPublications     = 256
	MaxPublicationBytes = 256 << 10 // all bodies of a user together
	MaxPublicationBody  = 32 << 10
	maxItems            = 128 // publications of one command
	maxCategory         = 64
	maxRefusals         = 16
)

// ExpireType says how long a publication lives, [MS-PRES] 2.2.2.
type ExpireType uint8

// The expire types.
const (
	Static        ExpireType = iota // for ever
	UserBound                       // until the last endpoint of the user goes
	EndpointBound                   // until its endpoint goes
	TimeBound                       // until Expires
)

var expireNames = [...]string{"static", "user", "endpoint", "time"}

// String is the word on the wire.
func (t ExpireType) String() string {
	if int(t) < len(expireNames) {
		return expireNames[t]
	}
	return "expireType " + strconv.Itoa(int(t))
}

// ParseExpireType reads static, user, endpoint or time.
func ParseExpireType(s string) (ExpireType, bool) {
	i := slices.Index(expireNames[:], s)
	return ExpireType(max(i, 0)), i >= 0
}

// PublicationKey names a publication of a user.
type PublicationKey struct {
	Category  string
	Container uint32
	Instance  uint32
}

func (k PublicationKey) compare(o PublicationKey) int {
	return cmp.Or(cmp.Compare(k.Category, o.Category), cmp.Compare(k.Container, o.Container), cmp.Compare(k.Instance, o.Instance))
}

// Publication is one published category instance in one container.
type Publication struct {
	PublicationKey
	Version    uint32
	ExpireType ExpireType
	Published  int64            // by the server's clock
	Expires    int64            // of TimeBound
	Endpoint   uc.EndpointID    // who published it, "" for the server
	Body       string           // the element inside <category>, as published
	input      *aggregate.Input // of a state in an aggregation container
}

// presence is what a user published. Replaced as a whole, never changed.
type presence struct {
	list    []*Publication // by key
	bytes   int
	refused []refusal
}

// refusal remembers that an endpoint was told the current versions, so that the
// same mistake a second time breaks the endless loop of a client that does not
// know the instance.
type refusal struct {
	Endpoint uc.EndpointID
	Offer    uint64
}

// AnyVersion in PublishItem.Version skips the check: for publications that the
// server makes for clients without versions (PIDF).
const AnyVersion = 1<<32 - 1

// Publish stores or removes publications, all or none. A version that is not the
// current one (0 for none) is refused with *StaleError naming every such item;
// the same stale offer of the same endpoint again is accepted. Result:
// PublishResult.
type Publish struct {
	User     uc.UserURI
	Endpoint uc.EndpointID
	Now      int64
	Items    []PublishItem
}

// PublishItem is one publication of a Publish.
type PublishItem struct {
	PublicationKey
	Version    uint32
	ExpireType ExpireType
	Lifetime   int64 // milliseconds, of TimeBound
	Remove     bool  // expires="0"
	Body       string
}

// PublishResult has the whole new content of every touched category.
type PublishResult struct {
	Categories   []string
	Publications []Publication
}

// PresenceChanged tells that publications changed. Publications is the whole
// content of the touched Categories in all containers; By is the endpoint that
// published, "" when something ended.
type PresenceChanged struct {
	User         uc.UserURI
	By           uc.EndpointID
	Changed      []CategoryChange // sorted, each once
	Categories   []string         // sorted
	Publications []Publication
}

// CategoryChange names what changed in a PresenceChanged.
type CategoryChange struct {
	Category  string
	Container uint32
}

// StaleError refuses versions that are not current. It is a fault.Stale.
type StaleError struct {
	Fault *fault.Error
	Items []StaleItem
}

// StaleItem is a stale item: its place in the command counted from 1, and the
// version that is current.
type StaleItem struct {
	Index   int
	Current uint32
}

func (e *StaleError) Error() string { return e.Fault.Error() }

// Unwrap returns the fault.
func (e *StaleError) Unwrap() error { return e.Fault }

func stale(op string, user uc.UserURI, items []StaleItem) *StaleError {
	return &StaleError{fault.New(fault.Stale, op, "a version is not the current one; correct the versions named and send again").About(string(user)), items}
}

func (*Publish) number() uint16 { return numPublish }

func (k *PublicationKey) fields(c *codec) {
	text(c, "categoryName", &k.Category, maxCategory)
	c.u32("instance", &k.Instance)
	number(c, "container", &k.Container, maxContainerID)
}

func (x *Publish) fields(c *codec) {
	text(c, "user", &x.User, maxURI)
	text(c, "endpoint", &x.Endpoint, maxContact)
	c.i64("now", &x.Now)
	list(c, "publications", &x.Items, maxItems, (*PublishItem).fields)
}

func (x *PublishItem) fields(c *codec) {
	x.PublicationKey.fields(c)
	c.u32("version", &x.Version)
	number(c, "expireType", &x.ExpireType, uint64(TimeBound))
	c.i64("expires", &x.Lifetime)
	c.flag("remove", &x.Remove)
	text(c, "body", &x.Body, MaxPublicationBody)
}

func (p *Publication) fields(c *codec) {
	p.PublicationKey.fields(c)
	c.u32("version", &p.Version)
	number(c, "expireType", &p.ExpireType, uint64(TimeBound))
	c.i64("published", &p.Published)
	c.i64("expires", &p.Expires)
	text(c, "endpoint", &p.Endpoint, maxContact)
	text(c, "body", &p.Body, MaxPublicationBody)
}

func (r *refusal) fields(c *codec) {
	text(c, "endpoint", &r.Endpoint, maxContact)
	c.u64("offer", &r.Offer)
}

func (p *presence) fields(c *codec) {
	list(c, "publications", &p.list, MaxPublications, func(q **Publication, c *codec) {
		if c.reading {
			*q = new(Publication)
		}
		(*q).fields(c)
	})
	list(c, "refusals", &p.refused, maxRefusals, (*refusal).fields)
}

// Publications returns what the user published and the computed states, in all
// containers, sorted by category, container, instance. With names, only these
// categories.
func (u *User) Publications(names ...string) []Publication {
	var all []Publication
	want := func(category string) bool { return len(names) == 0 || slices.Contains(names, category) }
	if u.presence != nil {
		for _, p := range u.presence.list {
			if want(p.Category) {
				all = append(all, *p)
			}
		}
	}
	if u.derived != nil && want(stateCategory) {
		all = u.derived.append(all)
		slices.SortFunc(all, func(a, b Publication) int { return a.compare(b.PublicationKey) })
	}
	return all
}

func (u *User) find(key PublicationKey) (*Publication, int) {
	if u.presence == nil {
		return nil, 0
	}
	i, ok := slices.BinarySearchFunc(u.presence.list, key, func(p *Publication, k PublicationKey) int { return p.compare(k) })
	if !ok {
		return nil, i
	}
	return u.presence.list[i], i
}

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
		it := &x.Items[i]
		at, found := slices.BinarySearchFunc(next.list, it.PublicationKey, func(p *Publication, k PublicationKey) int { return p.compare(k) })
		version := uint32(0)
		if found {
			version = next.list[at].Version
			next.bytes -= len(next.list[at].Body)
		}
		if it.Remove {
			if found {
				next.list = slices.Delete(next.list, at, at+1)
			}
			continue
		}
		p := &Publication{PublicationKey: it.PublicationKey, Version: version + 1, ExpireType: it.ExpireType,
			Published: x.Now, Endpoint: x.Endpoint, Body: bodies.one(it.Body), input: inputs[i]}
		p.Category = t.words.one(it.Category)
		if b := u.Binding(x.Endpoint); b != nil {
			p.Endpoint = b.Endpoint // share the text
		}
		if it.ExpireType == TimeBound {
			p.Expires = x.Now + it.Lifetime
		}
		next.bytes += len(p.Body)
		if found {
			next.list[at] = p
		} else {
			next.list = slices.Insert(next.list, at, p)
		}
	}
	if len(next.list) > MaxPublications || next.bytes > MaxPublicationBytes {
		return nil, fault.Newf(fault.Limit, "groupstate.Publish", "a user may have %d publications and %d bytes in them; remove some first", MaxPublications, MaxPublicationBytes).About(string(x.User))
	}
	next.list = slices.Clip(next.list)
	return next, nil
}

// dropPublications removes the publications that match.
func (t *turn) dropPublications(e *entry, match func(*Publication) bool) {
	p := e.user.presence
	if p == nil || !slices.ContainsFunc(p.list, match) {
		return
	}
	next := &presence{bytes: p.bytes, refused: p.refused}
	for _, q := range p.list {
		if match(q) {
			next.bytes -= len(q.Body)
			t.touch(e, "", q.Category, q.Container)
		} else {
			next.list = append(next.list, q)
		}
	}
	t.edit(e).presence = next
}

// endPublications removes what was bound to endpoints that are gone, and what was
// bound to the user if nobody is left.
func (t *turn) endPublications(e *entry, gone map[uc.EndpointID]bool, now int64) {
	last := len(e.user.bindings) == 0
	if p := e.user.presence; p != nil && slices.ContainsFunc(p.refused, func(r refusal) bool { return gone[r.Endpoint] }) {
		next := *p
		next.refused = slices.DeleteFunc(slices.Clone(p.refused), func(r refusal) bool { return gone[r.Endpoint] })
		t.edit(e).presence = &next
	}
	t.dropPublications(e, func(p *Publication) bool {
		return p.ExpireType == EndpointBound && gone[p.Endpoint] || p.ExpireType == UserBound && last
	})
	if last {
		t.edit(e).seen = now
	}
	t.derive(e, now)
}

// touch notes that a category changed, for one PresenceChanged at the end of the
// turn.
func (t *turn) touch(e *entry, by uc.EndpointID, category string, container uint32) {
	i := slices.IndexFunc(t.touches, func(o *touch) bool { return o.entry == e })
	if i < 0 {
		t.touches = append(t.touches, &touch{entry: e, by: by})
		i = len(t.touches) - 1
	}
	o, c := t.touches[i], CategoryChange{category, container}
	at, found := slices.BinarySearchFunc(o.changed, c, func(a, b CategoryChange) int {
		return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.Container, b.Container))
	})
	if !found {
		o.changed = slices.Insert(o.changed, at, c)
	}
}

// touch is what changed in the presence of one user in this turn.
type touch struct {
	entry   *entry
	by      uc.EndpointID
	changed []CategoryChange
	event   *PresenceChanged
}

// touched returns the event of a user whose presence is final.
func (t *turn) touched(e *entry) *PresenceChanged {
	i := slices.IndexFunc(t.touches, func(o *touch) bool { return o.entry == e })
	if i < 0 {
		return &PresenceChanged{}
	}
	o := t.touches[i]
	if o.event == nil {
		o.event = &PresenceChanged{User: e.user.uri, By: o.by, Changed: o.changed}
		for _, c := range o.changed {
			if !slices.Contains(o.event.Categories, c.Category) {
				o.event.Categories = append(o.event.Categories, c.Category)
			}
		}
		o.event.Publications = e.user.Publications(o.event.Categories...)
	}
	return o.event
}
