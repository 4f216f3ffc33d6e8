package im

import (
	"strconv"
	"strings"
	"testing"

	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/sip"
)

func TestPageToOneEndpoint(t *testing.T) {
	w := start(t)
	a, b := w.lync(alice, "a1"), w.lync(bob, "b1")
	a.Send(a.request("MESSAGE", string(bob), "Grüße", "Content-Type: text/plain; charset=UTF-8;msgr=WAAt"))
	m := b.recv("MESSAGE")
	if string(m.Body) != "Grüße" || m.Get("Content-Type") != "text/plain; charset=UTF-8;msgr=WAAt" || m.RequestURI != "sip:b1@127.0.0.1" {
		t.Errorf("the page arrives as\n%s", m)
	}
	a.quiet() // the report is the device's own
	b.reply(m, 200, "X-Report: shown")
	if res := sipagent.Status(w.t, a.final(), 200); res.Get("X-Report") != "shown" {
		t.Errorf("the report is\n%s", res)
	}
}

func TestPageToSeveralEndpoints(t *testing.T) {
	for _, c := range []struct {
		name string
		says [3]int
		want int
	}{
		{"the first that takes it", [3]int{486, 200, 415}, 200},
		{"the one that takes it", [3]int{486, 415, 200}, 200},
		{"all refuse", [3]int{486, 480, 480}, 486},
		{"all are silent", [3]int{}, 408},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := startWith(t, map[bool]siptrans.Config{true: impatient}[c.want == 408])
			a := w.lync(alice, "a1")
			bobs := []*device{w.lync(bob, "b1"), w.phone(bob, "b2"), w.device("udp", bob, "b3")}
			a.Send(a.request("MESSAGE", string(bob), "hello"))
			for i, b := range bobs {
				if m := b.recv("MESSAGE"); c.says[i] != 0 {
					b.reply(m, c.says[i])
				}
			}
			sipagent.Status(w.t, a.final(), c.want)
			a.quiet() // once
		})
	}
}

func TestPageToNobody(t *testing.T) {
	w := start(t)
	a := w.lync(alice, "a1")
	for _, c := range []struct {
		name, uri string
		want      int
		diag      string
	}{
		{"unknown user", "sip:nobody@example.test", 404, "4005;"},
		{"other domain", "sip:bob@elsewhere.test", 404, "4005;"},
		{"no user", "sip:example.test", 404, "4005;"},
		{"not signed in", string(bob), 480, "1014;"},
		{"endpoint of one who is not signed in", gruu(bob, "b1"), 480, "1014;"},
	} {
		for _, m := range []*sip.Message{a.request("MESSAGE", c.uri, "hello"), a.request("INVITE", c.uri, imOffer, sdpType), a.request("INVITE", c.uri, callBody, sdpType)} {
			res := a.do(m)
			if res.Status != c.want || !strings.HasPrefix(res.Get("ms-diagnostics"), c.diag) || !strings.HasSuffix(res.Get("ms-diagnostics"), `;source="`+host+`"`) {
				t.Errorf("%s, %s: got\n%s", c.name, m.Method, res)
			}
			if m.Method == "INVITE" {
				ack := a.request("ACK", m.RequestURI, "", "Via: "+m.Get("Via"), "To: "+res.Get("To"), "Call-ID: "+m.CallID())
				a.Send(ack)
			}
		}
	}
}

func TestPageToOneself(t *testing.T) {
	w := start(t)
	one, two := w.lync(alice, "a1"), w.lync(alice, "a2")
	one.Send(one.request("MESSAGE", string(alice), "from a1"))
	two.reply(two.recv("MESSAGE"), 200)
	sipagent.Status(w.t, one.final(), 200)
	sipagent.Status(w.t, one.do(one.request("MESSAGE", gruu(alice, "a1"), "to the same device")), 480)
	three := w.device("udp", alice, "a3")
	three.Send(three.request("MESSAGE", string(alice), "from a3"))
	one.reply(one.recv("MESSAGE"), 200)
	two.reply(two.recv("MESSAGE"), 200)
	sipagent.Status(w.t, three.final(), 200)
	three.quiet()
}

