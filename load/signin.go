package load

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"time"

	"trivet/wire/presdoc"
)

// registers reports whether the act is a REGISTER.
func registers(a Act) bool { return a == SignIn || a == Again || a == Renew || a == SignOut }

// connect makes a connection and sends the first REGISTER. It runs in a goroutine
// of its own: the reader gets a fresh one, whose stack no handshake has grown.
func (e *endpoint) connect(ctx context.Context, act Act, due time.Duration) {
	r := e.run
	defer r.tasks.Done()
	l, err := r.dial(ctx, e.id)
	if err != nil && ctx.Err() != nil { // the run ends
		r.tally[act].sent.Add(1)
		r.tally[act].stillOpen(r.now() - due)
		return
	}
	if err != nil {
		r.count.unconnected.Add(1)
		r.tally[act].lost.Add(1)
		r.tally[act].sent.Add(1)
		e.mu.Lock()
		e.later(r.jittered(4 * time.Second))
		e.mu.Unlock()
		return
	}
	r.count.connected.Add(1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.ending.Load() {
		r.tally[act].sent.Add(1)
		r.tally[act].stillOpen(r.length - due)
		l.Close()
		return
	}
	if e.link != nil {
		r.tally[act].skipped.Add(1)
		l.Close()
		return
	}
	e.link, e.life = l, e.life+1
	e.ours = "<sip:" + l.local + ";transport=" + strings.ToLower(r.transport) + ";ms-opaque=" + e.epid[:10] + ">"
	e.began = due
	r.tasks.Add(1)
	go func() {
		defer r.tasks.Done()
		l.read(func(m message) error { return e.receive(l, m) })
		e.lost(l)
	}()
	e.register(pending{act: act, due: due}, "")
}

// dialTime bounds connecting with the TLS handshake.
const dialTime = 30 * time.Second

func (r *Run) dial(ctx context.Context, n int32) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	d := net.Dialer{LocalAddr: r.source(n), KeepAlive: -1}
	nc, err := d.DialContext(ctx, "tcp", r.cfg.Server)
	if err != nil {
		return nil, err
	}
	s, err := newSocket(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	l := &link{socket: s, local: nc.LocalAddr().String()}
	if r.cfg.TLS != nil {
		conf := r.cfg.TLS.Clone()
		l.log = &keyLog{}
		conf.KeyLogWriter = l.log
		l.tls = tls.Client(s, conf)
		if err := l.tls.HandshakeContext(ctx); err != nil {
			nc.Close()
			return nil, err
		}
		if l.tls.ConnectionState().DidResume {
			r.count.resumed.Add(1)
		}
	}
	s.begin()
	return l, nil
}

// perSource is how many endpoints connect from one address: a port of an address
// serves one connection to a server.
const perSource = 2000

// source is the address that an endpoint connects from: many of 127.0.0.0/8 for a
// server on this machine, else the one the system chooses.
func (r *Run) source(n int32) net.Addr {
	if !r.loopback {
		return nil
	}
	return &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+n/perSource/250), byte(2+n/perSource%250))}
}

// register sends a REGISTER; lines are an answer to a challenge. Lync clients are
// offered no Digest, so the request that asks for it comes from a standard client.
func (e *endpoint) register(p pending, lines string) {
	q := request{method: "REGISTER", uri: "sip:" + e.user.domain(), to: e.user.address, callID: e.callID(0), expires: noExpires, unsigned: lines != ""}
	if p.act == SignOut {
		q.expires = 0
	}
	transport := strings.ToLower(e.run.transport)
	if e.run.cfg.Scheme == Digest && lines == "" {
		q.plain, q.more = true, "Contact: <sip:"+e.link.local+";transport="+transport+">\r\nSupported: path, outbound, gruu\r\n"
		e.send(&q, p)
		return
	}
	q.more = lines + "Contact: <sip:" + e.link.local + ";transport=" + transport + ";ms-opaque=" + e.epid[:10] +
		`>;methods="INVITE, MESSAGE, INFO, SUBSCRIBE, OPTIONS, BYE, CANCEL, NOTIFY, ACK, REFER, BENOTIFY";proxy=replace;+sip.instance="<` + e.instance() + ">\"\r\n" +
		"Supported: gruu-10, adhoclist, msrtc-event-categories, com.microsoft.msrtc.presence\r\nEvent: registration\r\nAllow-Events: presence\r\nms-keep-alive: UAC;hop-hop=yes\r\n"
	e.send(&q, p)
}

// instance is the +sip.instance of the endpoint.
func (e *endpoint) instance() string { return "urn:uuid:00000000-0000-5000-8000-" + e.epid }

// rounds is how often a request is repeated with better credentials or versions.
const rounds = 4

// challenged answers a 401 to a REGISTER and reports whether it could.
func (e *endpoint) challenged(m *message, p pending) bool {
	if p.round >= rounds {
		return false
	}
	lines, ok := e.answer(m)
	if !ok {
		return false
	}
	p.round++
	e.register(p, lines)
	return true
}

