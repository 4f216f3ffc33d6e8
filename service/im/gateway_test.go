package im

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/test/sipagent"
	"trivet/wire/presdoc"
	"trivet/wire/sdp"
	"trivet/wire/sip"
)

// chatWith opens a session of the gateway with bob's phones.
func chatWith(d *device) *sip.Message {
	d.t.Helper()
	ok := sipagent.Status(d.t, d.do(d.request("INVITE", string(bob), imOffer, sdpType)), 200)
	d.Send(d.within(ok, "ACK", ""))
	return ok
}

func TestGatewayOpens(t *testing.T) {
	w := start(t)
	a, phone := w.lync(alice, "a1"), w.phone(bob, "b1")
	ok := chatWith(a)
	offer, err := sdp.Parse(ok.Body)
	if err != nil || len(offer.Media) != 1 || offer.Media[0].Type != "message" || offer.Media[0].Proto != "sip" || strings.Join(offer.Media[0].Accepts, " ") != strings.Join(accepts, " ") {
		t.Errorf("the answer offers %+v, %v", offer, err)
	}
	if ok.ContentType() != "application/sdp" || target(ok) != "sip:"+host+":5061;transport=tcp" || !tagged(ok) || strings.Contains(ok.Get("Supported"), "ms-text-format") {
		t.Errorf("the answer is\n%s", ok)
	}
	again := sipagent.Status(w.t, a.do(a.within(ok, "INVITE", imOffer, sdpType)), 200) // a refresh
	if !bytes.Equal(again.Body, ok.Body) || again.Get("Contact") != ok.Get("Contact") || again.Get("To") != ok.Get("To") {
		t.Errorf("the refresh is answered with\n%s", again)
	}
	a.Send(a.within(ok, "ACK", ""))
	sipagent.Status(w.t, a.do(a.within(ok, "INVITE", "")), 200)
	a.Send(a.within(ok, "ACK", ""))
	refused := a.within(ok, "INVITE", callBody, sdpType)
	sipagent.Status(w.t, a.do(refused), 488)
	a.Send(a.within(ok, "ACK", "", "Via: "+refused.Get("Via"), "CSeq: "+strconv.Itoa(a.Seq)+" ACK"))
	a.quiet()
	phone.quiet() // it does not know sessions
}

func TestGatewayMakesPages(t *testing.T) {
	w := start(t)
	a, phone := w.lync(alice, "a1"), w.phone(bob, "b1")
	ok := chatWith(a)
	var calls, tags []string
	for _, c := range []struct{ sent, want string }{
		{"text/plain; charset=UTF-8;msgr=WAAtAE0ATQBTAC0A;ms-body=aGk=", "text/plain;charset=UTF-8;ms-body=aGk="},
		{"text/plain;MSGR=WAAt; charset=iso-8859-1", "text/plain;charset=iso-8859-1"},
		{"text/html", "text/html"},
		{presdoc.TypeIsComposing, presdoc.TypeIsComposing},
	} {
		a.Send(a.within(ok, "MESSAGE", "Grüße", "Content-Type: "+c.sent))
		m := phone.recv("MESSAGE")
		from, err := m.From()
		if err != nil || from.URI != string(alice) || m.Get("To") != "<"+string(bob)+">" || m.RequestURI != "sip:b1@127.0.0.1" || m.Get("Content-Type") != c.want || string(m.Body) != "Grüße" {
			t.Errorf("%s becomes\n%s", c.sent, m)
		}
		calls, tags = append(calls, m.CallID()), append(tags, from.Tag())
		phone.reply(m, 200)
		sipagent.Status(w.t, a.final(), 200)
	}
	if tags[0] != tags[1] || tags[0] == "" || tags[0] == "a1" || calls[0] == calls[1] || calls[0] == ok.CallID() {
		t.Errorf("pages have the From tags %q and the Call-IDs %q", tags, calls)
	}
}