// TestTwoUsersOnOneConnection: what has one connection for several people, as an
// exchange for phones does, delivers among them too.
func TestTwoUsersOnOneConnection(t *testing.T) {
	w := start(t)
	a := w.phone(alice, "x1")
	shared := w.locate(alice, "")
	w.change(bob, func([]groupstate.Binding) []groupstate.Binding { return shared })
	a.Send(a.request("MESSAGE", string(bob), "hello"))
	a.reply(a.recv("MESSAGE"), 200)
	sipagent.Status(w.t, a.final(), 200)
}

func TestGRUUNamesOneEndpoint(t *testing.T) {
	w := start(t)
	a, one, two := w.lync(alice, "a1"), w.lync(bob, "b1"), w.lync(bob, "b2")
	for _, m := range []*sip.Message{a.request("MESSAGE", gruu(bob, "b2"), "hello"), a.request("INVITE", gruu(bob, "b2"), imOffer, sdpType), a.request("INFO", gruu(bob, "b2"), "")} {
		a.Send(m)
		two.reply(two.recv(m.Method), 200)
		sipagent.Status(w.t, a.final(), 200)
		one.quiet()
	}
}

func TestEndpointsThatAreNotThere(t *testing.T) {
	w := start(t)
	a, phone := w.lync(alice, "a1"), w.phone(bob, "b0")
	var others []*device
	for _, name := range []string{"detached", "old", "lync"} {
		others = append(others, w.lync(bob, name))
	}
	w.change(bob, func(list []groupstate.Binding) []groupstate.Binding {
		list[1].Detached = true
		list[2].Flow.Epoch = epoch - 1 // the number of its connection is another's now
		list[3].Flow.Conn = 1 << 40
		return list
	})
	a.Send(a.request("MESSAGE", string(bob), "hello"))
	phone.reply(phone.recv("MESSAGE"), 200)
	sipagent.Status(w.t, a.final(), 200)

	ok := sipagent.Status(w.t, a.do(a.request("INVITE", string(bob), imOffer, sdpType)), 200) // no Lync client is there, so the gateway takes it
	a.Send(a.within(ok, "MESSAGE", "hello"))
	phone.reply(phone.recv("MESSAGE"), 200)
	sipagent.Status(w.t, a.final(), 200)
	for _, d := range others {
		d.quiet()
	}
	w.change(bob, func(list []groupstate.Binding) []groupstate.Binding {
		list[0].Flow.Epoch = epoch - 1
		return list
	})
	sipagent.Status(w.t, a.do(a.within(ok, "MESSAGE", "hello")), 480)
	sipagent.Status(w.t, a.do(a.request("MESSAGE", string(bob), "hello")), 480)
	sipagent.Status(w.t, a.do(a.request("INVITE", string(bob), imOffer, sdpType)), 480)
	phone.quiet()
}

// TestUDPEndpointOutlivesARestart: its address is all there is to it.
func TestUDPEndpointOutlivesARestart(t *testing.T) {
	w := start(t)
	a, b := w.lync(alice, "a1"), w.device("udp", bob, "b1")
	for _, change := range []func(*groupstate.Flow){
		func(f *groupstate.Flow) { f.Epoch-- },
		func(f *groupstate.Flow) { f.Epoch, f.Conn = epoch, 1<<40 }, // forgotten among too many
	} {
		w.change(bob, func(list []groupstate.Binding) []groupstate.Binding { change(&list[0].Flow); return list })
		a.Send(a.request("MESSAGE", string(bob), "hello"))
		b.reply(b.recv("MESSAGE"), 200)
		sipagent.Status(w.t, a.final(), 200)
	}
}

// dialog opens a session between two Lync clients.
func dialog(w *world, a, b *device) (ok, invite *sip.Message) {
	w.t.Helper()
	a.Send(a.request("INVITE", string(b.user), imOffer, sdpType, "ms-text-format: text/plain;ms-body=aGVsbG8="))
	invite = b.recv("INVITE")
	b.reply(invite, 200, "Supported: ms-text-format")
	ok = sipagent.Status(w.t, a.final(), 200)
	a.Send(a.within(ok, "ACK", ""))
	b.recv("ACK")
	return ok, invite
}

