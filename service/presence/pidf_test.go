package presence

import (
	"strings"
	"testing"
	"time"

	"trivet/rule/groupstate"
	"trivet/test/sipagent"
	"trivet/wire/pidf"
	"trivet/wire/sip"
)

func pidfOf(t *testing.T, m *sip.Message) pidf.Presence {
	t.Helper()
	p, err := pidf.Parse(m.Body)
	if err != nil || m.ContentType() != pidf.Type {
		t.Fatalf("%v in %s", err, m)
	}
	return p
}

func TestStandardWatcherOfALyncUser(t *testing.T) {
	s := start(t, Policy{})
	a, c := s.endpoint(alice, "a1"), s.endpoint(carol, "")
	res := sipagent.Status(t, c.ask("SUBSCRIBE", alice, "w", "", "Event: presence", "Accept: application/pidf+xml", "Expires: 600"), 200)
	m := c.notified()
	if p := pidfOf(t, m); len(res.Body) != 0 || m.Method != "NOTIFY" || p.Availability != 3500 || p.Entity != string(alice) || p.Contact != string(alice) || !strings.HasPrefix(m.Get("Subscription-State"), "active;expires=") {
		t.Errorf("%s", m)
	}
	first, _, _ := m.CSeq()
	sipagent.Status(t, a.publish(append(userState(9500, 0), noteIn(200, 0, "do &amp; not"))...), 200)
	m = c.notified()
	second, _, _ := m.CSeq()
	if p := pidfOf(t, m); p.Availability != 9500 || p.Note != "do & not" || second != first+1 {
		t.Errorf("%d %+v", second, p)
	}
	s.cards.set(alice, Card{Title: "Boss"})
	s.s.Refresh(t.Context(), alice) // nothing of it is in PIDF
	c.quiet()
	sipagent.Status(t, c.ask("SUBSCRIBE", alice, "w", "", "Event: presence", "Expires: 600"), 200)
	if p := pidfOf(t, c.notified()); p.Availability != 9500 {
		t.Errorf("%+v", p)
	}
	sipagent.Status(t, c.ask("SUBSCRIBE", alice, "w", "", "Event: presence", "Expires: 0"), 200)
	if m := c.notified(); m.Get("Subscription-State") != "terminated;reason=timeout" {
		t.Errorf("%s", m)
	}
	if s.subscriptions(carol) != 0 {
		t.Error("a subscription is left")
	}
}

func TestStandardClientThatReconnects(t *testing.T) {
	s := start(t, Policy{})
	a, c := s.endpoint(alice, "a1"), s.endpoint(carol, "")
	sipagent.Status(t, c.ask("SUBSCRIBE", alice, "w", "", "Event: presence", "Expires: 600"), 200)
	c.notified()
	b := s.g.bindings(carol)[0]
	closed := make(chan struct{})
	s.host.Layer.Conn(b.Flow.Conn).OnClose(func() { close(closed) })
	c.Close()
	<-closed
	s.propose(&groupstate.Detach{User: carol, Endpoint: b.Endpoint, Server: "fe1", Epoch: 1, Conn: b.Flow.Conn, Now: s.clock.Now().UnixMilli(), Grace: 20_000})
	sipagent.Status(t, a.publish(userState(6500, 0)...), 200)
	s.idle()
	c.connect()
	if p := pidfOf(t, c.notified()); p.Availability != 6500 {
		t.Errorf("what was missed: %+v", p)
	}
	sipagent.Status(t, a.publish(userState(9500, 1)...), 200)
	if p := pidfOf(t, c.notified()); p.Availability != 9500 {
		t.Errorf("%+v", p)
	}
	if s.subscriptions(carol) != 1 {
		t.Error("a standard client keeps its subscriptions")
	}
}

const words = `<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:alice@example.test">` +
	`<tuple id="1"><status><basic>open</basic></status></tuple><dm:person id="p"><rpid:activities>ACT</rpid:activities>NOTE</dm:person></presence>`

func document(activity, note string) string {
	if note != "" {
		note = "<dm:note>" + note + "</dm:note>"
	}
	return strings.NewReplacer("ACT", activity, "NOTE", note).Replace(words)
}

// put sends a PUBLISH; headers without Expires mean the usual time.
func (e *endpoint) put(body string, headers ...string) *sip.Message {
	e.t.Helper()
	if body != "" {
		headers = append(headers, "Content-Type: application/pidf+xml")
	}
	return e.ask("PUBLISH", e.user, "publish", body, append(headers, "Event: presence")...)
}

