package server

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/test/peer/loopback"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

const (
	textOffer = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 5060 sip null\r\na=accept-types:text/plain\r\n"
	callOffer = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 5004 RTP/AVP 0\r\n"
)

// client is a Desk or an Agent.
type client interface {
	Request(method, uri, to string, extra ...string) *sip.Message
	Do(*sip.Message) *sip.Message
	Await(what string, match func(*sip.Message) bool) *sip.Message
	AwaitMethod(string) *sip.Message
	Reply(req *sip.Message, status int, extra ...string)
	Inbox() []*sip.Message
	Contact() string
}

// guest is somebody with a client.
type guest struct {
	client
	t          *testing.T
	User       string
	focus      string // of the conference
	ctl, chat  dialog
	sub        dialog
	subscribed *cccp.Info // the roster as it was told last, merged
}

// dialog is one dialog of a client.
type dialog struct{ call, from, to, target string }

func (s *Server) guest(t *testing.T, user string) *guest {
	t.Helper()
	return &guest{client: s.Desk(t, user), t: t, User: user}
}

// begin sends a request that begins a dialog, and the ACK of an INVITE.
func (g *guest) begin(method, uri string, extra ...string) (dialog, *sip.Message) {
	g.t.Helper()
	d := dialog{call: word()}
	d.from = regexp.MustCompile(`;tag=[^;]*`).ReplaceAllString(g.Request(method, uri, "<"+uri+">").Get("From"), ";tag="+word())
	head := []string{"From: " + d.from, "Call-ID: " + d.call, "Contact: " + g.Contact()}
	req := g.Request(method, uri, "<"+uri+">", append(head, extra...)...)
	res := g.Do(req)
	d.to, d.target = res.Get("To"), uri
	if contacts, err := res.Contacts(); err == nil && len(contacts) > 0 {
		d.target = contacts[0].URI
	}
	if desk, ok := g.client.(*Desk); ok && method == "INVITE" && res.Status == 200 {
		ack := g.within(d, "ACK")
		ack.Set("CSeq", strings.Replace(res.Get("CSeq"), "INVITE", "ACK", 1))
		ack.Prepend("Via", "SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK"+word())
		desk.Send(ack)
	}
	return d, res
}

// within makes a request within a dialog.
func (g *guest) within(d dialog, method string, extra ...string) *sip.Message {
	return g.Request(method, d.target, d.to, append([]string{"From: " + d.from, "Call-ID: " + d.call}, extra...)...)
}

func factoryOf(user string) string { return user + ";gruu;opaque=app:conf:focusfactory" }

// order sends a command to the own focus factory.
func (g *guest) order(command string) (*sip.Message, cccp.Response) {
	g.t.Helper()
	return g.orderAt(factoryOf(g.User), command)
}

func (g *guest) orderAt(uri, command string) (*sip.Message, cccp.Response) {
	g.t.Helper()
	res := g.Do(g.Request("SERVICE", uri, "<"+uri+">", "Content-Type: "+cccp.Type, "", requestOf(uri, g.User, command)))
	var out cccp.Response
	if res.ContentType() == cccp.Type {
		var err error
		if out, err = cccp.ParseResponse(res.Body); err != nil {
			g.t.Fatalf("%s: %v\n%s", command, err, res)
		}
	}
	return res, out
}

func requestOf(to, from, command string) string {
	return `<request xmlns="urn:ietf:params:xml:ns:cccp" xmlns:ci="urn:ietf:params:xml:ns:conference-info" xmlns:msci="http://schemas.microsoft.com/rtc/2005/08/confinfoextensions" C3PVersion="1" to="` +
		to + `" from="` + from + `" requestId="7">` + command + `</request>`
}

func conferenceOf(id, more string) string {
	return `<addConference><ci:conference-info entity=""><ci:conference-description><ci:subject>Plans</ci:subject><msci:conference-id>` + id +
		`</msci:conference-id>` + more + `</ci:conference-description><msci:conference-view><msci:entity-view entity="chat"/></msci:conference-view></ci:conference-info></addConference>`
}

// make creates a conference and returns its address.
func (g *guest) make(id, more string) string {
	g.t.Helper()
	res, out := g.order(conferenceOf(id, more))
	if res.Status != 200 || out.Code != cccp.Success {
		g.t.Fatalf("addConference: %d\n%s", res.Status, res)
	}
	info, err := cccp.ParseInfo(out.Body)
	if err != nil || !strings.HasPrefix(info.Entity, g.User+";gruu;opaque=app:conf:focus:id:") {
		g.t.Fatalf("addConference: %v\n%s", err, res)
	}
	return info.Entity
}

