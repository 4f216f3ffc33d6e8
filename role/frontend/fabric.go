package frontend

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/link/peer"
	"trivet/replica"
	"trivet/rule/poolstate"
	"trivet/rule/quorum"
	"trivet/rule/topology"
	"trivet/service/poolmanager"
	"trivet/uc"
)

// What travels over the links between servers: kinds of datagrams, names of calls and
// streams. They are append-only.
const (
	kindGroups   = 1 // messages of groups
	snapshotLink = "groups.snapshot"
)

// fabric is the pool as this server sees it: the links to the other servers, the pool
// group, and who has which number.
type fabric struct {
	start  poolmanager.Go
	began  time.Time
	pool   *topology.Pool // as in the document this server was started with
	self   uc.ServerFQDN
	number uint64 // of this server; known once it has joined
	id     identity
	log    *slog.Logger
	clock  clock.Clock

	links     *peer.Net
	host      *replica.Host                 // opened before anything is received for the groups
	group     *replica.Group                // the pool group
	settled   atomic.Uint64                 // number, once it is known; for other goroutines
	given     atomic.Bool                   // the pool has given it
	started   atomic.Pointer[replica.Group] // group, the same
	published atomic.Pointer[published]
	view      atomic.Pointer[poolstate.Pool]
	turn      hub[*poolstate.Pool] // every new state of the pool
	// met are servers that spoke under a number that the state here does not have yet:
	// it may have to be learned from them, and they have to be answered for that.
	met  sync.Map                  // uint64 to uc.ServerFQDN
	told atomic.Pointer[ledGroups] // see askWhoLeads
}

// state is the pool as last seen here. It is never nil, and never changed.
func (f *fabric) state() *poolstate.Pool { return f.view.Load() }

// names are the servers of the pool in their order: those of the pool's state, before
// there is one those of the document.
func (f *fabric) names() []uc.ServerFQDN {
	p := f.state()
	if !p.Open() {
		return f.pool.Names()
	}
	var list []uc.ServerFQDN
	for _, s := range p.Servers {
		list = append(list, s.FQDN)
	}
	return list
}

// server is the name of a number, "" for none. Until the pool is opened a server's
// number is its place in the document.
func (f *fabric) server(n uint64) uc.ServerFQDN {
	p := f.state()
	if s := p.ByNumber(n); s != nil {
		return s.FQDN
	}
	if name, ok := f.met.Load(n); ok {
		return name.(uc.ServerFQDN)
	}
	if names := f.pool.Names(); !p.Open() && n > 0 && n <= uint64(len(names)) {
		return names[n-1]
	}
	return ""
}

// numberOf is the number of a server, 0 for none.
func (f *fabric) numberOf(name uc.ServerFQDN) uint64 {
	p := f.state()
	if s := p.Server(name); s != nil {
		return s.Number
	}
	if i := slices.Index(f.pool.Names(), name); !p.Open() && i >= 0 {
		return uint64(i + 1)
	}
	return 0
}

func (f *fabric) joined() uint64               { return f.settled.Load() }
func (f *fabric) groupStarted() *replica.Group { return f.started.Load() }

// addresses are where the servers of the pool reach one another.
func (f *fabric) addresses() map[uc.ServerFQDN]string {
	out := map[uc.ServerFQDN]string{}
	for _, c := range f.computers() {
		out[c.FQDN] = c.PeerAddress
	}
	return out
}

// connected and absent are the servers that this one has a link with, itself among
// them, and the others.
func (f *fabric) connected() (names []uc.ServerFQDN) {
	for _, n := range f.names() {
		if f.live(n) {
			names = append(names, n)
		}
	}
	return names
}

func (f *fabric) absent() (names []uc.ServerFQDN) {
	for _, n := range f.names() {
		if !f.live(n) {
			names = append(names, n)
		}
	}
	return names
}

// membersOf are the computers of a pool as its state has them.
func membersOf(list []topology.Computer) (out []poolstate.Member) {
	for _, c := range list {
		out = append(out, poolstate.Member{FQDN: c.FQDN, Domain: c.UpgradeDomain})
	}
	return out
}

// witness is how the last call to the witness ended.
func (f *fabric) witness() replica.WitnessState {
	if f.started.Load() == nil {
		return replica.WitnessState{}
	}
	return f.host.Witness()
}

// quorumReason says what the pool group lacks.
func (f *fabric) quorumReason() string {
	all, needed := quorum.Votes(len(f.names()), f.pool.BackEnd != nil)
	witness := ""
	if all > quorum.Seeds(len(f.names())) {
		witness = "; the witness in the primary Back End database "
		switch st := f.witness(); {
		case st.Since.IsZero():
			witness += "was not asked yet"
		case st.Err != nil:
			witness += "does not answer"
		default:
			witness += "answers"
		}
	}
	return fmt.Sprintf("a quorum of the pool: %d of %d votes are needed; connected: %s; missing: %s%s", needed, all, list(f.connected()), list(f.absent()), witness)
}