func TestGatewayReportsDelivery(t *testing.T) {
	for _, c := range []struct {
		says [2]int // the answers of two phones in this order, 0 is none
		want int
	}{
		{[2]int{200, 480}, 200}, {[2]int{486, 200}, 200}, {[2]int{202, 200}, 202}, {[2]int{480, 480}, 480}, {[2]int{480, 415}, 415},
		{[2]int{407, 407}, 480}, {[2]int{401, 401}, 480}, {[2]int{302, 302}, 480}, {[2]int{603, 603}, 603}, {[2]int{0, 0}, 408}, {[2]int{0, 200}, 200},
	} {
		t.Run(strconv.Itoa(c.says[0])+" and "+strconv.Itoa(c.says[1]), func(t *testing.T) {
			w := startWith(t, map[bool]siptrans.Config{true: impatient}[c.want == 408])
			a, phones := w.lync(alice, "a1"), []*device{w.phone(bob, "b1"), w.phone(bob, "b2")}
			a.Send(a.within(chatWith(a), "MESSAGE", "hello"))
			var asked []*sip.Message
			for _, p := range phones {
				asked = append(asked, p.recv("MESSAGE"))
			}
			for i, p := range phones {
				if c.says[i] != 0 {
					p.reply(asked[i], 100)
					p.reply(asked[i], c.says[i])
					p.quiet() // its answer is in before the next one's
				}
			}
			sipagent.Status(w.t, a.final(), c.want)
			a.quiet() // once
			for _, p := range phones {
				p.Close() // ends what is still waited for
			}
		})
	}
}

func TestGatewayWithoutDevices(t *testing.T) {
	w := start(t)
	a, phone := w.lync(alice, "a1"), w.phone(bob, "b1")
	ok := chatWith(a)
	back := w.away(bob)
	sipagent.Status(w.t, a.do(a.within(ok, "MESSAGE", "hello")), 480)
	sipagent.Status(w.t, a.do(a.within(ok, "INFO", "<KeyboardActivity><status status=\"type\"/></KeyboardActivity>", "Content-Type: application/xml")), 200)
	phone.quiet()
	back()
	a.Send(a.within(ok, "MESSAGE", "hello"))
	phone.recv("MESSAGE")
	phone.Close() // before it has answered
	sipagent.Status(w.t, a.final(), 480)
}

// TestGatewayFollowsTheCalledDevice: who has called one device writes to it alone.
func TestGatewayFollowsTheCalledDevice(t *testing.T) {
	w := start(t)
	a, one, two := w.lync(alice, "a1"), w.phone(bob, "b1"), w.phone(bob, "b2")
	ok := sipagent.Status(w.t, a.do(a.request("INVITE", gruu(bob, "b2"), imOffer, sdpType)), 200)
	a.Send(a.within(ok, "MESSAGE", "hello"))
	two.reply(two.recv("MESSAGE"), 200)
	sipagent.Status(w.t, a.final(), 200)
	one.quiet()
}

// TestGatewayToOneself: a Lync client writes to the own phone.
func TestGatewayToOneself(t *testing.T) {
	w := start(t)
	a, phone := w.lync(alice, "a1"), w.phone(alice, "p1")
	ok := sipagent.Status(w.t, a.do(a.request("INVITE", string(alice), imOffer, sdpType)), 200)
	a.Send(a.within(ok, "MESSAGE", "hello"))
	phone.reply(phone.recv("MESSAGE"), 200)
	sipagent.Status(w.t, a.final(), 200)
}

// TestWayBack: what the phone writes is a page, which Lync clients show.
func TestWayBack(t *testing.T) {
	w := start(t)
	a, phone := w.lync(alice, "a1"), w.phone(bob, "b1")
	chatWith(a)
	phone.Send(phone.request("MESSAGE", string(alice), "hello"))
	a.reply(a.recv("MESSAGE"), 200)
	sipagent.Status(w.t, phone.final(), 200)
}