// join joins the focus; the answer is returned.
func (g *guest) join(focus, role string) *sip.Message {
	g.t.Helper()
	g.focus = focus
	body := requestOf(focus, g.User, `<addUser><conferenceKeys confEntity="`+focus+`"/><ci:user entity="`+g.User+`"><ci:roles><ci:entry>`+role+
		`</ci:entry></ci:roles><ci:endpoint entity="{`+word()+`}"/></ci:user></addUser>`)
	d, res := g.begin("INVITE", focus, "Content-Type: "+cccp.Type, "", body)
	if res.Status == 200 {
		g.ctl = d
	}
	return res
}

// enter joins with everything: focus, roster, messages.
func (g *guest) enter(focus string) {
	g.t.Helper()
	if res := g.join(focus, cccp.Attendee); res.Status != 200 {
		g.t.Fatalf("%s joins: %d\n%s", g.User, res.Status, res)
	}
	d, res := g.begin("SUBSCRIBE", focus, "Event: conference", "Accept: "+cccp.TypeInfo, "Expires: 3600", "Supported: ms-benotify, ms-piggyback-first-notify")
	if g.sub = d; res.Status != 200 || res.ContentType() != cccp.TypeInfo {
		g.t.Fatalf("%s subscribes: %d\n%s", g.User, res.Status, res)
	}
	info, err := cccp.ParseInfo(res.Body)
	if err != nil || info.State != cccp.Full || info.Entity != focus || info.Description == nil {
		g.t.Fatalf("%s is told %v\n%s", g.User, err, res)
	}
	g.subscribed = &info
	g.talk(strings.Replace(focus, ":focus:", ":chat:", 1))
}

// talk opens the session for messages.
func (g *guest) talk(uri string) {
	g.t.Helper()
	d, res := g.begin("INVITE", uri, "Content-Type: application/sdp", "", textOffer)
	if g.chat = d; res.Status != 200 || !strings.Contains(string(res.Body), "m=message") {
		g.t.Fatalf("%s opens the session for messages: %d\n%s", g.User, res.Status, res)
	}
}

// roster waits until the roster is as described: "alice presenter focus chat".
func (g *guest) roster(want ...string) {
	g.t.Helper()
	for {
		var got []string
		for _, u := range g.subscribed.Users {
			line := strings.TrimSuffix(strings.TrimPrefix(u.Entity, "sip:"), "@"+domain) + " " + strings.Join(u.Roles, " ")
			for _, e := range u.Endpoints {
				line += " " + e.SessionType
			}
			got = append(got, line)
		}
		if cmp.Equal(want, got) {
			return
		}
		g.news(fmt.Sprintf("a roster of %q, having %q", want, got))
	}
}

// news takes the next roster document.
func (g *guest) news(what string) *sip.Message {
	g.t.Helper()
	m := g.Await(what, func(m *sip.Message) bool { return m.Method == "BENOTIFY" && m.Get("Event") == "conference" })
	if len(m.Body) == 0 {
		return m
	}
	i, err := cccp.ParseInfo(m.Body)
	if err != nil || i.Entity != g.focus || i.Version <= g.subscribed.Version {
		g.t.Fatalf("%s is told (after version %d) %v\n%s", g.User, g.subscribed.Version, err, m)
	}
	g.subscribed.Version = i.Version
	for _, u := range i.Users {
		at := -1
		for k := range g.subscribed.Users {
			if g.subscribed.Users[k].Entity == u.Entity {
				at = k
			}
		}
		switch {
		case u.State == cccp.Deleted && at >= 0:
			g.subscribed.Users = append(g.subscribed.Users[:at], g.subscribed.Users[at+1:]...)
		case at >= 0:
			g.subscribed.Users[at] = u
		default:
			g.subscribed.Users = append(g.subscribed.Users, u)
		}
	}
	g.subscribed.Views = i.Views
	return m
}

// locked waits until the conference is told to be, or not to be, locked.
func (g *guest) locked(want bool) {
	g.t.Helper()
	for g.subscribed.Views[0].Locked == nil || *g.subscribed.Views[0].Locked != want {
		g.news("the lock")
	}
}

// say writes to all; the answer is returned.
func (g *guest) say(text string) *sip.Message {
	g.t.Helper()
	return g.Do(g.within(g.chat, "MESSAGE", "Content-Type: text/plain; charset=UTF-8", "", text))
}

