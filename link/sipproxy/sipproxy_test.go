package sipproxy

import (
	"strings"
	"testing"
	"time"

	"trivet/link/siptrans"
	"trivet/rule/siptxn"
	"trivet/wire/sip"
)

func TestMessageBetweenTransports(t *testing.T) {
	for _, c := range [][2]string{{"tcp", "tls"}, {"tls", "udp"}, {"udp", "tcp"}, {"udp", "udp"}} {
		t.Run(c[0]+" to "+c[1], func(t *testing.T) {
			w := newWorld(t, siptrans.Config{})
			alice, bob := w.sign(t, c[0], "alice"), w.sign(t, c[1], "bob")
			alice.request("MESSAGE", "sip:bob@example.test", "bob", 2, "Authorization: NTLM x", "Authentication-Info: y", "P-Asserted-Identity: <sip:boss@example.test>", "X-Mine: kept")
			m := bob.wantRequest("MESSAGE")
			if m.MaxForwards() != 69 || m.Count("Via") != 2 || m.Get("X-Mine") != "kept" {
				t.Errorf("forwarded as\n%s", m)
			}
			for _, h := range []string{"Authorization", "Authentication-Info", "P-Asserted-Identity", "Record-Route"} {
				if m.Get(h) != "" {
					t.Errorf("%s was passed on", h)
				}
			}
			bob.reply(m, 200, "Authentication-Info: z")
			res := alice.want(200)
			if res.Count("Via") != 1 || res.Get("Authentication-Info") != "" {
				t.Errorf("answered with\n%s", res)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, siptrans.Config{Timers: siptxn.From(2 * time.Millisecond), MessageAnswer: 100 * time.Millisecond})
	alice, bob := w.sign(t, "tcp", "alice"), w.sign(t, "tcp", "bob")
	to := "sip:bob@example.test"
	alice.request("MESSAGE", to, "bob", 2, "Max-Forwards: 0")
	alice.want(483)
	alice.request("MESSAGE", "sip:nobody@example.test", "nobody", 3)
	alice.want(480)
	alice.request("MESSAGE", to, "bob", 4) // never answered
	bob.wantRequest("MESSAGE")
	if res := alice.want(408); res.Count("Via") != 1 {
		t.Errorf("408 with %d Vias", res.Count("Via"))
	}
	alice.request("MESSAGE", to, "bob", 5)
	bob.wantRequest("MESSAGE")
	bob.nc.Close()
	alice.want(480)
	alice.request("BYE", "sip:x@y;gruu", "bob", 6, "Route: <sip:"+strings.Repeat("A", 38)+"@h;lr>")
	alice.want(404)
}

func TestLoop(t *testing.T) {
	w := newWorld(t, siptrans.Config{})
	alice, other := w.sign(t, "tcp", "alice"), w.sign(t, "tcp", "bob", "X-Server: yes")
	alice.request("MESSAGE", "sip:bob@example.test", "bob", 2)
	m := other.wantRequest("MESSAGE")
	m.Prepend("Via", "SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKback") // and sends it back
	other.send(m.String())
	other.want(482)
	m = m.Clone() // a spiral has another request URI and is no loop
	m.RequestURI = "sip:alice@example.test"
	m.Headers[0].Value += "2"
	other.send(m.String())
	alice.wantRequest("MESSAGE")
}

func TestForkBestAndCancel(t *testing.T) {
	w := newWorld(t, siptrans.Config{})
	alice := w.sign(t, "tls", "alice")
	bobs := []*agent{w.sign(t, "tcp", "bob"), w.sign(t, "tls", "bob"), w.sign(t, "udp", "bob")}
	alice.request("INVITE", "sip:bob@example.test", "bob", 2)
	alice.want(100)
	var invites []*sip.Message
	for _, b := range bobs {
		m := b.wantRequest("INVITE")
		b.reply(m, 180)
		alice.want(180)
		invites = append(invites, m)
	}
	bobs[0].reply(invites[0], 486) // a refusal alone decides nothing
	bobs[0].wantRequest("ACK")
	bobs[1].reply(invites[1], 200)
	alice.want(200)
	cancel := bobs[2].wantRequest("CANCEL")
	if a, b := cancel.Get("Via"), invites[2].Get("Via"); a != b || cancel.Count("Via") != 1 {
		t.Errorf("CANCEL has Via %q, the INVITE %q", a, b)
	}
	bobs[2].reply(cancel, 200)
	bobs[2].reply(invites[2], 487)
	bobs[2].wantRequest("ACK")
}

func TestBestOfRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		got  [2]int
		want int
	}{
		{"lower class", [2]int{500, 404}, 404}, {"6xx decides", [2]int{404, 603}, 603}, {"redirect", [2]int{486, 302}, 302},
		{"a person's word", [2]int{480, 486}, 486}, {"challenge", [2]int{404, 401}, 401}, {"503 is not ours", [2]int{503, 503}, 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, siptrans.Config{})
			alice := w.sign(t, "tcp", "alice")
			bobs := []*agent{w.sign(t, "tcp", "bob"), w.sign(t, "tcp", "bob")}
			alice.request("INVITE", "sip:bob@example.test", "bob", 2)
			for i, b := range bobs {
				b.reply(b.wantRequest("INVITE"), c.got[i])
				b.wantRequest("ACK")
			}
			alice.want(c.want)
		})
	}
}