// welcomed follows a REGISTER that began a session.
func welcomed(e *endpoint, m *message, p pending) {
	r := e.run
	if m.status >= 300 {
		e.link.hangUp()
		if m.get("Retry-After") == nil {
			e.wait = max(e.wait, r.now()+r.jittered(30*time.Second))
		}
		return
	}
	if !e.in.Swap(true) {
		r.count.signedIn.Add(1)
	}
	e.link.settled = true
	e.noteContact(m)
	e.renewal(m)
	r.agenda.add(todo{at: r.now() + r.scaled(keepAlive), what: alive, who: e.id, ref: e.life})
	r.agenda.add(todo{at: r.now() + r.scaled(resubAfter), what: resub, who: e.id, ref: e.life})
	if r.cfg.Session > 0 && p.act == SignIn {
		r.agenda.add(todo{at: p.due + r.sessionOf(e), what: signOut, who: e.id})
	}
	e.subscribeOwn(Contacts, p)
	e.subscribeOwn(Provisioning, p)
	e.subscribeOwn(Self, p)
}

// Times of the client.
const (
	keepAlive  = 300 * time.Second
	resubAfter = 8*time.Hour - 2*time.Minute
	renewEarly = 30 * time.Second
)

// noteContact takes the GRUU that the server gave.
func (e *endpoint) noteContact(m *message) {
	m.all("Contact", func(v []byte) {
		if g := quoted(v, "gruu"); g != "" && strings.Contains(string(v), e.epid) {
			e.ours = "<" + g + ">"
		}
	})
}

// renewal plans the next REGISTER.
func (e *endpoint) renewal(m *message) {
	seconds := number(m.get("Expires"))
	if seconds <= 0 {
		return
	}
	d := max(time.Duration(seconds)*time.Second-renewEarly, time.Duration(seconds)*time.Second/2)
	e.run.agenda.add(todo{at: e.run.now() + e.run.scaled(d), what: renew, who: e.id, ref: e.life})
}

func renewed(e *endpoint, m *message, _ pending) {
	if m.status < 300 {
		e.renewal(m)
	} else {
		e.link.hangUp()
	}
}

// own subscriptions of an endpoint, by act.
var owns = map[Act]struct {
	event, more string
	expires     int
	kind        string
	body        []byte
	place       int // in endpoint.own, -1 for none
}{
	Contacts: {"vnd-microsoft-roaming-contacts", "Accept: " + presdoc.TypeContacts + "\r\nSupported: ms-ucs\r\n", noExpires, "", nil, 0},
	Provisioning: {"vnd-microsoft-provisioning-v2", "Accept: " + presdoc.TypeProvisioning + "\r\n", 0, "application/vnd-microsoft-roaming-provisioning-v2+xml",
		presdoc.AppendProvisioningRequest(nil, []string{"ServerConfiguration", "meetingPolicy", "persistentChatConfiguration", "ucPolicy"}), -1},
	Self: {"vnd-microsoft-roaming-self", "Accept: " + presdoc.TypeRoamingSelf + "\r\n", noExpires, presdoc.TypeRoamingSelf,
		presdoc.AppendRoamingRequest(nil, []string{"categories", "containers", "subscribers"}), 1},
}

// lyncSubscribe are the header lines of every SUBSCRIBE of a Lync client.
const lyncSubscribe = "Supported: com.microsoft.autoextend\r\nSupported: ms-benotify\r\nProxy-Require: ms-benotify\r\nSupported: ms-piggyback-first-notify\r\n"

// subscribeOwn subscribes to something of the user's own.
func (e *endpoint) subscribeOwn(a Act, after pending) {
	o := owns[a]
	q := request{method: "SUBSCRIBE", uri: e.user.address, to: e.user.address, expires: o.expires, kind: o.kind, body: o.body}
	q.more = "Event: " + o.event + "\r\n" + o.more + "Contact: " + e.ours + "\r\n" + lyncSubscribe
	e.stepOn(a, &q, after)
}

// stepOn sends a request that belongs to signing in.
func (e *endpoint) stepOn(a Act, q *request, after pending) {
	e.run.tally[a].planned.Add(1)
	e.steps++
	e.send(q, pending{act: a, step: true, silent: after.silent})
}

// unheard stands for the status of a step that got no answer in time.
const unheard = 408

// progress notes that a step is over, and how; after the last the endpoint is wholly
// signed in, or refused with the status of the first step that failed.
func (e *endpoint) progress(p pending, status int) {
	if !p.step {
		return
	}
	if status >= 300 && e.broken == 0 {
		e.broken = status
	}
	if e.steps--; e.steps > 0 || e.link == nil {
		return
	}
	t := &e.run.tally[Ready]
	t.planned.Add(1)
	t.sent.Add(1)
	if e.broken > 0 {
		t.refused(e.broken)
		e.broken = 0
		return
	}
	t.answered.Add(1)
	t.latency.Add(e.run.now() - e.began)
}

