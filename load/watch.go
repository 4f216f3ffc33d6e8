package load

import (
	"bytes"
	"time"

	"trivet/wire/presdoc"
)

// categoryList are the five categories that a client asks for.
const categoryList = `<categoryList xmlns="http://schemas.microsoft.com/2006/09/sip/categorylist"><category name="calendarData"/><category name="contactCard"/>` +
	`<category name="note"/><category name="services"/><category name="state"/></categoryList></action></batchSub>`

// batchOf is the body of a subscription by a user to n people.
func (r *Run) batchOf(u *user, n int, person func(i int) *user) []byte {
	b := make([]byte, 0, 512+n*64)
	b = append(append(b, `<batchSub xmlns="http://schemas.microsoft.com/2006/01/sip/batch-subscribe" uri="`...), u.address...)
	b = append(b, `" name=""><action name="subscribe" id="63792024"><adhocList>`...)
	for i := range n {
		b = append(append(append(b, `<resource uri="`...), person(i).address...), `"/>`...)
	}
	return append(append(b, `</adhocList>`...), categoryList...)
}

// batch is the subscription to all contacts.
func (r *Run) batch(u *user) []byte {
	return r.batchOf(u, len(r.offsets), func(i int) *user { return r.contact(u, i) })
}

func batched(e *endpoint, m *message, p pending) {
	if m.status < 300 {
		e.own[2] = dialog{p.seq, string(param(m.get("To"), "tag"))}
		e.watching.Store(int64(e.run.now()))
	}
}

// poll looks at the presence of n people once. e.mu is held.
func (e *endpoint) poll(p pending, n int, first int) {
	r := e.run
	person := func(i int) *user { return &r.users[(first+i)%len(r.users)] }
	n = min(n, len(r.users))
	q := request{method: "SUBSCRIBE", uri: e.user.address, to: e.user.address, expires: 0, kind: presdoc.TypeBatchSub}
	q.more = "Event: presence\r\nContact: " + e.ours + "\r\n" + acceptPresence + lyncSubscribe
	if n > 1 {
		q.more += "Require: adhoclist, categoryList\r\nSupported: eventlist\r\n"
	} else {
		q.uri, q.to = person(0).address, person(0).address
	}
	q.body = r.batchOf(e.user, n, person)
	e.send(&q, p)
}

// watch begins a short subscription to somebody.
func (e *endpoint) watch(p pending, about *user) {
	q := request{method: "SUBSCRIBE", uri: about.address, to: about.address, expires: 600, kind: presdoc.TypeBatchSub}
	q.more = "Event: presence\r\nContact: " + e.ours + "\r\n" + acceptPresence + lyncSubscribe
	q.body = e.run.batchOf(e.user, 1, func(int) *user { return about })
	p.ref = uint32(about.number)
	e.send(&q, p)
}

// shortTime is how long a short subscription lasts.
const shortTime = 10 * time.Minute

func watched(e *endpoint, m *message, p pending) {
	if m.status >= 300 {
		return
	}
	e.theirs = e.run.intern(uri(m.get("Contact")))
	e.shorts = append(e.shorts, short{dialog{p.seq, string(param(m.get("To"), "tag"))}, int32(p.ref)})
	e.run.agenda.add(todo{at: p.due + e.run.scaled(shortTime), what: endShort, who: e.id, ref: p.seq})
}

// unwatch ends a short subscription.
func (e *endpoint) unwatch(due time.Duration, seq uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.shorts {
		if e.shorts[i].seq != seq {
			continue
		}
		s := e.shorts[i]
		e.shorts[i] = e.shorts[len(e.shorts)-1]
		e.shorts = e.shorts[:len(e.shorts)-1]
		e.run.tally[EndShort].planned.Add(1)
		q := e.within(&s.dialog, "presence", 0)
		q.to = e.run.users[s.about].address
		e.send(&q, pending{act: EndShort, due: due})
		return
	}
}

// search asks the directory for people.
func (e *endpoint) search(p pending, about *user) {
	name, _, _ := bytes.Cut([]byte(about.address[len("sip:"):]), []byte("@"))
	doc := presdoc.Search{MaxResults: 20, Terms: []presdoc.Term{{Attribute: "givenName", Value: string(name[:min(len(name), 5)])}}}
	q := request{method: "SERVICE", uri: "sip:" + e.user.domain(), to: "sip:" + e.user.domain(), expires: noExpires, kind: presdoc.TypeSOAP, body: doc.Append(nil),
		more: "Contact: " + e.ours + "\r\n"}
	p.ref = uint32(about.number)
	e.send(&q, p)
}

// unserved reports whether the answer says that the server has no directory search
// or no conferences at all: 405 or 501 (RFC 3261 21.4.6, 21.5.2) before any success.
// Everything else is about this request alone.
func (r *Run) unserved(a Act, m *message) bool {
	return (a == Search || a == Conference) && (m.status == 405 || m.status == 501) && r.tally[a].answered.Load() == 0
}

// searched looks at the presence of those who were found, at once and twice more.
// The number of people is the model's, whatever the directory holds.
func searched(e *endpoint, _ *message, p pending) {
	e.run.results(todo{at: e.run.now(), who: e.id, ref: p.ref}, p.due)
}

// results plans the polls of the people that a search found.
func (r *Run) results(t todo, due time.Duration) {
	for i := range 3 {
		t.what, t.at = pollAgain, due+r.scaled(time.Duration(i)*5*time.Minute)
		if i == 0 {
			t.at = r.now() // they are known now
		}
		r.agenda.add(t)
	}
}

// notified handles NOTIFY and BENOTIFY.
func (e *endpoint) notified(m *message) {
	r := e.run
	r.count.notified.Add(1)
	if !e.verify(m, false) {
		return
	}
	if m.method[0] == 'N' {
		e.reply(m, 200, "")
	}
	event := m.get("Event")
	switch {
	case bytes.Equal(event, []byte("vnd-microsoft-roaming-self")):
		e.readCategories(m.body)
	case bytes.Equal(event, []byte("presence")):
		e.toldNotes(m.body)
	case bytes.Equal(event, []byte("registration-notify")):
		r.count.strange.Add(1)
	}
}