func TestCallerCancels(t *testing.T) {
	w := newWorld(t, siptrans.Config{})
	alice, bob := w.sign(t, "tcp", "alice"), w.sign(t, "tcp", "bob")
	alice.request("INVITE", "sip:bob@example.test", "bob", 2)
	m := bob.wantRequest("INVITE")
	bob.reply(m, 180)
	alice.want(180)
	alice.request("CANCEL", "sip:bob@example.test", "bob", 2)
	alice.want(200)
	bob.reply(bob.wantRequest("CANCEL"), 200)
	bob.reply(m, 487)
	bob.wantRequest("ACK")
	alice.want(487)
}

func TestSurplusAnswerIsEnded(t *testing.T) {
	w := newWorld(t, siptrans.Config{})
	alice := w.sign(t, "tcp", "alice")
	one, two := w.sign(t, "tcp", "bob"), w.sign(t, "tls", "bob")
	two.name = "bob2"
	alice.request("INVITE", "sip:bob@example.test", "bob", 2)
	m1, m2 := one.wantRequest("INVITE"), two.wantRequest("INVITE")
	one.reply(m1, 200)
	alice.want(200)
	two.reply(m2, 200) // crossed the CANCEL, or never had a provisional response
	ack, bye := two.wantRequest("ACK"), two.wantRequest("BYE")
	for _, m := range []*sip.Message{ack, bye} {
		if to, _ := m.To(); to.Tag() != "bob2" || m.RequestURI != "sip:bob2@host.invalid;opaque=user:epid:x;gruu" {
			t.Errorf("%s goes to %s, %s", m.Method, m.RequestURI, m.Get("To"))
		}
	}
	if n, _, _ := bye.CSeq(); n != 3 {
		t.Errorf("BYE has CSeq %d, want 3", n)
	}
	two.reply(bye, 200)
	alice.request("INFO", "sip:bob@example.test", "nobody", 9) // nothing of it reached the caller
	one.reply(one.wantRequest("INFO"), 200)
	two.reply(two.wantRequest("INFO"), 200)
	alice.want(200)
}

func TestDialogStaysOnItsConnections(t *testing.T) {
	w := newWorld(t, siptrans.Config{})
	alice, bob := w.sign(t, "tls", "alice"), w.sign(t, "tcp", "bob")
	w.sign(t, "tcp", "alice") // a second endpoint of hers, which must see nothing
	alice.request("INVITE", "sip:bob@example.test", "bob", 2)
	m := bob.wantRequest("INVITE")
	bob.reply(m, 200)
	res := alice.want(200)
	set := routes(res, true)
	if len(set) != 2 {
		t.Fatalf("route set %q: want one per transport", set)
	}
	uri := "sip:bob@host.invalid;opaque=user:epid:x;gruu"
	alice.request("ACK", uri, "bob", 2, append([]string{}, set...)...)
	if ack := bob.wantRequest("ACK"); ack.Get("Route") != "" || ack.RequestURI != uri {
		t.Errorf("ACK arrives as\n%s", ack)
	}
	alice.request("MESSAGE", uri, "bob", 3, append([]string{}, set...)...)
	bob.reply(bob.wantRequest("MESSAGE"), 200)
	alice.want(200)
	bob.request("BYE", "sip:alice@host.invalid", "alice", 1, routes(m, false)...)
	alice.reply(alice.wantRequest("BYE"), 200)
	bob.want(200)

	eve := w.sign(t, "tcp", "eve") // knows the routes, but sits on another connection
	eve.request("INFO", "sip:bob@host.invalid", "bob", 4, append([]string{}, set...)...)
	eve.want(481)
	eve.request("INFO", uri, "bob", 5, append([]string{}, set...)...) // the GRUU works for everybody
	bob.wantRequest("INFO")
}

func TestTokensCannotBeForged(t *testing.T) {
	p, q := New(Config{}), New(Config{})
	token := p.token(1, 2)
	if a, b, ok := p.open(token); !ok || a != 1 || b != 2 {
		t.Fatalf("got %d, %d, %v", a, b, ok)
	}
	if _, _, ok := q.open(token); ok {
		t.Error("another process accepts it")
	}
	for i := range token {
		for _, c := range "Aa9_" {
			f := token[:i] + string(c) + token[i+1:]
			if a, b, ok := p.open(f); ok && f != token && (a != 1 || b != 2) {
				t.Errorf("accepts %s", f)
			}
		}
	}
}
