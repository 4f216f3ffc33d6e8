package load

import (
	"bytes"
	"strings"
	"sync"
	"time"

	"trivet/wire/cccp"
)

// meeting is a conference that goes on. What an endpoint has of it is in
// endpoint.meets.
type meeting struct {
	focus string
	end   time.Duration
	lines int // of each participant
}

// meetings are those that go on.
type meetings struct {
	mu   sync.Mutex // guards the fields below
	last uint32
	open map[uint32]meeting
}

func (t *meetings) add(x meeting) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.open[t.last] = x
	return t.last
}

func (t *meetings) get(n uint32) (meeting, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	x, ok := t.open[n]
	return x, ok
}

func (t *meetings) end(n uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, n)
}

// attendance is an endpoint's part in a meeting: the dialogs with focus and IM MCU.
type attendance struct {
	number     uint32
	focus      leg
	chat       leg
	focusBegan uint32 // numbers of the INVITEs, which name the Call-IDs
	chatBegan  uint32
}

func (e *endpoint) attends(n uint32) *attendance {
	for i := range e.meets {
		if e.meets[i].number == n {
			return &e.meets[i]
		}
	}
	return nil
}

// meetingLength is how long a conference lasts; no length is published.
const meetingLength = time.Hour

// joinWithin is the time in which everybody joins.
const joinWithin = 5 * time.Minute

// sizes are how many take part: of 100 conferences, so many of the size.
var sizes = [...]struct {
	of100, people int
}{{85, 4}, {10, 6}, {5, 11}}

func sizeOf(x float64) int {
	for _, s := range sizes {
		if x -= float64(s.of100) / 100; x < 0 {
			return s.people
		}
	}
	return sizes[0].people
}

// linesOf is how many messages each participant sends: five when there is nothing
// but messages (10 of the 47.5 % with messages), else two.
func linesOf(x float64) int {
	if x < 10/47.5 {
		return 5
	}
	return 2
}

// convene makes a conference at the user's focus factory.
func (e *endpoint) convene(p pending) {
	factory := e.user.address + ";gruu;opaque=app:conf:focusfactory"
	id := strings.ReplaceAll(e.epid+e.run.id+"00000000", "-", "")
	seq := e.seq + 1 // of the request to come
	id += string("0123456789abcdef"[seq>>12&15]) + string("0123456789abcdef"[seq>>8&15]) + string("0123456789abcdef"[seq>>4&15]) + string("0123456789abcdef"[seq&15])
	body := `<request xmlns="urn:ietf:params:xml:ns:cccp" C3PVersion="1" to="` + factory + `" from="` + e.user.address + `" requestId="1"><addConference>` +
		`<ci:conference-info xmlns:ci="urn:ietf:params:xml:ns:conference-info" xmlns:msci="http://schemas.microsoft.com/rtc/2005/08/confinfoextensions" entity="" state="partial">` +
		`<ci:conference-description><ci:subject/><msci:conference-id>` + id[:32] + `</msci:conference-id><msci:expiry-time>` +
		time.Now().Add(7*time.Hour).UTC().Format("2006-01-02T15:04:05Z") + `</msci:expiry-time><msci:admission-policy>openAuthenticated</msci:admission-policy></ci:conference-description>` +
		`<msci:conference-view><msci:entity-view entity="chat"/></msci:conference-view></ci:conference-info></addConference></request>`
	q := request{method: "SERVICE", uri: factory, to: factory, expires: noExpires, kind: cccp.Type, body: []byte(body), more: "Contact: " + e.ours + "\r\n"}
	e.send(&q, p)
}

// convened has the participants join the conference that was made: the organizer at
// once, the others, who are contacts, within five minutes.
func convened(e *endpoint, m *message, p pending) {
	r := e.run
	if m.status >= 300 {
		return
	}
	_, rest, _ := bytes.Cut(m.body, []byte(`conference-info`))
	_, rest, ok := bytes.Cut(rest, []byte(`entity="`))
	focus, _, _ := bytes.Cut(rest, []byte(`"`))
	if !ok || len(focus) == 0 {
		r.count.strange.Add(1)
		return
	}
	st := r.schedule.Stream(int(p.seq)+int(e.id)<<12, 0)
	x := meeting{focus: string(focus), end: r.now() + r.scaled(meetingLength), lines: linesOf(st.float())}
	n := r.meetings.add(x)
	people := min(sizeOf(st.float()), len(r.offsets)+1)
	r.agenda.add(todo{at: r.now(), what: joinMeeting, who: e.id, ref: n})
	first := st.below(max(len(r.offsets), 1))
	for i := range people - 1 {
		u := r.contact(e.user, (first+i)%len(r.offsets))
		at := r.now() + time.Duration(st.float()*float64(r.scaled(joinWithin)))
		r.agenda.add(todo{at: at, what: joinMeeting, who: u.first, ref: n})
	}
	r.agenda.add(todo{at: x.end + r.scaled(time.Minute), what: endMeeting, ref: n})
}

