// Package sipnotify is the notifier's side of event subscriptions: it reads a
// SUBSCRIBE into the record that the routing group keeps, answers it, and sends
// the notifications, as NOTIFY (RFC 6665) or, to Lync clients that ask for it, as
// BENOTIFY without an answer ([MS-SIP] 3.4).
//
// The record is the truth; this package keeps only the CSeq counters of dialogs.
// After a restart of the server a counter goes on from the age of its subscription,
// counted faster than anybody is notified for long, so it never goes back. Safe for
// concurrent use; nothing blocks.
package sipnotify

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/sip"
)

// Link is the part of siptrans.Layer that is needed.
type Link interface {
	Conn(id uint64) *siptrans.Conn
	Datagram(remote netip.AddrPort) *siptrans.Conn
	Request(c *siptrans.Conn, req *sip.Message, on func(res *sip.Message, err error)) *siptrans.ClientTx
	Send(c *siptrans.Conn, m *sip.Message) error
}

// Config sets a Notifier up.
type Config struct {
	Link   Link
	Locate func(uc.UserURI) []groupstate.Binding
	Server uc.ServerFQDN // of this server
	Epoch  uint64        // of this run; flows of other runs are dead
	Host   string        // of our Contact
	Port   int           // of our Contact when the connection does not tell
	// Gone is called when a watcher answers that it does not know the dialog, or
	// does not answer. It must not block. The subscription is to be ended by its
	// dialog: its ID may be another's by then.
	Gone func(user uc.UserURI, sub *groupstate.Subscription)
	// Peer is the connection to another server of the pool, for the watchers of what is
	// served for all servers here; nil: every watcher is told by the server that has its
	// connection.
	Peer func(server uc.ServerFQDN) (*siptrans.Conn, error)
	Now  func() time.Time
}

const shards = 64

// Notifier sends notifications.
type Notifier struct {
	cfg    Config
	seed   maphash.Seed
	shard  [shards]counters
	drafts sync.Pool // of *draft
}

type counters struct {
	mu   sync.Mutex // guards next
	next map[dialogKey]uint32
}

type dialogKey struct {
	user uc.UserURI
	id   uint64
}

// New makes a Notifier.
func New(cfg Config) *Notifier {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	n := &Notifier{cfg: cfg, seed: maphash.MakeSeed()}
	n.drafts.New = func() any { return new(draft) }
	for i := range n.shard {
		n.shard[i].next = map[dialogKey]uint32{}
	}
	return n
}

func (n *Notifier) counters(k dialogKey) *counters {
	return &n.shard[maphash.Comparable(n.seed, k)%shards]
}

// CSeq numbers after a restart: one for every stride of the subscription's age,
// beginning behind the notification that may have travelled in the first answer.
const (
	stride     = 20 // milliseconds
	firstCSeq  = 2
	cseqModulo = 1 << 31 // RFC 3261 8.1.1.5
)

// cseq is the next number of the subscription's dialog. The last one is not
// remembered.
func (n *Notifier) cseq(user uc.UserURI, sub *groupstate.Subscription, now int64, last bool) uint32 {
	k := dialogKey{user, sub.ID}
	s := n.counters(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := s.next[k]
	if seq == 0 {
		seq = uint32((max(now-sub.Since, 0)/stride + firstCSeq) % cseqModulo)
	}
	if last {
		delete(s.next, k)
	} else {
		s.next[k] = max((seq+1)%cseqModulo, 1)
	}
	return seq
}

// Forget drops the counter of a subscription that has ended.
func (n *Notifier) Forget(user uc.UserURI, sub *groupstate.Subscription) {
	k := dialogKey{user, sub.ID}
	s := n.counters(k)
	s.mu.Lock()
	delete(s.next, k)
	s.mu.Unlock()
}

// Own checks that a subscription is to the user's own state.
func Own(r *sipmux.Request) error {
	to, err := r.To()
	if err != nil {
		return err
	}
	who, err := uc.ParseUserURI(to.URI)
	if err != nil || who != r.User {
		return fault.New(fault.Forbidden, "sipnotify.Own", "this event is for oneself only: To must be the own address").Diagnosed(4004)
	}
	return nil
}