// hears takes the next message and answers it with the status; 0 leaves it.
func (g *guest) hears(by, text string, status int) *sip.Message {
	g.t.Helper()
	m := g.AwaitMethod("MESSAGE")
	if string(m.Body) != text || m.Get("Ms-Sender") != "<"+by+">" || m.CallID() != g.chat.call {
		g.t.Fatalf("%s hears, wanting %q by %s\n%s", g.User, text, by, m)
	}
	if status > 0 {
		g.Reply(m, status)
	}
	return m
}

// asks sends a command to the focus.
func (g *guest) asks(command string) *sip.Message {
	g.t.Helper()
	command = strings.ReplaceAll(command, "FOCUS", g.focus)
	return g.Do(g.within(g.ctl, "INFO", "Content-Type: "+cccp.Type, "", requestOf(g.focus, g.User, command)))
}

func lockTo(v bool) string {
	return fmt.Sprintf(`<modifyConferenceLock><conferenceKeys confEntity="FOCUS"/><locked>%v</locked></modifyConferenceLock>`, v)
}

func roleTo(user, role string) string {
	return `<modifyUserRoles><userKeys confEntity="FOCUS" userEntity="` + user + `"/><user-roles xmlns="urn:ietf:params:xml:ns:conference-info"><entry>` + role + `</entry></user-roles></modifyUserRoles>`
}

func ejection(user string) string {
	return `<deleteUser><userKeys confEntity="FOCUS" userEntity="` + user + `"/></deleteUser>`
}

// ended waits for the BYE of a dialog.
func (g *guest) ended(d dialog) {
	g.t.Helper()
	g.Reply(g.Await("BYE", func(m *sip.Message) bool { return m.Method == "BYE" && m.CallID() == d.call }), 200)
}

func status(t *testing.T, res *sip.Message, want int) *sip.Message {
	t.Helper()
	if res.Status != want {
		t.Fatalf("%d, want %d\n%s", res.Status, want, res)
	}
	return res
}

// party is alice's conference with the others in it.
func party(t *testing.T, s *Server, more string, users ...string) []*guest {
	t.Helper()
	var all []*guest
	for _, u := range users {
		all = append(all, s.guest(t, u))
	}
	focus := all[0].make(word(), more)
	for _, g := range all {
		g.enter(focus)
	}
	return all
}