func TestGatewayTranslatesTyping(t *testing.T) {
	w := start(t)
	a, phone := w.lync(alice, "a1"), w.phone(bob, "b1")
	ok := chatWith(a)
	for status, active := range map[string]bool{"type": true, "idle": false} {
		sipagent.Status(w.t, a.do(a.within(ok, "INFO", `<KeyboardActivity><status status="`+status+`"/></KeyboardActivity>`, "Content-Type: application/xml")), 200)
		m := phone.recv("MESSAGE")
		doc, err := presdoc.ParseComposing(m.Body)
		if err != nil || doc.Active != active || m.ContentType() != presdoc.TypeIsComposing {
			t.Errorf("%s becomes %v\n%s", status, err, m)
		}
		phone.reply(m, 415) // many cannot show it; nobody cares
	}
	for _, body := range []string{"<KeyboardActivity><status status=\"dance\"/></KeyboardActivity>", "<not-xml", ""} {
		sipagent.Status(w.t, a.do(a.within(ok, "INFO", body, "Content-Type: application/xml")), 200)
	}
	phone.quiet()
	a.quiet()
}

func TestGatewayEnds(t *testing.T) {
	w := start(t)
	a, phone := w.lync(alice, "a1"), w.phone(bob, "b1")
	ok, other := chatWith(a), chatWith(a)
	for _, method := range []string{"REFER", "NOTIFY", "UPDATE", "PRACK"} {
		if res := a.do(a.within(ok, method, "")); res.Status != 405 || res.Get("Allow") != allowed {
			t.Errorf("%s: got\n%s", method, res)
		}
	}
	sipagent.Status(w.t, a.do(a.within(ok, "BYE", "")), 200)
	for _, method := range []string{"BYE", "MESSAGE", "INFO"} {
		sipagent.Status(w.t, a.do(a.within(ok, method, "hello")), 481)
	}
	refused := a.within(ok, "INVITE", imOffer, sdpType)
	sipagent.Status(w.t, a.do(refused), 481)
	a.Send(a.within(ok, "ACK", "", "Via: "+refused.Get("Via")))
	a.Send(a.within(other, "MESSAGE", "still here"))
	phone.reply(phone.recv("MESSAGE"), 200)
	sipagent.Status(w.t, a.final(), 200)
}

// TestRestartLosesGatewaySessions: the same requests at a server that does not
// know the session.
func TestRestartLosesGatewaySessions(t *testing.T) {
	var ok *sip.Message
	t.Run("before", func(t *testing.T) {
		w := start(t)
		a := w.lync(alice, "a1")
		w.phone(bob, "b1")
		ok = chatWith(a)
	})
	t.Run("after", func(t *testing.T) {
		w := start(t)
		a, phone := w.lync(alice, "a1"), w.phone(bob, "b1")
		for _, method := range []string{"MESSAGE", "INFO", "BYE"} {
			sipagent.Status(w.t, a.do(a.within(ok, method, "hello")), 481)
		}
		phone.quiet()
		a.Send(a.within(chatWith(a), "MESSAGE", "again"))
		phone.reply(phone.recv("MESSAGE"), 200)
		sipagent.Status(w.t, a.final(), 200)
	})
}

func TestGatewaySessionHasOneOwner(t *testing.T) {
	w := start(t)
	a, phone := w.lync(alice, "a1"), w.phone(bob, "b1")
	ok := chatWith(a)
	for _, thief := range []*device{w.lync(carol, "c1"), w.lync(alice, "a2"), w.phone(bob, "b2")} {
		for _, method := range []string{"MESSAGE", "INFO", "INVITE", "BYE"} {
			m := thief.within(ok, method, imOffer, sdpType, "From: <"+string(thief.user)+">;tag=a1")
			if res := thief.do(m); res.Status != 481 {
				t.Errorf("%s of %s: got\n%s", method, thief.name, res)
			}
			if method == "INVITE" {
				thief.Send(thief.within(ok, "ACK", "", "Via: "+m.Get("Via")))
			}
		}
	}
	for _, method := range []string{"MESSAGE", "BYE"} { // on the owner's connection, as another
		sipagent.Status(w.t, a.do(a.within(ok, method, "hello", "From: <"+string(carol)+">;tag=a1")), 481)
	}
	w.change(bob, func(list []groupstate.Binding) []groupstate.Binding { return list[:1] })
	a.Send(a.within(ok, "MESSAGE", "hello"))
	phone.reply(phone.recv("MESSAGE"), 200)
	sipagent.Status(w.t, a.final(), 200)
}