func TestSessionBetweenLyncClients(t *testing.T) {
	w := start(t)
	a, b := w.lync(alice, "a1"), w.lync(bob, "b1")
	ok, invite := dialog(w, a, b)
	if string(invite.Body) != imOffer || invite.Get("ms-text-format") != "text/plain;ms-body=aGVsbG8=" || ok.Get("Supported") != "ms-text-format" {
		t.Errorf("INVITE and answer do not pass unchanged:\n%s\n%s", invite, ok)
	}
	if len(recorded(invite)) == 0 || len(recorded(ok)) != len(recorded(invite)) {
		t.Fatalf("Record-Route %q in the INVITE, %q in the answer", recorded(invite), recorded(ok))
	}
	second := w.lync(bob, "b2") // signs in later and must see nothing of it
	exchange := func(from, to *device, m *sip.Message) {
		t.Helper()
		from.Send(m)
		got := to.recv(m.Method)
		if got.CallID() != invite.CallID() || got.Get("Route") != "" || string(got.Body) != string(m.Body) {
			t.Errorf("arrives as\n%s", got)
		}
		to.reply(got, 200)
		sipagent.Status(w.t, from.final(), 200)
	}
	typing := "<KeyboardActivity><status status=\"type\"/></KeyboardActivity>"
	exchange(a, b, a.within(ok, "INFO", typing, "Content-Type: application/xml"))
	exchange(a, b, a.within(ok, "MESSAGE", "hello"))
	exchange(b, a, b.back(invite, "INFO", typing, "Content-Type: application/xml"))
	exchange(b, a, b.back(invite, "MESSAGE", "and you"))
	exchange(a, b, a.within(ok, "INVITE", imOffer, sdpType))
	exchange(b, a, b.back(invite, "UPDATE", ""))
	a.Send(a.within(ok, "MESSAGE", "too big"))
	b.reply(b.recv("MESSAGE"), 415)
	sipagent.Status(w.t, a.final(), 415)
	exchange(b, a, b.back(invite, "BYE", ""))
	second.quiet()

	stranger := w.lync(carol, "c1") // knows all of it, but is not on these connections
	sipagent.Status(w.t, stranger.do(stranger.within(ok, "MESSAGE", "hello", "From: <"+string(carol)+">;tag=a1")), 481)
	b.Close()
	m := a.within(ok, "MESSAGE", "hello")
	if status := a.do(m).Status; status != 480 && status != 481 { // as the server has noticed
		t.Errorf("to one who left: %d", status)
	}
}

// TestSessionOutlivesARestart: flow tokens are lost, but the device's own address
// leads there.
func TestSessionOutlivesARestart(t *testing.T) {
	w := start(t)
	a, b := w.lync(alice, "a1"), w.lync(bob, "b1")
	other := w.lync(bob, "b2")
	m := a.request("MESSAGE", gruu(bob, "b1"), "hello", "To: <"+string(bob)+">;tag=old", "Route: <sip:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA@"+host+";lr>")
	a.Send(m)
	b.reply(b.recv("MESSAGE"), 200)
	sipagent.Status(w.t, a.final(), 200)
	other.quiet()
}

func TestSessionsChooseTheirEndpoints(t *testing.T) {
	msrp := strings.Replace(imOffer, "m=message 5060 sip null", "m=message 7654 TCP/MSRP *", 1)
	for _, c := range []struct {
		name, body string
		kinds      string // of the callee: l Lync, p phone
		rung       string
	}{
		{"chat to both kinds goes to Lync clients", imOffer, "lpl", "l-l"},
		{"older chat too", strings.Replace(imOffer, "m=message", "m=x-ms-message", 1), "lp", "l-"},
		{"a call goes to all", callBody, "lpl", "lpl"},
		{"text over MSRP is a call", msrp, "lp", "lp"},
		{"also to phones only", msrp, "pp", "pp"},
		{"no offer", "", "pl", "pl"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t)
			a := w.lync(alice, "a1")
			var bobs []*device
			for i, kind := range c.kinds {
				name := "b" + strconv.Itoa(i)
				bobs = append(bobs, map[rune]func(uc.UserURI, string) *device{'l': w.lync, 'p': w.phone}[kind](bob, name))
			}
			m := a.request("INVITE", string(bob), c.body, sdpType)
			if c.body == "" {
				m.Del("Content-Type")
			}
			a.Send(m)
			for i, b := range bobs {
				if c.rung[i] == '-' {
					continue
				}
				b.reply(b.recv("INVITE"), 486)
				b.recv("ACK")
			}
			sipagent.Status(w.t, a.final(), 486)
			for _, b := range bobs {
				b.quiet()
			}
		})
	}
}