func TestStandardClientPublishesToLyncWatchers(t *testing.T) {
	s := start(t, Policy{})
	a, b := s.endpoint(alice, ""), s.endpoint(bob, "b1")
	sipagent.Status(t, b.batch("w", alice), 200)
	tell := func(res *sip.Message, want int, note string) string {
		t.Helper()
		sipagent.Status(t, res, 200)
		doc := categoriesOf(t, b.notified())
		if n := availability(t, doc); n != want {
			t.Errorf("availability %d, want %d", n, want)
		}
		if got := strings.Join(find(doc, "note"), ""); !strings.Contains(got, note) || note == "" && got != "" {
			t.Errorf("note %s, want %s", got, note)
		}
		return res.Get("SIP-ETag")
	}
	tag := tell(a.put(document("<rpid:on-the-phone/>", "calling")), 6500, "calling")
	tag = tell(a.put(document("<rpid:away/>", ""), "SIP-If-Match: "+tag), 15500, "")
	tag = tell(a.put(document("<rpid:busy/><rpid:other>do-not-disturb</rpid:other>", ""), "SIP-If-Match: "+tag, "Expires: 60"), 9500, "")
	tag = tell(a.put(document("", ""), "SIP-If-Match: "+tag, "Expires: 600"), 3500, "")
	again := sipagent.Status(t, a.put("", "SIP-If-Match: "+tag, "Expires: 120"), 200)
	if next := again.Get("SIP-ETag"); next == "" || next == tag || again.Get("Expires") != "120" {
		t.Errorf("%s", again)
	}
	b.quiet() // a refresh changes nothing
	sipagent.Status(t, a.put("", "SIP-If-Match: "+tag), 412)
	sipagent.Status(t, a.put(document("", ""), "SIP-If-Match: nonsense"), 412)
	short := sipagent.Status(t, a.put(document("", ""), "Expires: 30"), 423)
	if short.Get("Min-Expires") != "60" {
		t.Errorf("%s", short)
	}
	sipagent.Status(t, a.ask("PUBLISH", alice, "p", "hi", "Event: presence", "Content-Type: text/plain"), 415)
	sipagent.Status(t, a.ask("PUBLISH", bob, "p", document("", ""), "Event: presence", "Content-Type: application/pidf+xml"), 403)
	sipagent.Status(t, a.put("<presence"), 400)
	tag = tell(a.put(document("<rpid:away/>", "gone"), "SIP-If-Match: "+again.Get("SIP-ETag")), 15500, "gone")
	tell(a.put("", "SIP-If-Match: "+tag, "Expires: 0"), 3500, "") // registered and nothing said
	sipagent.Status(t, a.put("", "SIP-If-Match: "+tag), 412)

	// What was published ends with its time.
	tag = tell(a.put(document("<rpid:meeting/>", ""), "Expires: 60"), 6500, "")
	s.clock.ahead.Store(int64(61 * time.Second))
	s.propose(&groupstate.Sweep{Now: s.clock.Now().UnixMilli()})
	if n := availability(t, categoriesOf(t, b.notified())); n != 3500 {
		t.Errorf("%d", n)
	}
	sipagent.Status(t, a.put("", "SIP-If-Match: "+tag), 412)
}

func TestPhoneLeavesTheNoteOfLyncAlone(t *testing.T) {
	s := start(t, Policy{})
	pc, phone, b := s.endpoint(alice, "a1"), s.endpoint(alice, ""), s.endpoint(bob, "b1")
	sipagent.Status(t, pc.publish(noteIn(200, 0, "from the desk")), 200)
	tag := sipagent.Status(t, phone.put(document("<rpid:busy/>", "")), 200).Get("SIP-ETag")
	doc := categoriesOf(t, sipagent.Status(t, b.batch("w", alice), 200))
	if note := find(doc, "note"); len(note) != 1 || availability(t, doc) != 6500 {
		t.Errorf("%v", note)
	}
	tag = sipagent.Status(t, phone.put(document("", "from the phone"), "SIP-If-Match: "+tag), 200).Get("SIP-ETag")
	b.notified()
	sipagent.Status(t, phone.put("", "SIP-If-Match: "+tag, "Expires: 0"), 200)
	if note := find(categoriesOf(t, b.notified()), "note"); len(note) != 1 || !strings.Contains(note[0], "from the desk") {
		t.Errorf("%v", note)
	}
	sipagent.Status(t, pc.publish(userState(12500, 0)...), 200)
	if n := availability(t, categoriesOf(t, b.notified())); n != 12500 {
		t.Errorf("%d", n)
	}
}

func TestTagsAreBounded(t *testing.T) {
	var e etags
	e.init()
	for i := range 3 * maxTags {
		e.put(alice, "e"+endpointID(i), pidf.Presence{}, 60, int64(i))
	}
	if n := len(e.users[alice]); n != maxTags {
		t.Errorf("%d tags", n)
	}
	e.put(alice, "e", pidf.Presence{}, 0, 1e9)
	if len(e.users) != 0 {
		t.Errorf("%d users with expired tags", len(e.users))
	}
}