// live reports whether a server runs and is connected, as seen from here.
func (f *fabric) live(name uc.ServerFQDN) bool { return name == f.self || f.links.Up(name) }

// leader is the server that leads a group, "" for none.
func (f *fabric) leader(g uc.GroupID) uc.ServerFQDN {
	r := f.host.Group(g)
	if r == nil {
		return ""
	}
	st := r.Status()
	if st.Leader == 0 || st.Leader == f.number && !st.Primary {
		return ""
	}
	return f.server(st.Leader)
}

// wire carries the messages of groups over the links.
type wire struct{ *fabric }

var _ replica.Transport = wire{}

// Send implements replica.Transport.
func (w wire) Send(to uint64, batch []replica.Envelope) {
	name := w.server(to)
	if name == "" || to == quorum.Witness {
		return
	}
	b := binary.AppendUvarint(nil, w.number)
	for _, e := range batch {
		b = appendEnvelope(b, e)
	}
	w.links.Post(name, kindGroups, b)
}

// Snapshot implements replica.Transport.
func (w wire) Snapshot(ctx context.Context, to uint64, e replica.Envelope, body io.Reader) error {
	name := w.server(to)
	if name == "" {
		return fault.Newf(fault.NotFound, "frontend.Snapshot", "the pool has no server %d", to)
	}
	return w.links.Stream(ctx, name, snapshotLink, appendEnvelope(binary.AppendUvarint(nil, w.number), e), body)
}

func appendEnvelope(b []byte, e replica.Envelope) []byte {
	b = binary.AppendUvarint(b, uint64(e.Group))
	b = binary.AppendUvarint(b, e.Generation)
	b = binary.AppendUvarint(b, uint64(len(e.Data)))
	return append(b, e.Data...)
}

// readEnvelopes reads what Send or Snapshot wrote; nil for what is malformed.
func readEnvelopes(b []byte) (from uint64, batch []replica.Envelope) {
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			b = nil
			return 0
		}
		b = b[n:]
		return v
	}
	from = number()
	for len(b) > 0 {
		e := replica.Envelope{Group: uc.GroupID(number()), Generation: number()}
		size := number()
		if size > uint64(len(b)) {
			return 0, nil
		}
		e.Data, b = b[:size:size], b[size:]
		batch = append(batch, e)
	}
	return from, batch
}

// receive registers what comes from the other servers for the groups.
func (f *fabric) receive() {
	f.links.Handle(kindGroups, func(from uc.ServerFQDN, payload []byte) {
		n, batch := readEnvelopes(payload)
		if !f.speaksFor(from, n) {
			return
		}
		if err := f.host.Step(n, batch); err != nil && !fault.Is(err, fault.Unavailable) {
			f.log.Warn("messages of another server are refused", "server", from, "err", err)
		}
	})
	f.links.ServeStream(snapshotLink, func(ctx context.Context, from uc.ServerFQDN, header []byte, r io.Reader) error {
		n, batch := readEnvelopes(header)
		if len(batch) != 1 || !f.speaksFor(from, n) {
			return fault.Newf(fault.Forbidden, "frontend.receive", "server %s may not send this snapshot", from)
		}
		return f.host.Receive(ctx, n, batch[0], r)
	})
}

// speaksFor reports whether a server may send under a number. One whose number is not
// known here yet is believed, if it is in the document: it may have joined while this
// server was away, and who brings the news is often the one it is about.
func (f *fabric) speaksFor(from uc.ServerFQDN, n uint64) bool {
	if have := f.numberOf(from); have == n {
		return n != 0
	}
	if n == 0 || n < f.state().Next || n >= quorum.Witness {
		return false
	}
	if was, ok := f.met.Load(n); !ok || was != from {
		f.met.Store(n, from)
	}
	return true
}

// poolMachine makes the pool's state a replica.Machine and shows it outside the group's
// goroutine.
type poolMachine struct {
	*poolstate.State
	f *fabric
}

var _ replica.Machine = poolMachine{}

// Apply implements replica.Machine.
func (m poolMachine) Apply(index uint64, cmd []byte) (any, []any) {
	result, events := m.State.Apply(index, cmd)
	if len(events) > 0 {
		m.show()
	}
	return result, events
}

// Restore implements replica.Machine.
func (m poolMachine) Restore(r io.Reader) error {
	err := m.State.Restore(r)
	m.show()
	return err
}

func (m poolMachine) show() {
	m.f.view.Store(m.Pool())
	m.f.turn.tell(m.Pool())
}

// propose has the pool group carry out a command.
func (f *fabric) propose(ctx context.Context, c poolstate.Command) (*poolstate.Pool, error) {
	return poolstate.Result(f.groupStarted().Propose(ctx, poolstate.Encode(c)))
}
