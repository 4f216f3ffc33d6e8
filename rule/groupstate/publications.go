package groupstate

import (
	"cmp"
	"iter"
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

// Published yields what Publications has of one category in one container, by
// instance. It costs as much as it yields.
func (u *User) Published(category string, container uint32) iter.Seq[Publication] {
	return func(yield func(Publication) bool) {
		list := u.published(category, container)
		if category == stateCategory && u.derived != nil {
			for _, p := range places {
				if p.container != container {
					continue
				}
				for ; len(list) > 0 && list[0].Instance < p.instance; list = list[1:] {
					if !yield(*list[0]) {
						return
					}
				}
				if !yield(u.derived.at(p)) {
					return
				}
			}
		}
		for _, q := range list {
			if !yield(*q) {
				return
			}
		}
	}
}

// published is the part of the list that has a category in a container.
func (u *User) published(category string, container uint32) []*Publication {
	if u.presence == nil {
		return nil
	}
	_, from := u.find(PublicationKey{Category: category, Container: container})
	list := u.presence.list[from:]
	n := slices.IndexFunc(list, func(p *Publication) bool { return p.Category != category || p.Container != container })
	if n >= 0 {
		list = list[:n]
	}
	return list
}

func (u *User) find(key PublicationKey) (*Publication, int) {
	if u.presence == nil {
		return nil, 0
	}
	i, ok := u.presence.at(key)
	if !ok {
		return nil, i
	}
	return u.presence.list[i], i
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
