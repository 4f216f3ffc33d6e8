// Package sipnotify is the notifier's side of event subscriptions: it reads a
// SUBSCRIBE into the record that the routing group keeps, answers it, and sends
// the notifications, as NOTIFY (RFC 6665) or, to Lync clients that ask for it, as
// BENOTIFY without an answer ([MS-SIP] 3.4).
//
// The record is the truth; this package keeps only the CSeq counters of dialogs.
// They start at the seconds since 2020, so that those of a restarted server are
// ahead of what it sent before. Safe for concurrent use; nothing blocks.
package sipnotify

import (
	"hash/maphash"
	"strconv"
	"strings"
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
	// does not answer. It must not block.
	Gone func(user uc.UserURI, sub *groupstate.Subscription)
	Now  func() time.Time
}

const shards = 64

// Notifier sends notifications.
type Notifier struct {
	cfg   Config
	seed  maphash.Seed
	shard [shards]counters
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
	for i := range n.shard {
		n.shard[i].next = map[dialogKey]uint32{}
	}
	return n
}

// epoch2020 is where CSeq counters count from.
var epoch2020 = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

func (n *Notifier) cseq(k dialogKey) uint32 {
	s := &n.shard[maphash.Comparable(n.seed, k)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := s.next[k]
	if seq == 0 {
		seq = uint32(n.cfg.Now().Sub(epoch2020) / time.Second)
	}
	s.next[k] = seq + 1
	return seq
}

// Forget drops the counter of a subscription that has ended.
func (n *Notifier) Forget(user uc.UserURI, sub *groupstate.Subscription) {
	k := dialogKey{user, sub.ID}
	s := &n.shard[maphash.Comparable(n.seed, k)%shards]
	s.mu.Lock()
	delete(s.next, k)
	s.mu.Unlock()
}

// Lifetimes of subscriptions, in seconds: what a watcher gets that asks for none,
// and the most it gets.
const (
	usualLifetime = 3600
	mostLifetime  = 28800
)

// Lifetime is how many seconds the SUBSCRIBE lives; 0 ends it or asks once.
func Lifetime(m *sip.Message) int {
	v, ok := m.Expires()
	switch {
	case !ok && isLync(m):
		return mostLifetime
	case !ok:
		return usualLifetime
	}
	return min(v, mostLifetime)
}

func isLync(m *sip.Message) bool {
	return m.Has("Supported", "ms-benotify") || m.Has("Proxy-Require", "ms-benotify")
}

// Refresh reports whether the SUBSCRIBE is within a dialog.
func Refresh(m *sip.Message) bool {
	to, err := m.To()
	return err == nil && to.Tag() != ""
}

// Record reads a SUBSCRIBE into the command that stores it. The caller adds
// format, targets and categories. Endpoint is the authenticated device; a client
// that names none is known by its Call-ID.
func (n *Notifier) Record(r *sipmux.Request) (*groupstate.Subscribe, error) {
	const op = "sipnotify.Record"
	from, err := r.From()
	if err != nil {
		return nil, err
	}
	to, err := r.To()
	if err != nil {
		return nil, err
	}
	contacts, err := r.Contacts()
	switch {
	case err != nil:
		return nil, err
	case len(contacts) == 0 && !Refresh(r.Message):
		return nil, fault.New(fault.Invalid, op, "a SUBSCRIBE needs a Contact to send notifications to")
	case from.Tag() == "":
		return nil, fault.New(fault.Invalid, op, "the From header of a SUBSCRIBE needs a tag")
	}
	seq, _, err := r.CSeq()
	if err != nil {
		return nil, err
	}
	d := groupstate.Dialog{
		CallID: r.CallID(), LocalURI: to.URI, LocalTag: to.Tag(), RemoteURI: from.URI, RemoteTag: from.Tag(),
		RemoteParams: fromParams(from.Params), RemoteCSeq: seq, Routes: routes(r.Message),
	}
	if d.LocalTag == "" {
		d.LocalTag = r.Tx.Tag()
	}
	if len(contacts) > 0 {
		d.RemoteTarget = contacts[0].URI
	}
	return &groupstate.Subscribe{
		User: r.User, Endpoint: Endpoint(r), Now: r.Now.UnixMilli(), Lifetime: int64(Lifetime(r.Message)) * 1000,
		Refresh: Refresh(r.Message), Event: r.Event(), Benotify: isLync(r.Message), Dialog: d, Flow: n.flow(r.Conn),
	}, nil
}

// Endpoint is the device that subscribes.
func Endpoint(r *sipmux.Request) uc.EndpointID {
	if r.Endpoint != "" {
		return r.Endpoint
	}
	return uc.EndpointID("call:" + r.CallID())
}

func (n *Notifier) flow(c *siptrans.Conn) groupstate.Flow {
	return groupstate.Flow{Server: n.cfg.Server, Epoch: n.cfg.Epoch, Conn: c.ID(), Transport: c.Transport(), Remote: c.Remote()}
}

// fromParams keeps what Lync clients want to see again in the To header.
func fromParams(p sip.Params) string {
	if v, ok := p.Get("epid"); ok {
		return ";epid=" + v
	}
	return ""
}

func routes(m *sip.Message) []string {
	var out []string
	for line := range m.All("Record-Route") {
		for v := range sip.Split(line) {
			out = append(out, v)
		}
	}
	return out
}

// Contact is the value of our Contact header on a connection.
func (n *Notifier) Contact(c *siptrans.Conn) string {
	port := n.cfg.Port
	if p := c.Local().Port(); p != 0 {
		port = int(p)
	}
	u := sip.URI{Scheme: "sip", Host: n.cfg.Host, Port: port, Params: sip.Params{{Name: "transport", Value: c.Transport(), HasValue: true}}}
	return "<" + u.String() + ">"
}

// Answer is the 200 of a SUBSCRIBE that lives for the seconds given. For Lync
// clients it carries the first notification; body may be nil.
func (n *Notifier) Answer(r *sipmux.Request, seconds int, contentType string, body []byte) *sip.Message {
	res := r.Reply(200, "")
	res.Add("Contact", n.Contact(r.Conn))
	res.Add("Event", r.Get("Event"))
	res.Add("Expires", strconv.Itoa(seconds))
	if !isLync(r.Message) {
		return res
	}
	res.Add("subscription-state", state(seconds))
	if len(body) > 0 {
		res.Add("ms-piggyback-cseq", "1")
		res.Add("Content-Type", contentType)
		res.Body = body
	}
	return res
}

// Piggyback reports whether the first notification may travel in the 200.
func Piggyback(m *sip.Message) bool { return m.Has("Supported", "ms-piggyback-first-notify") }

func state(seconds int) string {
	if seconds <= 0 {
		return "terminated;reason=timeout"
	}
	return "active;expires=" + strconv.Itoa(seconds)
}

// Notify sends a document to the watcher of sub. With ended the subscription is
// told to be over, for the reason given (RFC 6665 4.1.3). Without a connection to
// the watcher nothing is sent: a client that comes back subscribes again.
func (n *Notifier) Notify(user uc.UserURI, sub *groupstate.Subscription, ended, contentType string, body []byte) {
	c := n.conn(user, sub)
	if c == nil {
		return
	}
	left := int((sub.Expires - n.cfg.Now().UnixMilli()) / 1000)
	m := n.message(c, user, sub, contentType, body)
	if ended != "" {
		m.Add("Subscription-State", "terminated;reason="+ended)
	} else {
		m.Add("Subscription-State", state(max(left, 1)))
	}
	if sub.Benotify {
		n.cfg.Link.Send(c, m)
		return
	}
	n.cfg.Link.Request(c, m, func(res *sip.Message, err error) {
		if err != nil || res.Status == 481 || res.Status == 489 || res.Status == 408 {
			n.cfg.Gone(user, sub)
		}
	})
}

func (n *Notifier) message(c *siptrans.Conn, user uc.UserURI, sub *groupstate.Subscription, contentType string, body []byte) *sip.Message {
	method := "NOTIFY"
	if sub.Benotify {
		method = "BENOTIFY"
	}
	d := &sub.Dialog
	m := sip.NewRequest(method, d.RemoteTarget)
	for _, r := range d.Routes {
		m.Add("Route", r)
	}
	m.Add("Max-Forwards", "70")
	m.Add("From", "<"+d.LocalURI+">;tag="+d.LocalTag)
	m.Add("To", "<"+d.RemoteURI+">;tag="+d.RemoteTag+d.RemoteParams)
	m.Add("Call-ID", d.CallID)
	m.Add("CSeq", strconv.FormatUint(uint64(n.cseq(dialogKey{user, sub.ID})), 10)+" "+method)
	m.Add("Contact", n.Contact(c))
	m.Add("Event", sub.Event)
	if len(body) > 0 {
		m.Add("Content-Type", contentType)
		m.Body = body
	}
	return m
}

// conn is the connection to the watcher's device: that of its registration, which
// may have moved since, else the one that the SUBSCRIBE came over.
func (n *Notifier) conn(user uc.UserURI, sub *groupstate.Subscription) *siptrans.Conn {
	for _, b := range n.cfg.Locate(user) {
		if b.Endpoint == sub.Endpoint && !b.Detached && b.Flow.Epoch == n.cfg.Epoch {
			if c := n.cfg.Link.Conn(b.Flow.Conn); c != nil {
				return c
			}
		}
	}
	if sub.Flow.Epoch != n.cfg.Epoch || sub.Flow.Server != n.cfg.Server {
		return nil
	}
	return n.cfg.Link.Conn(sub.Flow.Conn)
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

// Accepts reports whether the Accept headers name the content type; without any
// Accept, def says.
func Accepts(m *sip.Message, contentType string, def bool) bool {
	any := false
	for line := range m.All("Accept") {
		for v := range sip.Split(line) {
			any = true
			t, _, _ := strings.Cut(v, ";")
			if strings.EqualFold(strings.TrimSpace(t), contentType) {
				return true
			}
		}
	}
	return !any && def
}