// TestEqualDialogs: two clients may choose the same Call-ID and tags.
func TestEqualDialogs(t *testing.T) {
	w := start(t)
	a, c := w.lync(alice, "x"), w.lync(carol, "x")
	phone := w.phone(bob, "b1")
	first, second := chatWith(a), chatWith(c)
	if first.CallID() != second.CallID() {
		t.Fatalf("Call-IDs %q and %q", first.CallID(), second.CallID())
	}
	for _, d := range []*device{a, c} {
		d.Send(d.within(map[*device]*sip.Message{a: first, c: second}[d], "MESSAGE", "hello"))
		m := phone.recv("MESSAGE")
		if from, _ := m.From(); from.URI != string(d.user) {
			t.Errorf("%s writes as %s", d.user, from.URI)
		}
		phone.reply(m, 200)
		sipagent.Status(w.t, d.final(), 200)
	}
}

func TestGatewaySessionsAreLimited(t *testing.T) {
	w := start(t)
	a, other := w.lync(alice, "a1"), w.lync(alice, "a2")
	w.phone(bob, "b1")
	var last *sip.Message
	for range maxSessions {
		last = chatWith(a)
	}
	m := a.request("INVITE", string(bob), imOffer, sdpType)
	res := sipagent.Status(w.t, a.do(m), 403)
	if diag := res.Get("ms-diagnostics"); !strings.HasPrefix(diag, "4006;") || !strings.Contains(diag, "more than 256 chats") {
		t.Errorf("refused with %s", diag)
	}
	a.Send(a.request("ACK", string(bob), "", "Via: "+m.Get("Via"), "To: "+res.Get("To"), "Call-ID: "+m.CallID()))
	chatWith(other) // has a count of its own
	sipagent.Status(w.t, a.do(a.within(last, "BYE", "")), 200)
	chatWith(a)

	sessions := func() (all, ofA int) {
		w.s.gateway.mu.Lock()
		defer w.s.gateway.mu.Unlock()
		return len(w.s.gateway.sessions), len(w.s.gateway.perConn[w.conn(a)])
	}
	if all, own := sessions(); all != maxSessions+1 || own != maxSessions {
		t.Errorf("%d sessions, %d of the first", all, own)
	}
	c, gone := w.conn(a), make(chan struct{})
	c.OnClose(func() { close(gone) }) // behind the gateway's own
	a.Close()
	<-gone
	w.s.gateway.mu.Lock()
	_, kept := w.s.gateway.perConn[c]
	all := len(w.s.gateway.sessions)
	w.s.gateway.mu.Unlock()
	if kept || all != 1 {
		t.Errorf("after the connection's end there are %d sessions, its own kept: %v", all, kept)
	}
	x := &session{key: sessionKey{"late", "late"}, conn: c} // opens while the connection ends
	if err := w.s.gateway.add(x); err != nil || len(w.s.gateway.sessions) != 1 || len(w.s.gateway.perConn) != 1 {
		t.Errorf("a session on a dead connection: %v, %d sessions", err, len(w.s.gateway.sessions))
	}
}

func TestPlainType(t *testing.T) {
	for in, want := range map[string]string{
		"text/plain; charset=UTF-8;msgr=WAAt": "text/plain;charset=UTF-8", "text/plain": "text/plain", "": "", "text/plain;": "text/plain",
		"text/plain;msgr": "text/plain", "text/plain; msgr = x ;a=b": "text/plain;a=b",
	} {
		if got := plainType(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