func TestConferenceIsMadeAndRead(t *testing.T) {
	s := Start(t)
	a := s.guest(t, alice)
	res, out := a.order("<getConferencingCapabilities/>")
	if res.Status != 200 || out.ID != "7" || out.Code != cccp.Success || !regexp.MustCompile(`^<mcu-types[^>]*><mcuType>chat</mcuType></mcu-types>$`).Match(out.Body) {
		t.Errorf("capabilities: %d %q", res.Status, out.Body)
	}
	const id = "581545ABCDEF581545ABCDEF58154512"
	if focus := a.make(id, ""); focus != alice+";gruu;opaque=app:conf:focus:id:"+id {
		t.Errorf("the conference is %s", focus)
	}
	a.make(id, "") // a client may ask again
	if res, out := a.order(strings.Replace(conferenceOf(id, ""), "Plans", "Other", 1)); res.Status != 409 || out.Reason != cccp.ConferenceExists {
		t.Errorf("another of the same id: %d %+v", res.Status, out)
	}
	expiry := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	a.make("Weekly", `<msci:expiry-time>`+expiry.Format(time.RFC3339)+`</msci:expiry-time><msci:admission-policy>closedAuthenticated</msci:admission-policy><msci:autopromote>32768</msci:autopromote>`)
	_, out = a.order(`<getConference><conferenceKeys msci:conference-id="Weekly"/></getConference>`)
	info, err := cccp.ParseInfo(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := *info.Description
	if got.LastUpdate.IsZero() || time.Since(got.LastUpdate) > time.Hour {
		t.Errorf("changed at %v", got.LastUpdate)
	}
	got.LastUpdate = time.Time{}
	want := cccp.Description{
		Subject: "Plans", ConferenceID: "Weekly", Expiry: expiry, AdmissionPolicy: "closedAuthenticated", Autopromote: 32768, Named: cccp.NamedSubject | cccp.NamedAutopromote,
		Organizer: cccp.Organizer{DisplayName: got.Organizer.DisplayName, URI: alice}, JoinURL: fmt.Sprintf("https://%s:%d/meet/alice/Weekly", fqdn, s.HTTPS.Port()),
		URIs: []cccp.URI{{URI: alice + ";gruu;opaque=app:conf:chat:id:Weekly", DisplayText: "chat", Purpose: "chat"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if res, _ := a.order(`<modifyConference><ci:conference-info entity=""><ci:conference-description><ci:subject>New &amp; old</ci:subject><msci:conference-id>Weekly</msci:conference-id></ci:conference-description>` +
		`<ci:users><ci:user entity="` + bob + `"><ci:roles><ci:entry>presenter</ci:entry></ci:roles></ci:user></ci:users></ci:conference-info></modifyConference>`); res.Status != 200 {
		t.Errorf("modifyConference: %d\n%s", res.Status, res)
	}
	_, out = a.order(`<getConference><conferenceKeys msci:conference-id="Weekly"/></getConference>`)
	if info, err := cccp.ParseInfo(out.Body); err != nil || info.Description.Subject != "New & old" || info.Description.AdmissionPolicy != "closedAuthenticated" ||
		cmp.Diff([]cccp.User{{Entity: bob, Roles: []string{cccp.Presenter}}}, info.Users) != "" {
		t.Errorf("after modifyConference: %v %+v", err, info)
	}
	_, out = a.order("<getConferences/>")
	if n := strings.Count(string(out.Body), "<conference-info"); n != 2 {
		t.Errorf("getConferences: %d\n%s", n, out.Body)
	}
	if res, out := a.order(`<deleteConference><conferenceKeys msci:conference-id="Weekly"/></deleteConference>`); res.Status != 200 || out.Code != cccp.Success {
		t.Errorf("deleteConference: %d", res.Status)
	}
	if res, out := a.order(`<getConference><conferenceKeys msci:conference-id="Weekly"/></getConference>`); res.Status != 404 || out.Reason != cccp.ConferenceDoesntExist {
		t.Errorf("after deleteConference: %d %+v", res.Status, out)
	}
	if focus := a.make("", ""); !regexp.MustCompile(`:id:[A-Z0-9]{16}$`).MatchString(focus) {
		t.Errorf("an id of the server's choice: %s", focus)
	}
}

func TestConferenceOfThree(t *testing.T) {
	s := Start(t)
	a, b, c := s.guest(t, alice), s.guest(t, bob), s.guest(t, carol)
	focus := a.make(word(), "")
	a.enter(focus)
	a.roster("alice presenter focus chat")
	b.enter(focus)
	a.roster("alice presenter focus chat", "bob attendee focus chat")
	b.roster("alice presenter focus chat", "bob attendee focus chat")
	first := status(t, a.say("one"), 202)
	b.hears(alice, "one", 200)
	status(t, b.say("two"), 202)
	a.hears(bob, "two", 200)
	c.enter(focus) // and hears what was said just now
	c.hears(alice, "one", 200)
	c.hears(bob, "two", 200)
	status(t, c.say("three"), 202)
	a.hears(carol, "three", 200)
	b.hears(carol, "three", 200)
	for i := range 20 { // the order is the same for all
		status(t, a.say(fmt.Sprint(i)), 202)
	}
	for i := range 20 {
		b.hears(alice, fmt.Sprint(i), 200)
		c.hears(alice, fmt.Sprint(i), 200)
	}
	if first.Get("Message-Id") == "" {
		t.Error("the answer to a message has no Message-Id")
	}
	// what somebody did not get
	id := status(t, a.say("busy?"), 202).Get("Message-Id")
	b.hears(alice, "busy?", 486)
	c.hears(alice, "busy?", 200)
	m := a.Await("a report", func(m *sip.Message) bool { return m.Method == "BENOTIFY" && m.ContentType() == cccp.TypeReport })
	report, err := cccp.ParseReport(m.Body)
	if d := cmp.Diff(cccp.Report{MessageID: id, Recipients: []cccp.Recipient{{URI: bob, Status: 486}}}, report); err != nil || d != "" || m.CallID() != a.chat.call {
		t.Errorf("%v %s\n%s", err, d, m)
	}
	// somebody writes
	const typing = `<KeyboardActivity><status status="type"/></KeyboardActivity>`
	status(t, b.Do(b.within(b.chat, "INFO", "Content-Type: application/xml", "", typing)), 200)
	for _, g := range []*guest{a, c} {
		if m := g.AwaitMethod("INFO"); string(m.Body) != typing || m.Get("Ms-Sender") != "<"+bob+">" || m.CallID() != g.chat.call {
			t.Errorf("bob writes:\n%s", m)
		} else {
			g.Reply(m, 200)
		}
	}
	// leaving: the messages, then all; the other way round; as Lync clients do
	status(t, b.Do(b.within(b.chat, "BYE")), 200)
	a.roster("alice presenter focus chat", "bob attendee focus", "carol attendee focus chat")
	status(t, b.Do(b.within(b.ctl, "BYE")), 200)
	a.roster("alice presenter focus chat", "carol attendee focus chat")
	status(t, b.Do(b.within(b.ctl, "BYE")), 481)
	status(t, b.say("still here?"), 481)
	_, res := c.begin("SUBSCRIBE", focus, "Event: conference", "Accept: "+cccp.TypeInfo, "Expires: 0", "Supported: ms-benotify")
	status(t, res, 200)
	a.roster("alice presenter focus chat")
	status(t, c.Do(c.within(c.ctl, "BYE")), 481)
	status(t, a.say("alone"), 202)
	status(t, a.Do(a.within(a.ctl, "BYE")), 200)
	if got := append(a.Inbox(), b.Inbox()...); len(got) > 0 {
		for _, m := range got {
			if m.Method == "MESSAGE" || m.Method == "BYE" {
				t.Errorf("nobody waits for\n%s", m)
			}
		}
	}
}

func TestPresentersRunTheConference(t *testing.T) {
	s := Start(t)
	p := party(t, s, "", alice, bob, carol)
	a, b, c := p[0], p[1], p[2]
	for _, command := range []string{lockTo(true), roleTo(bob, "presenter"), ejection(carol), `<deleteConference><conferenceKeys confEntity="FOCUS"/></deleteConference>`,
		`<modifyConference><conferenceKeys confEntity="FOCUS"/><ci:conference-info entity=""><ci:conference-description><ci:subject>X</ci:subject></ci:conference-description></ci:conference-info></modifyConference>`} {
		if res := b.asks(command); res.Status != 403 || !strings.HasPrefix(res.Get("ms-diagnostics"), "3014;") {
			t.Errorf("an attendee may %s: %d", command, res.Status)
		}
	}
	status(t, b.asks(`<getUsers><conferenceKeys confEntity="FOCUS"/></getUsers>`), 200)
	status(t, a.asks(roleTo(bob, "presenter")), 200)
	for _, g := range p {
		g.roster("alice presenter focus chat", "bob presenter focus chat", "carol attendee focus chat")
	}
	status(t, b.asks(roleTo(carol, "presenter")), 200)
	status(t, b.asks(roleTo(carol, "attendee")), 200)
	status(t, b.asks(roleTo(alice, "attendee")), 403)
	status(t, b.asks(ejection(alice)), 403)
	status(t, b.asks(roleTo(carol, "emperor")), 400)
	status(t, b.asks(roleTo(dave, "presenter")), 404)
	status(t, b.asks(lockTo(true)), 200)
	for _, g := range p {
		g.locked(true)
	}
	d := s.guest(t, dave)
	if res := d.join(a.focus, cccp.Attendee); res.Status != 403 || !strings.Contains(res.Get("ms-diagnostics"), "locked") {
		t.Errorf("joining a locked conference: %d\n%s", res.Status, res)
	}
	status(t, b.asks(ejection(carol)), 200)
	c.ended(c.ctl)
	c.ended(c.chat)
	a.roster("alice presenter focus chat", "bob presenter focus chat")
	status(t, c.say("but"), 481)
	status(t, c.join(a.focus, cccp.Attendee), 403)
	status(t, a.Do(a.within(a.ctl, "BYE")), 200) // the organizer may come back
	a.enter(a.focus)
	status(t, b.asks(lockTo(false)), 200)
	a.locked(false)
	d.enter(a.focus)
	status(t, b.asks(`<deleteConference><conferenceKeys confEntity="FOCUS"/></deleteConference>`), 200)
	for _, g := range []*guest{a, b, d} {
		g.ended(g.ctl)
		g.ended(g.chat)
	}
	status(t, d.join(a.focus, cccp.Attendee), 404)
}

func TestConferenceRefusals(t *testing.T) {
	s := Start(t)
	p := party(t, s, "<msci:admission-policy>closedAuthenticated</msci:admission-policy>", alice)
	a, focus := p[0], p[0].focus
	chat := strings.Replace(focus, ":focus:", ":chat:", 1)
	b := s.guest(t, bob)
	addUser := func(conf, user, role, endpoint string) string {
		return requestOf(conf, bob, `<addUser><conferenceKeys confEntity="`+conf+`"/><ci:user entity="`+user+`"><ci:roles><ci:entry>`+role+`</ci:entry></ci:roles>`+endpoint+`</ci:user></addUser>`)
	}
	const one = `<ci:endpoint entity="{1}"/>`
	other := a.make(word(), "")
	for _, c := range []struct {
		name, method, uri, kind, body string
		want                          int
	}{
		{"not invited", "INVITE", focus, cccp.Type, addUser(focus, bob, "attendee", one), 403},
		{"no such conference", "INVITE", focus + "X", cccp.Type, addUser(focus+"X", bob, "attendee", one), 404},
		{"no such organizer", "INVITE", "sip:nobody@" + domain + ";gruu;opaque=app:conf:focus:id:A", cccp.Type, addUser("sip:nobody@"+domain+";gruu;opaque=app:conf:focus:id:A", bob, "attendee", one), 404},
		{"another organizer's domain", "INVITE", "sip:alice@elsewhere.test;gruu;opaque=app:conf:focus:id:A", cccp.Type, addUser("sip:alice@elsewhere.test;gruu;opaque=app:conf:focus:id:A", bob, "attendee", one), 404},
		{"an id that is none", "INVITE", alice + ";gruu;opaque=app:conf:focus:id:a-b", cccp.Type, addUser(focus, bob, "attendee", one), 404},
		{"no id", "INVITE", alice + ";gruu;opaque=app:conf:focus", cccp.Type, addUser(focus, bob, "attendee", one), 404},
		{"joining the factory", "INVITE", factoryOf(alice), cccp.Type, addUser(focus, bob, "attendee", one), 404},
		{"another conference in the body", "INVITE", other, cccp.Type, addUser(focus, bob, "attendee", one), 400},
		{"somebody else in the body", "INVITE", other, cccp.Type, addUser(other, alice, "attendee", one), 403},
		{"no endpoint", "INVITE", other, cccp.Type, addUser(other, bob, "attendee", ""), 400},
		{"two endpoints", "INVITE", other, cccp.Type, addUser(other, bob, "attendee", one+one), 400},
		{"an unknown role", "INVITE", other, cccp.Type, addUser(other, bob, "emperor", one), 400},
		{"another command", "INVITE", other, cccp.Type, requestOf(other, bob, "<getUsers/>"), 400},
		{"no XML", "INVITE", other, cccp.Type, "hello", 400},
		{"XML cut off", "INVITE", other, cccp.Type, addUser(other, bob, "attendee", one)[:200], 400},
		{"a document type", "INVITE", other, cccp.Type, `<!DOCTYPE x [<!ENTITY e "e">]>` + addUser(other, bob, "attendee", one), 400},
		{"a call", "INVITE", other, "application/sdp", callOffer, 488},
		{"an invitation", "INVITE", other, cccp.TypeInvitation, "<Conferencing/>", 488},
		{"messages without joining", "INVITE", chat, "application/sdp", textOffer, 403},
		{"messages of a conference that is not running", "INVITE", strings.Replace(other, ":focus:", ":chat:", 1), "application/sdp", textOffer, 404},
		{"a page without joining", "MESSAGE", focus, "text/plain", "hello", 403},
		{"a page to nothing", "MESSAGE", other, "text/plain", "hello", 404},
		{"a page that is too long", "MESSAGE", focus, "text/plain", strings.Repeat("x", 64<<10+1), 413},
		{"a command outside of a session", "INFO", focus, cccp.Type, requestOf(focus, bob, "<getUsers/>"), 481},
		{"BYE outside of a session", "BYE", focus, "", "", 481},
		{"REFER", "REFER", focus, "", "", 405},
		{"UPDATE", "UPDATE", focus, "", "", 405},
		{"making at another's factory", "SERVICE", factoryOf(alice), cccp.Type, requestOf(factoryOf(alice), bob, conferenceOf("A", "")), 403},
		{"making at a conference", "SERVICE", focus, cccp.Type, requestOf(focus, bob, conferenceOf("A", "")), 404},
		{"an unknown order", "SERVICE", factoryOf(bob), cccp.Type, requestOf(factoryOf(bob), bob, "<brewCoffee/>"), 488},
		{"two orders", "SERVICE", factoryOf(bob), cccp.Type, requestOf(factoryOf(bob), bob, "<getConferences/><getConferences/>"), 400},
		{"no order", "SERVICE", factoryOf(bob), cccp.Type, requestOf(factoryOf(bob), bob, ""), 400},
		{"a bad id", "SERVICE", factoryOf(bob), cccp.Type, requestOf(factoryOf(bob), bob, conferenceOf("a b", "")), 400},
		{"a bad policy", "SERVICE", factoryOf(bob), cccp.Type, requestOf(factoryOf(bob), bob, conferenceOf("A", "<msci:admission-policy>mine</msci:admission-policy>")), 400},
		{"a bad promotion", "SERVICE", factoryOf(bob), cccp.Type, requestOf(factoryOf(bob), bob, conferenceOf("A", "<msci:autopromote>5</msci:autopromote>")), 400},
		{"an expiry gone by", "SERVICE", factoryOf(bob), cccp.Type, requestOf(factoryOf(bob), bob, conferenceOf("A", "<msci:expiry-time>2001-01-01T00:00:00Z</msci:expiry-time>")), 400},
		{"an expiry that is none", "SERVICE", factoryOf(bob), cccp.Type, requestOf(factoryOf(bob), bob, conferenceOf("A", "<msci:expiry-time>soon</msci:expiry-time>")), 400},
		{"another content", "SERVICE", factoryOf(bob), "text/plain", "hello", 415},
	} {
		_, res := b.begin(c.method, c.uri, "Content-Type: "+c.kind, "", c.body)
		if res.Status != c.want || c.want != 405 && c.want != 415 && res.Get("ms-diagnostics") == "" {
			t.Errorf("%s: %d, want %d\n%s", c.name, res.Status, c.want, res)
		}
	}
	for expires, want := range map[string]int{"3600": 403, "0": 200} {
		if _, res := b.begin("SUBSCRIBE", focus, "Event: conference", "Expires: "+expires); res.Status != want || len(res.Body) > 0 {
			t.Errorf("the roster for an outsider, for %s s: %d\n%s", expires, res.Status, res)
		}
	}
	// nobody noticed, and the dialogs of one are not another's
	a.roster("alice presenter focus chat")
	for _, d := range []dialog{a.ctl, a.chat} {
		for _, method := range []string{"BYE", "INFO", "MESSAGE"} {
			forged := b.within(d, method, "Content-Type: text/plain", "", "x")
			forged.Set("From", strings.Replace(d.from, alice, bob, 1))
			status(t, b.Do(forged), 481)
		}
	}
	status(t, a.say("alone"), 202)
}

func TestConferenceOutlivesTheServer(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	s, err := launch(data, loopback.Addr(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := party(t, s, "", alice, bob)
	focus := p[0].focus
	status(t, p[0].asks(roleTo(bob, "presenter")), 200)
	status(t, p[0].asks(lockTo(true)), 200)
	status(t, p[0].say("before"), 202)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if s, err = launch(data, loopback.Addr(t), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop() })
	a, b := s.guest(t, alice), s.guest(t, bob)
	status(t, b.join(focus, cccp.Attendee), 403) // it is locked
	a.enter(focus)
	a.locked(true)
	a.roster("alice presenter focus chat") // nobody else is in it
	status(t, a.asks(lockTo(false)), 200)
	b.enter(focus)
	a.roster("alice presenter focus chat", "bob presenter focus chat")
	status(t, b.say("after"), 202)
	a.hears(bob, "after", 200)
}

func TestConferencesOfWhoChanges(t *testing.T) {
	s := Start(t)
	for _, c := range []struct {
		name    string
		do      func(user string)
		want    int // for joining afterwards
		organic bool
	}{
		{"disabled", func(u string) { s.Cmdlet(t, "Set-CsUser", map[string]any{"Identity": u, "Enabled": false}) }, 403, true},
		{"removed", func(u string) { s.Cmdlet(t, "Disable-CsUser", map[string]any{"Identity": u}) }, 404, true},
		{"renamed", func(u string) {
			s.Cmdlet(t, "Set-CsUser", map[string]any{"Identity": u, "SipAddress": strings.Replace(u, "@", ".new@", 1)})
		}, 404, true},
		{"a guest disabled", func(u string) { s.Cmdlet(t, "Set-CsUser", map[string]any{"Identity": u, "Enabled": false}) }, 200, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			user := s.NewUser(t, "u"+word())
			users := []string{user, bob}
			if !c.organic {
				users = []string{bob, user}
			}
			p := party(t, s, "", users...)
			c.do(user)
			stays := p[1]
			if c.organic {
				stays.ended(stays.ctl)
				stays.ended(stays.chat)
			} else {
				stays = p[0]
				stays.roster("bob presenter focus chat")
			}
			carol := s.guest(t, carol)
			status(t, carol.join(p[0].focus, cccp.Attendee), c.want)
		})
	}
}

// TestStandardClientsInAConference: one that knows sessions calls the conference, one
// that knows pages is invited and answers.
func TestStandardClientsInAConference(t *testing.T) {
	s := Start(t)
	a := party(t, s, "", alice)[0]
	phone := &guest{client: s.SignIn(t, "tcp", bob), t: t, User: bob}
	d, res := phone.begin("INVITE", a.focus, "Content-Type: application/sdp", "", textOffer)
	status(t, res, 200)
	if !strings.HasSuffix(res.Get("Contact"), ";isfocus") || res.Get("Record-Route") == "" {
		t.Errorf("the conference answers\n%s", res)
	}
	phone.chat = d
	a.roster("alice presenter focus chat", "bob attendee chat")
	status(t, phone.say("from a phone"), 202)
	a.hears(bob, "from a phone", 200)
	status(t, a.say("hello"), 202)
	m := phone.AwaitMethod("MESSAGE")
	if !strings.HasSuffix(string(m.Body), ": hello") || m.CallID() != d.call {
		t.Errorf("the phone hears\n%s", m)
	}
	phone.Reply(m, 200)
	status(t, phone.Do(phone.within(phone.chat, "BYE")), 200)
	a.roster("alice presenter focus chat")
	// by pages
	pager := s.SignIn(t, "tcp", carol)
	invitation := string(cccp.Invitation{FocusURI: a.focus, IM: true}.Append(nil))
	_, res = a.begin("INVITE", carol, "Content-Type: "+cccp.TypeInvitation, "", invitation)
	status(t, res, 200)
	a.roster("alice presenter focus chat", "carol attendee chat")
	_, id, _ := strings.Cut(a.focus, ":id:")
	alias := "sip:app.conf." + id + "." + strings.TrimPrefix(alice, "sip:")
	page := func(part string) *sip.Message {
		t.Helper()
		m := pager.AwaitMethod("MESSAGE")
		if from, err := m.From(); err != nil || from.URI != alias || !strings.Contains(string(m.Body), part) {
			t.Fatalf("wanting %q, carol gets %v\n%s", part, err, m)
		}
		pager.Reply(m, 200)
		return m
	}
	page("has invited you")
	page(": from a phone") // what was said just now
	page(": hello")
	status(t, a.say("welcome"), 202)
	if from, _ := page(": welcome").From(); from.Display == "" {
		t.Error("a page does not name the sender")
	}
	answer := func(text string) *sip.Message {
		return pager.Do(pager.Request("MESSAGE", alias, "<"+alias+">", "Content-Type: text/plain", "", text))
	}
	status(t, answer("thank you"), 202)
	a.hears(carol, "thank you", 200)
	id = status(t, a.say("gone?"), 202).Get("Message-Id")
	pager.Reply(pager.AwaitMethod("MESSAGE"), 480)
	m = a.Await("a report", func(m *sip.Message) bool { return m.ContentType() == cccp.TypeReport })
	if report, err := cccp.ParseReport(m.Body); err != nil || report.MessageID != id || report.Recipients[0].URI != carol {
		t.Errorf("%v\n%s", err, m)
	}
	status(t, answer("/leave"), 200)
	page("You have left")
	a.roster("alice presenter focus chat")
	status(t, answer("again"), 403)
	// an outsider invites nobody
	b := s.guest(t, dave)
	_, res = b.begin("INVITE", carol, "Content-Type: "+cccp.TypeInvitation, "", invitation)
	status(t, res, 403)
	// who signs out is not in it any more
	_, res = a.begin("INVITE", carol, "Content-Type: "+cccp.TypeInvitation, "", invitation)
	status(t, res, 200)
	a.roster("alice presenter focus chat", "carol attendee chat")
	page("has invited you")
	status(t, pager.Register("Expires: 0"), 200)
	a.roster("alice presenter focus chat")
}

func TestMeetPage(t *testing.T) {
	s := Start(t)
	a := s.guest(t, alice)
	focus := a.make("ABC123", "")
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: s.Trust()}}
	defer web.CloseIdleConnections()
	get := func(path string) (int, string, http.Header) {
		res, err := web.Get("https://" + s.HTTPS.String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body), res.Header
	}
	code, body, head := get("/meet/alice/ABC123")
	link := regexp.MustCompile(`href="(conf[^"]*)"`).FindStringSubmatch(body)
	if code != 200 || link == nil || link[1] != "conf:"+focus+"?conversation-id=1" || strings.Contains(body, "http") || strings.Contains(body, "<script") {
		t.Errorf("%d\n%s", code, body)
	}
	if !strings.HasPrefix(head.Get("Content-Security-Policy"), "default-src 'none'") || head.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("the page has the headers %v", head)
	}
	for _, path := range []string{"/meet/alice/ABC124", "/meet/nobody/ABC123", "/meet/alice/%3Cscript%3E", "/meet/a%20b/ABC123"} {
		if code, body, _ := get(path); code != 404 || strings.Contains(body, "href") || strings.Contains(body, "<script") {
			t.Errorf("%s: %d\n%s", path, code, body)
		}
	}
}