// subscribed notes the dialog of an own subscription and goes on with what it
// brings.
func subscribed(e *endpoint, m *message, p pending) {
	if m.status >= 300 {
		return
	}
	if o := owns[p.act]; o.place >= 0 {
		e.own[o.place] = dialog{p.seq, string(param(m.get("To"), "tag"))}
	}
	e.theirs = e.run.intern(uri(m.get("Contact")))
	switch p.act {
	case Contacts:
		e.readContacts(m.body, p)
	case Self:
		e.readSelf(m.body)
		e.publishFirst(p)
	}
}

// readContacts goes through the contact list and subscribes to the presence of the
// contacts. With --fill-contacts those that are missing on the server are put there.
func (e *endpoint) readContacts(body []byte, p pending) {
	if len(e.run.offsets) == 0 {
		return
	}
	q := request{method: "SUBSCRIBE", uri: e.user.address, to: e.user.address, expires: noExpires, kind: presdoc.TypeBatchSub, body: e.run.batch(e.user)}
	q.more = "Event: presence\r\nContact: " + e.ours + "\r\nRequire: adhoclist, categoryList\r\nSupported: eventlist\r\n" + acceptPresence + lyncSubscribe
	e.stepOn(Batch, &q, p)
	if e.run.cfg.Fill {
		e.fill(body)
	}
}

const acceptPresence = "Accept: application/rlmi+xml, multipart/related, text/xml+msrtc.pidf, application/msrtc-event-categories+xml, application/xpidf+xml, application/pidf+xml\r\n"

// fill puts the contacts that the list lacks on it, once per run and user.
func (e *endpoint) fill(body []byte) {
	u := e.user
	u.mu.Lock()
	done := u.filled
	u.filled = true
	u.mu.Unlock()
	list, err := presdoc.ParseContactList(body)
	if done || err != nil {
		return
	}
	has := map[string]bool{}
	for _, c := range list.Contacts {
		has[strings.TrimPrefix(c.URI, "sip:")] = true
	}
	for i := range e.run.offsets {
		c := e.run.contact(u, i)
		if has[strings.TrimPrefix(c.address, "sip:")] {
			continue
		}
		op := presdoc.ContactOp{Verb: presdoc.SetContact, URI: c.address, Groups: []uint32{1}, Subscribed: true, DeltaNum: list.DeltaNum}
		q := request{method: "SERVICE", uri: u.address, to: u.address, expires: noExpires, kind: presdoc.TypeSOAP, body: op.Append(nil)}
		e.run.tally[FillContacts].planned.Add(1)
		e.send(&q, pending{act: FillContacts})
		list.DeltaNum++
	}
}

// keepAlive sends what keeps a connection open when nothing else was sent.
func (e *endpoint) keepUp(due time.Duration, life uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.link == nil || e.life != life {
		return
	}
	every := e.run.scaled(keepAlive)
	if now := e.run.now(); now-e.sent >= every {
		t := &e.run.tally[KeepAlive]
		t.planned.Add(1)
		t.answered.Add(1) // it has no answer
		e.run.departed(KeepAlive, due, now)
		e.put(endOfHead)
	}
	e.run.agenda.add(todo{at: e.sent + every, what: alive, who: e.id, ref: life})
}

// signOff ends a session in order.
func (e *endpoint) signOff(due time.Duration) {
	if e.link == nil || e.leave {
		e.run.agenda.add(todo{at: e.run.now() + 10*time.Second, what: signOut, who: e.id}) // it is on its way back
		return
	}
	for i := range e.own {
		e.unsubscribe(i)
	}
	e.leave = true
	if e.in.Swap(false) {
		e.run.count.signedIn.Add(-1)
	}
	e.run.tally[SignOut].planned.Add(1)
	e.register(pending{act: SignOut, due: due}, "")
}

func (e *endpoint) unsubscribe(place int) {
	d := &e.own[place]
	if d.toTag == "" {
		return
	}
	if place == 2 {
		e.watching.Store(0)
	}
	q := e.within(d, ownEvents[place], 0)
	e.send(&q, pending{act: SignOut, silent: true})
	*d = dialog{}
}

// ownEvents are the events of endpoint.own.
var ownEvents = [...]string{"vnd-microsoft-roaming-contacts", "vnd-microsoft-roaming-self", "presence"}

// within is a SUBSCRIBE in the dialog of a subscription to the user's own address.
func (e *endpoint) within(d *dialog, event string, expires int) request {
	return request{method: "SUBSCRIBE", uri: e.theirs, to: e.user.address, toTag: d.toTag, callID: e.callID(d.seq), expires: expires,
		more: "Event: " + event + "\r\nContact: " + e.ours + "\r\n" + lyncSubscribe}
}

// resubscribe renews the subscriptions.
func (e *endpoint) resubscribe(due time.Duration, life uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.link == nil || e.life != life {
		return
	}
	for i := range e.own {
		if d := &e.own[i]; d.toTag != "" {
			e.run.tally[Resubscribe].planned.Add(1)
			q := e.within(d, ownEvents[i], noExpires)
			e.send(&q, pending{act: Resubscribe, due: due})
		}
	}
	e.run.agenda.add(todo{at: due + e.run.scaled(resubAfter), what: resub, who: e.id, ref: life})
}

func signedOff(e *endpoint, _ *message, p pending) {
	if !p.silent {
		e.link.hangUp()
	}
}
