package groupstate

import (
	"cmp"
	"hash/crc32"
	"slices"

	"trivet/fault"
	"trivet/uc"
)

// Record is the durable part of one user: what outlives every sign-out. It is what
// the Back End keeps, what moves with a user from pool to pool, and what an export
// of user data contains. Endpoints, subscriptions and publications that end with
// them are not in it.
type Record struct {
	User         uc.UserURI
	Since        int64
	Disabled     bool
	Containers   []Container    // by id
	Subscribers  []Subscriber   // oldest first
	Publications []*Publication // static ones, by key
	Contacts     *ContactList   // nil when never changed
	Conferences  []*Conference  // by id
}

// A record on disk or on its way is: magic, version, fields, CRC-32C of all before.
const (
	recordMagic   = "TVTU"
	recordVersion = 1
	recordSum     = 4
)

// Record returns the durable part of the user. It never changes afterwards, and must
// not be changed by anyone.
func (u *User) Record() *Record {
	r := &Record{
		User: u.uri, Since: u.since, Disabled: u.disabled,
		Containers: u.access, Subscribers: u.prompted, Contacts: u.contacts, Conferences: u.conferences,
	}
	if u.presence != nil {
		for _, p := range u.presence.list {
			if p.ExpireType == Static {
				r.Publications = append(r.Publications, p)
			}
		}
	}
	return r
}

// Export writes the record for keeping and for other servers. Equal records are
// equal bytes.
func (r *Record) Export() []byte {
	c := codec{version: recordVersion, buf: append(make([]byte, 0, 512), recordMagic...)}
	c.buf = append(c.buf, recordVersion)
	r.fields(&c)
	return appendSum(c.buf)
}

func appendSum(b []byte) []byte {
	sum := crc32.Checksum(b, castagnoli())
	return append(b, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
}

// ReadRecord reads what Export wrote. One of a newer release is fault.Unsupported,
// a damaged one fault.Invalid.
func ReadRecord(b []byte) (*Record, error) {
	const op, head = "groupstate.ReadRecord", len(recordMagic)
	if len(b) > maxUserRecord {
		return nil, fault.New(fault.Limit, op, "the record of a user is larger than 16 MiB")
	}
	if len(b) < head+1+recordSum || string(b[:head]) != recordMagic {
		return nil, fault.New(fault.Invalid, op, "this is not a record of a user")
	}
	if v := b[head]; v == 0 || v > recordVersion {
		return nil, fault.Newf(fault.Unsupported, op, "version %d of a user's record is not known to this version", v)
	}
	end := len(b) - recordSum
	if !slices.Equal(appendSum(slices.Clone(b[:end])), b) {
		return nil, fault.New(fault.Invalid, op, "the record of a user is damaged; take another copy")
	}
	r := new(Record)
	c := codec{reading: true, version: b[head], buf: b[head+1 : end]}
	r.fields(&c)
	c.end()
	if c.err != nil {
		return nil, c.err
	}
	return r, r.check(op)
}

func (r *Record) fields(c *codec) {
	text(c, "user", &r.User, maxURI)
	c.i64("since", &r.Since)
	c.flag("disabled", &r.Disabled)
	list(c, "containers", &r.Containers, maxContainers, (*Container).fields)
	list(c, "subscribers", &r.Subscribers, MaxPrompts, (*Subscriber).fields)
	list(c, "publications", &r.Publications, MaxPublications, made((*Publication).fields))
	optional(c, "contact list", &r.Contacts, (*ContactList).fields)
	list(c, "conferences", &r.Conferences, MaxConferences, made((*Conference).fields))
}

// made walks what a pointer points at, which reading makes.
func made[T any](one func(*T, *codec)) func(**T, *codec) {
	return func(p **T, c *codec) {
		if c.reading {
			*p = new(T)
		}
		one(*p, c)
	}
}

// check looks at what the field list alone does not say: names, order, and that
// every contact is in groups that exist.
func (r *Record) check(op string) error {
	wrong := func(what string) error {
		return fault.Newf(fault.Invalid, op, "the record has %s; export it again", what).About(string(r.User))
	}
	if uri, err := uc.ParseUserURI(string(r.User)); err != nil || uri != r.User {
		return wrong("a user whose address is not in canonical form")
	}
	if !ascending(r.Containers, func(x Container) uint32 { return x.ID }) {
		return wrong("containers out of order")
	}
	if err := withinLimits(op, r.Containers); err != nil {
		return err.About(string(r.User))
	}
	bytes := 0
	for i, p := range r.Publications {
		if p.ExpireType != Static || p.Version == 0 || computed(p.PublicationKey) || i > 0 && r.Publications[i-1].compare(p.PublicationKey) >= 0 {
			return wrong("publications that are not static, or out of order")
		}
		bytes += len(p.Body)
	}
	if bytes > MaxPublicationBytes {
		return wrong("more published than a user may publish")
	}
	if l := r.Contacts; l != nil && !l.sound() {
		return wrong("a contact list out of order, or contacts in groups that do not exist")
	}
	return r.checkConferences(wrong)
}

func (r *Record) checkConferences(wrong func(string) error) error {
	listed := 0
	for i, x := range r.Conferences {
		if !ConferenceID(x.ID) || i > 0 && r.Conferences[i-1].ID >= x.ID {
			return wrong("conferences out of order")
		}
		if !ascending(x.Listed, func(l Listed) uc.UserURI { return l.User }) {
			return wrong("people of a conference out of order")
		}
		listed += len(x.Listed)
	}
	if listed > MaxAllListed {
		return wrong("more people in conferences than a user may list")
	}
	return nil
}

// ascending reports whether the keys rise, none of them twice.
func ascending[T any, K cmp.Ordered](list []T, key func(T) K) bool {
	for i := 1; i < len(list); i++ {
		if key(list[i-1]) >= key(list[i]) {
			return false
		}
	}
	return true
}

// sound reports whether the list is one that commands can have made.
func (l *ContactList) sound() bool {
	have := l.have()
	for _, c := range l.Contacts {
		if c.Groups == 0 || c.Groups&^have != 0 {
			return false
		}
	}
	return l.Delta > 0 && have.Has(DefaultGroup) &&
		ascending(l.Groups, func(g ContactGroup) uint8 { return g.ID }) && ascending(l.Contacts, func(c *Contact) string { return c.URI })
}