func TestStrayACKIsDropped(t *testing.T) {
	w := start(t)
	a, b := w.lync(alice, "a1"), w.lync(bob, "b1")
	for _, to := range []string{"", ";tag=x"} {
		a.Send(a.request("ACK", string(bob), "", "To: <"+string(bob)+">"+to))
	}
	a.quiet()
	b.quiet()
}

func TestUnknownSessionIsGone(t *testing.T) {
	w := start(t)
	a, phone := w.lync(alice, "a1"), w.phone(bob, "b1")
	contact := "sip:" + host + ":5061;transport=tcp"
	for _, method := range []string{"MESSAGE", "INFO", "BYE", "UPDATE"} {
		if res := a.do(a.request(method, contact, "", "To: <"+string(bob)+">;tag=old")); res.Status != 481 {
			t.Errorf("%s: got\n%s", method, res)
		}
	}
	for _, uri := range []string{contact, string(bob)} {
		sipagent.Status(w.t, a.do(a.request("INVITE", uri, imOffer, sdpType, "To: <"+string(bob)+">;tag=old")), 481)
	}
	phone.quiet()
}

func TestTagged(t *testing.T) {
	for _, c := range []struct {
		to   string
		want bool
	}{
		{"<sip:bob@example.test>;tag=1", true}, {"<sip:bob@example.test>;epid=2; TAG =1", true}, {"sip:bob@example.test;tag=1", true},
		{"<sip:bob@example.test>", false}, {"", false}, {"<sip:bob@example.test>;tagged=1", false}, {"<sip:bob@example.test>;ta", false}, {"<sip:bob@example.test>;tag", false},
	} {
		m := sip.NewRequest("MESSAGE", string(bob))
		m.Add("To", c.to)
		if tagged(m) != c.want {
			t.Errorf("%q: want %v", c.to, c.want)
		}
	}
}

// pages is a number of messages that shows whether their order is kept.
const pages = 1000

// inOrder has a send many messages, b answer them, and looks at both orders.
func inOrder(w *world, a, b *device, next func(text string) *sip.Message) {
	w.t.Helper()
	var all strings.Builder
	var sent []string
	for i := range pages {
		m := next(strconv.Itoa(i))
		sent = append(sent, m.Get("CSeq"))
		all.WriteString(m.String())
	}
	if _, err := a.Write([]byte(all.String())); err != nil {
		w.t.Fatal(err)
	}
	all.Reset()
	for i := range pages {
		m := b.recv("MESSAGE")
		if string(m.Body) != strconv.Itoa(i) {
			w.t.Fatalf("message %d arrives as %d", i, i)
		}
		b.reply(m, 200)
	}
	for _, cseq := range sent {
		if res := sipagent.Status(w.t, a.final(), 200); res.Get("CSeq") != cseq {
			w.t.Fatalf("got the answer %q, want %q", res.Get("CSeq"), cseq)
		}
	}
}

func TestOrderThroughTheProxy(t *testing.T) {
	w := start(t)
	a, b := w.lync(alice, "a1"), w.lync(bob, "b1")
	ok, _ := dialog(w, a, b)
	inOrder(w, a, b, func(text string) *sip.Message { return a.within(ok, "MESSAGE", text) })
	inOrder(w, a, b, func(text string) *sip.Message { return a.request("MESSAGE", string(bob), text) })
}

func TestOrderThroughTheGateway(t *testing.T) {
	w := start(t)
	a, b := w.lync(alice, "a1"), w.phone(bob, "b1")
	ok := sipagent.Status(w.t, a.do(a.request("INVITE", string(bob), imOffer, sdpType)), 200)
	inOrder(w, a, b, func(text string) *sip.Message { return a.within(ok, "MESSAGE", text) })
}