// join enters a conference: its focus first.
func (e *endpoint) join(p pending, x meeting) {
	body := `<request xmlns="urn:ietf:params:xml:ns:cccp" C3PVersion="1" to="` + x.focus + `" from="` + e.user.address + `" requestId="1"><addUser>` +
		`<conferenceKeys confEntity="` + x.focus + `"/><ci:user xmlns:ci="urn:ietf:params:xml:ns:conference-info" entity="` + e.user.address +
		`"><ci:roles><ci:entry>attendee</ci:entry></ci:roles><ci:endpoint entity="{` + e.instance()[len("urn:uuid:"):] + `}"/></ci:user></addUser></request>`
	q := request{method: "INVITE", uri: x.focus, to: x.focus, expires: noExpires, kind: cccp.Type, body: []byte(body), more: "Contact: " + e.ours + "\r\nSupported: ms-sender\r\n"}
	e.send(&q, p)
}

// joined goes on with the roster and the messages of the conference.
func joined(e *endpoint, m *message, p pending) {
	x, ok := e.run.meetings.get(p.ref)
	e.meets = append(e.meets, attendance{number: p.ref, focusBegan: p.seq, focus: leg{to: x.focus}})
	a := &e.meets[len(e.meets)-1]
	e.ack(&a.focus, e.callID(p.seq), m, p)
	if m.status >= 300 || !ok {
		e.absent(p.ref)
		return
	}
	q := request{method: "SUBSCRIBE", uri: x.focus, to: x.focus, expires: 3600, more: "Event: conference\r\nAccept: application/conference-info+xml\r\nContact: " + e.ours + "\r\n" + lyncSubscribe}
	e.run.tally[Roster].planned.Add(1)
	e.send(&q, pending{act: Roster, ref: p.ref})
	mcu := strings.Replace(x.focus, ":focus:", ":chat:", 1)
	q = request{method: "INVITE", uri: mcu, to: mcu, expires: noExpires, kind: "application/sdp", body: session("null"), more: "Contact: " + e.ours + "\r\nSupported: ms-sender\r\n"}
	e.run.tally[JoinChat].planned.Add(1)
	e.send(&q, pending{act: JoinChat, ref: p.ref})
}

// chatting plans what the participant says, evenly until the end, and the leaving.
func chatting(e *endpoint, m *message, p pending) {
	r := e.run
	a := e.attends(p.ref)
	x, ok := r.meetings.get(p.ref)
	if a == nil || !ok {
		return
	}
	a.chat, a.chatBegan = leg{to: strings.Replace(x.focus, ":focus:", ":chat:", 1)}, p.seq
	e.ack(&a.chat, e.callID(p.seq), m, p)
	if m.status >= 300 {
		return
	}
	left := max(x.end-r.now(), 0)
	for i := range x.lines {
		r.agenda.add(todo{at: r.now() + left*time.Duration(i+1)/time.Duration(x.lines+1), what: sayMeeting, who: e.id, ref: p.ref})
	}
	r.agenda.add(todo{at: r.now() + left, what: leaveMeeting, who: e.id, ref: p.ref})
}

// speak sends a message to everybody in the conference.
func (e *endpoint) speak(p pending, n uint32) {
	a := e.attends(n)
	if a == nil || a.chat.toTag == "" {
		e.run.tally[p.act].skipped.Add(1)
		return
	}
	p.ref = n
	q := request{method: "MESSAGE", uri: a.chat.target, to: a.chat.to, toTag: a.chat.toTag, routes: a.chat.routes, callID: e.callID(a.chatBegan), expires: noExpires, kind: plainText, body: []byte(prose)}
	e.send(&q, p)
}

// quit leaves a conference: its messages, then its focus, which ends the roster too.
func (e *endpoint) quit(p pending, n uint32) {
	a := e.attends(n)
	if a == nil {
		e.run.tally[p.act].skipped.Add(1)
		return
	}
	silent := p
	silent.silent = true
	e.bye(silent, &a.chat, a.chatBegan)
	e.bye(p, &a.focus, a.focusBegan)
	e.absent(n)
}

func (e *endpoint) bye(p pending, l *leg, began uint32) {
	q := request{method: "BYE", uri: l.target, to: l.to, toTag: l.toTag, routes: l.routes, callID: e.callID(began), expires: noExpires}
	e.send(&q, p)
}

// absent forgets the endpoint's part in a meeting.
func (e *endpoint) absent(n uint32) {
	for i := range e.meets {
		if e.meets[i].number == n {
			e.meets = append(e.meets[:i], e.meets[i+1:]...)
			break
		}
	}
	if len(e.meets) == 0 {
		e.meets = nil
	}
}
