package groupstate

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"hash/fnv"
	"io"
	"slices"

	"trivet/fault"
	"trivet/uc"
)

// A snapshot is: magic, version, then for each user in the order of names the
// length and the fields, then a zero length, then the CRC-32C of all before.
const (
	snapshotMagic   = "TVTG"
	snapshotVersion = 2 // 2 has conferences
	maxUserRecord   = 16 << 20
)

// Snapshot fixes the state as it is now and returns a function that writes it.
// Taking it copies one pointer per user; users changed afterwards are copied once.
// Equal states write equal bytes.
func (s *State) Snapshot() func(io.Writer) error {
	users := make([]*User, 0, len(s.users))
	for _, e := range s.users {
		users = append(users, e.user)
	}
	s.gen++
	return func(w io.Writer) error { return write(w, users) }
}

func write(w io.Writer, users []*User) error {
	slices.SortFunc(users, func(a, b *User) int { return cmp.Compare(a.uri, b.uri) })
	sum := crc32.New(castagnoli())
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<16)
	out.WriteString(snapshotMagic)
	out.WriteByte(snapshotVersion)
	var size [binary.MaxVarintLen64]byte
	c := codec{version: snapshotVersion}
	for _, u := range users {
		c.buf = c.buf[:0]
		u.fields(&c)
		out.Write(binary.AppendUvarint(size[:0], uint64(len(c.buf))))
		out.Write(c.buf)
	}
	out.WriteByte(0)
	if err := out.Flush(); err != nil {
		return fault.New(fault.Unavailable, "groupstate.Snapshot", "the snapshot could not be written").Because(err)
	}
	if _, err := w.Write(binary.BigEndian.AppendUint32(nil, sum.Sum32())); err != nil {
		return fault.New(fault.Unavailable, "groupstate.Snapshot", "the snapshot could not be written").Because(err)
	}
	return nil
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Hash is a number that equal states have in common, for comparing replicas.
func (s *State) Hash() uint64 {
	h := fnv.New64a()
	users := make([]*User, 0, len(s.users))
	for _, e := range s.users {
		users = append(users, e.user)
	}
	_ = write(h, users) // a hash takes every byte
	return h.Sum64()
}

// Restore replaces the state by a snapshot. On an error the state is as before.
func (s *State) Restore(r io.Reader) error {
	in := &summed{from: bufio.NewReaderSize(r, 1<<16), table: castagnoli()}
	next := New()
	if err := next.read(in); err != nil {
		why := fault.New(fault.Invalid, "groupstate.Restore", "the snapshot is damaged or of a newer version; take another replica's")
		return why.Because(err)
	}
	next.gen = s.gen + 1
	for _, e := range next.users {
		e.user.gen = next.gen
	}
	*s = *next
	return nil
}

func (s *State) read(in *summed) error {
	head := make([]byte, len(snapshotMagic)+1)
	if _, err := io.ReadFull(in, head); err != nil {
		return err
	}
	if string(head[:4]) != snapshotMagic || head[4] == 0 || head[4] > snapshotVersion {
		return errors.New("not a snapshot of this version")
	}
	t := &turn{State: s}
	for {
		size, err := binary.ReadUvarint(in)
		if err != nil {
			return err
		}
		if size == 0 {
			break
		}
		if err := t.readUser(in, size, head[4]); err != nil {
			return err
		}
	}
	want := in.sum
	var sum [4]byte
	if _, err := io.ReadFull(in.from, sum[:]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(sum[:]) != want {
		return errors.New("the check sum does not fit")
	}
	return nil
}

func (t *turn) readUser(in *summed, size uint64, version uint8) error {
	if size > maxUserRecord {
		return errors.New("a user is larger than allowed")
	}
	buf, err := io.ReadAll(io.LimitReader(in, int64(size))) // grows with what is there
	if err != nil {
		return err
	}
	if uint64(len(buf)) < size {
		return io.ErrUnexpectedEOF
	}
	u := &User{}
	c := codec{reading: true, version: version, buf: buf}
	u.fields(&c)
	c.end()
	if c.err != nil {
		return c.err
	}
	if t.users[u.uri] != nil {
		return errors.New("a user occurs twice")
	}
	t.share(u)
	e := &entry{user: u, pos: -1}
	t.users[u.uri] = e
	t.reckon(e)
	return nil
}

// share lets texts that many users have be stored once, as commands do.
func (t *turn) share(u *User) {
	for i := range u.bindings {
		b := &u.bindings[i]
		b.UserAgent, b.Methods = t.words.one(b.UserAgent), t.words.one(b.Methods)
		b.Flow.Transport = t.words.one(b.Flow.Transport)
		b.Flow.Server = uc.ServerFQDN(t.words.one(string(b.Flow.Server)))
	}
	for _, s := range u.watching {
		s.Event, s.Flow.Transport = t.words.one(s.Event), t.words.one(s.Flow.Transport)
		s.Flow.Server = uc.ServerFQDN(t.words.one(string(s.Flow.Server)))
		for i := range s.Categories {
			s.Categories[i] = t.words.one(s.Categories[i])
		}
	}
	if u.presence != nil {
		var bodies words
		for _, p := range u.presence.list {
			p.Category, p.Body = t.words.one(p.Category), bodies.one(p.Body)
		}
		u.presence.reread()
	}
	if d := u.derived; d != nil {
		d.all.Body, d.workgroup.Body, d.machine.Body = t.words.one(d.all.Body), t.words.one(d.workgroup.Body), t.words.one(d.machine.Body)
	}
}

// fields walks a user in a snapshot.
func (u *User) fields(c *codec) {
	text(c, "user", &u.uri, maxURI)
	c.i64("since", &u.since)
	c.flag("disabled", &u.disabled)
	c.i64("seen", &u.seen)
	list(c, "bindings", &u.bindings, maxEndpoints+maxContacts, (*Binding).fields)
	list(c, "containers", &u.access, maxContainers, (*Container).fields)
	list(c, "subscribers", &u.prompted, MaxPrompts, (*Subscriber).fields)
	list(c, "subscriptions", &u.watching, MaxSubscriptions, func(s **Subscription, c *codec) {
		if c.reading {
			*s = new(Subscription)
		}
		(*s).fields(c)
	})
	optional(c, "presence", &u.presence, (*presence).fields)
	optional(c, "computed state", &u.derived, (*derived).fields)
	optional(c, "contact list", &u.contacts, (*ContactList).fields)
	if c.version < 2 {
		return
	}
	list(c, "conferences", &u.conferences, MaxConferences, func(x **Conference, c *codec) {
		if c.reading {
			*x = new(Conference)
		}
		(*x).fields(c)
	})
}

// optional walks a part that may be missing.
func optional[T any](c *codec, field string, v **T, one func(*T, *codec)) {
	there := *v != nil
	c.flag(field, &there)
	if !there || c.err != nil {
		return
	}
	if c.reading {
		*v = new(T)
	}
	one(*v, c)
}

// summed reads and keeps the check sum of what was read.
type summed struct {
	from  *bufio.Reader
	table *crc32.Table
	sum   uint32
}

func (r *summed) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.sum = crc32.Update(r.sum, r.table, p[:n])
	return n, err
}

func (r *summed) ReadByte() (byte, error) {
	b, err := r.from.ReadByte()
	if err == nil {
		r.sum = crc32.Update(r.sum, r.table, []byte{b})
	}
	return b, err
}
