package sipauth

import (
	"slices"
	"strings"
	"testing"
	"time"

	"trivet/fault"
	"trivet/uc"
	"trivet/wire/ntlm"
	"trivet/wire/sip"
)

// ntlmLogin is what a person typed.
type ntlmLogin struct {
	user, domain, password string
}

var aliceLogin = ntlmLogin{"alice@contoso.test", "", "secret"}

// ntlmStart goes as far as the signed last message of the handshake.
func ntlmStart(s *site, p *peer, from uc.UserURI, l ntlmLogin, version int) (*lyncClient, *sip.Message, *ntlm.Session) {
	s.Helper()
	c := &lyncClient{scheme: "NTLM", target: fqdn, user: from, version: version}
	_, res, err := s.check(p, request("REGISTER", from, c.line("", []byte{})))
	if err != nil {
		s.Fatal(err)
	}
	ch := c.next(s.T, res)
	msg, session, err := ntlm.Client{User: l.user, Domain: l.domain, Workstation: "DESK", Hash: ntlm.NewHash(l.password), Key: ntlm.Key{1, 2, 3}}.Respond(ch)
	if err != nil {
		s.Fatal(err)
	}
	c.sign = func(text []byte) []byte { sig := session.Sign(text); return sig[:] }
	return c, c.seal(request("REGISTER", from, ""), msg), session
}

func ntlmSignIn(s *site) (*lyncClient, *ntlm.Session) {
	s.Helper()
	c, last, session := ntlmStart(s, s.peer, alice, aliceLogin, 4)
	s.accept(last, alice)
	return c, session
}

func TestNTLM(t *testing.T) {
	for _, tc := range []struct {
		name    string
		login   ntlmLogin
		version int
	}{
		{"address", aliceLogin, 4},
		{"domain", ntlmLogin{"alice", "CONTOSO", "secret"}, 4},
		{"old signed text", aliceLogin, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			if got := lines(s.challenge(request("REGISTER", alice, ""))); !slices.Contains(got, "NTLM") {
				t.Fatalf("offered %v", got)
			}
			c, last, session := ntlmStart(s, s.peer, alice, tc.login, tc.version)
			s.accept(last, alice)
			for _, method := range []string{"SUBSCRIBE", "ACK", "CANCEL", "REGISTER", "BYE"} {
				s.accept(c.seal(request(method, alice, ""), nil), alice)
			}
			checkSigned(t, s.peer, c, func(text, sig []byte) bool { return session.Verify(text, sig) })
		})
	}
}

// checkSigned checks our signatures on a response and on a request.
func checkSigned(t *testing.T, p *peer, c *lyncClient, verify func(text, sig []byte) bool) {
	t.Helper()
	out := sip.NewRequest("BENOTIFY", "sip:192.0.2.7:40718")
	for _, h := range [][2]string{{"From", "<sip:bob@contoso.test>;tag=1"}, {"To", "<" + string(c.user) + ">;tag=2;epid=abb2cb12b77f"}, {"Call-ID", "x"}, {"CSeq", "7 BENOTIFY"},
		{"Expires", "60"}, {"P-Asserted-Identity", "\"Bob\" <sip:bob@contoso.test>, <tel:+15550101>"}, {"Authentication-Info", "NTLM rspauth=\"of somebody else\""}} {
		out.Add(h[0], h[1])
	}
	ok := sip.NewResponse(request("SUBSCRIBE", c.user, ""), 200, "")
	last := ""
	for _, m := range []*sip.Message{ok, out} {
		p.Sign(m)
		if m.Count("Authentication-Info") != 1 {
			t.Fatalf("Authentication-Info %d times", m.Count("Authentication-Info"))
		}
		cred, seal, sig := readInfo(t, m.Get("Authentication-Info"))
		if cred.scheme.String() != c.scheme || cred.value[pOpaque] == "" || seal.Num == last || seal.Version != c.version {
			t.Errorf("Authentication-Info: %s", m.Get("Authentication-Info"))
		}
		last = seal.Num
		if !verify(AppendText(nil, seal, m), sig) {
			t.Errorf("our signature is wrong: %s", m.Get("Authentication-Info"))
		}
	}
	no := sip.NewResponse(request("REGISTER", c.user, ""), 401, "")
	if p.Sign(no); no.Get("Authentication-Info") != "" {
		t.Error("a 401 is signed")
	}
}

// TestTampered changes one thing of a good message at a time.
func TestTampered(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(m *sip.Message)
	}{
		{"method", func(m *sip.Message) { m.Method = "INVITE" }},
		{"From tag", func(m *sip.Message) { m.Set("From", strings.Replace(m.Get("From"), "tag=2", "tag=3", 1)) }},
		{"To URI", func(m *sip.Message) { m.Set("To", "<sip:carol@contoso.test>") }},
		{"To tag", func(m *sip.Message) { m.Set("To", m.Get("To")+";tag=1") }},
		{"Call-ID", func(m *sip.Message) { m.Set("Call-ID", "other") }},
		{"CSeq", func(m *sip.Message) { m.Set("CSeq", "2 SUBSCRIBE") }},
		{"Expires", func(m *sip.Message) { m.Add("Expires", "0") }},
		{"asserted identity", func(m *sip.Message) { m.Add("P-Asserted-Identity", "<sip:bob@contoso.test>") }},
		{"preferred identity", func(m *sip.Message) { m.Add("P-Preferred-Identity", "<tel:+1>") }},
		{"signature", edit(`response="0`, `response="1`)},
		{"short signature", edit(`response="01000000`, `response="`)},
		{"long signature", edit(`response="`, `response="`+strings.Repeat("00", 100))},
		{"not hexadecimal", edit(`response="01`, `response="zz`)},
		{"no signature", edit(`response=`, `respons=`)},
		{"cnum", edit(`cnum="2"`, `cnum="3"`)},
		{"no cnum", edit(`cnum="2"`, `cnum=""`)},
		{"crand", edit(`crand="c`, `crand="d`)},
		{"targetname", edit(fqdn, "fe2.contoso.test")},
		{"opaque", edit(`opaque="`, `opaque="0`)},
		{"scheme", edit(`NTLM`, `Kerberos`)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			c, _ := ntlmSignIn(s)
			m := c.seal(request("SUBSCRIBE", alice, ""), nil)
			tc.edit(m)
			if res := s.challenge(m); res.Status != 401 || strings.Contains(res.Get("WWW-Authenticate"), "gssapi-data") {
				t.Errorf("answer %v", res)
			}
			s.accept(c.seal(request("SUBSCRIBE", alice, ""), nil), alice)
		})
	}
}

func edit(old, new string) func(*sip.Message) {
	return func(m *sip.Message) {
		m.Set("Authorization", strings.Replace(m.Get("Authorization"), old, new, 1))
	}
}

func TestReplay(t *testing.T) {
	s := newSite(t)
	c, _ := ntlmSignIn(s)
	m := c.seal(request("SUBSCRIBE", alice, ""), nil)
	again := m.Clone()
	s.accept(m, alice)
	s.challenge(again)
	late := c.seal(request("SUBSCRIBE", alice, ""), nil)
	s.accept(c.seal(request("SUBSCRIBE", alice, ""), nil), alice)
	s.accept(late, alice) // overtaken, yet new
	old := c.seal(request("SUBSCRIBE", alice, ""), nil)
	for range 70 {
		s.accept(c.seal(request("SUBSCRIBE", alice, ""), nil), alice)
	}
	s.challenge(old)
}

func TestUnsigned(t *testing.T) {
	s := newSite(t)
	ntlmSignIn(s)
	if res := s.challenge(request("SUBSCRIBE", alice, "")); res.Status != 401 {
		t.Errorf("answer %d", res.Status)
	}
	s.refuse(request("ACK", alice, ""), fault.Unauthenticated)
	s.refuse(request("CANCEL", alice, ""), fault.Unauthenticated)
}

func TestWrongUser(t *testing.T) {
	s := newSite(t)
	_, last, _ := ntlmStart(s, s.peer, bob, aliceLogin, 4)
	if e := s.refuse(last, fault.Forbidden); e.Diag != 4004 {
		t.Errorf("diagnostics %d, want 4004", e.Diag)
	}
	c, _ := ntlmSignIn(s)
	if e := s.refuse(c.seal(request("SUBSCRIBE", bob, ""), nil), fault.Forbidden); e.Diag != 4004 {
		t.Errorf("diagnostics %d, want 4004", e.Diag)
	}
}

// TestSameRefusal compares the answers to those who may not sign in.
func TestSameRefusal(t *testing.T) {
	var first string
	for _, tc := range []struct {
		name  string
		login ntlmLogin
	}{
		{"wrong password", ntlmLogin{"alice@contoso.test", "", "wrong"}},
		{"unknown user", ntlmLogin{"nobody@contoso.test", "", "secret"}},
		{"no NT hash", ntlmLogin{"directory@contoso.test", "", "secret"}},
		{"disabled", aliceLogin},
	} {
		s := newSite(t)
		s.acc.byName["directory@contoso.test"] = Account{User: alice}
		if tc.name == "disabled" {
			s.acc.disable(alice)
		}
		_, last, _ := ntlmStart(s, s.peer, alice, tc.login, 4)
		res := s.challenge(last)
		for _, h := range []string{"WWW-Authenticate"} {
			for v := range res.All(h) {
				if strings.HasPrefix(v, "Digest") {
					t.Errorf("%s: %s", tc.name, v)
				}
			}
		}
		got := string(res.Append(nil))
		if first == "" {
			first = got
		}
		if got != first {
			t.Errorf("%s is told apart:\n%s\n%s", tc.name, got, first)
		}
		if len(s.auth.users) != 0 {
			t.Errorf("%s: listed as signed in", tc.name)
		}
	}
}

func TestTruncatedTokens(t *testing.T) {
	s := newSite(t)
	_, last, _ := ntlmStart(s, s.peer, alice, aliceLogin, 4)
	cred, _, err := parseCredentials(last.Get("Authorization"))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := cred.token(4096)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole); n += 13 {
		p := s.connect("192.0.2.9", true)
		c := &lyncClient{scheme: "NTLM", target: fqdn, version: 4, sign: func([]byte) []byte { return make([]byte, 16) }}
		_, res, err := s.check(p, request("REGISTER", alice, c.line("", []byte{})))
		if err != nil {
			if fault.Is(err, fault.Overload) {
				s.clock.advance(time.Hour)
				continue
			}
			t.Fatal(err)
		}
		c.next(t, res)
		user, _, err := s.check(p, c.seal(request("REGISTER", alice, ""), whole[:n]))
		if user != "" || err == nil && n > 64 {
			t.Errorf("%d bytes: user %q err %v", n, user, err)
		}
	}
}

func TestBadHeaders(t *testing.T) {
	for _, tc := range []struct {
		name, auth string
		kind       fault.Kind
	}{
		{"not a list", `NTLM realm`, fault.Invalid},
		{"open quote", `NTLM realm="x`, fault.Invalid},
		{"twice", `NTLM realm="x", realm="y"`, fault.Invalid},
		{"not base64", `NTLM realm="` + DefaultRealm + `", gssapi-data="*"`, fault.Invalid},
		{"too long", `NTLM realm="` + DefaultRealm + `", gssapi-data="` + strings.Repeat("AAAA", 5000) + `"`, fault.Invalid},
		{"first message not empty", `NTLM realm="` + DefaultRealm + `", gssapi-data="TlRMTVNTUAAB"`, fault.Invalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			s.refuse(request("REGISTER", alice, tc.auth), tc.kind)
			if len(s.peer.pending) != 0 {
				t.Error("a handshake is left over")
			}
		})
	}
}

func TestPendingIsBounded(t *testing.T) {
	s := newSite(t)
	for range 50 {
		c := &lyncClient{scheme: "NTLM", target: fqdn, version: 4}
		s.challenge(request("REGISTER", alice, c.line("", []byte{})))
	}
	if n := len(s.peer.pending); n != maxPending {
		t.Errorf("%d handshakes under way", n)
	}
}

func TestRenewal(t *testing.T) {
	s := newSite(t)
	c, _ := ntlmSignIn(s)
	note := sip.NewResponse(request("SUBSCRIBE", alice, ""), 200, "")
	s.challenge(request("REGISTER", alice, ""))
	if s.peer.Sign(note); note.Get("Authentication-Info") != "" {
		t.Error("signed although the client may hold other keys")
	}
	s.accept(c.seal(request("SUBSCRIBE", alice, ""), nil), alice)
	if s.peer.Sign(note); note.Get("Authentication-Info") == "" {
		t.Error("not signed although the client has shown which keys it holds")
	}
	c2, session := ntlmSignIn(s)
	checkSigned(t, s.peer, c2, func(text, sig []byte) bool { return session.Verify(text, sig) })
	s.challenge(c.seal(request("SUBSCRIBE", alice, ""), nil))
	if len(s.peer.live) != 1 {
		t.Errorf("%d associations", len(s.peer.live))
	}
}

func TestLifetime(t *testing.T) {
	s := newSite(t)
	c, _ := ntlmSignIn(s)
	s.clock.advance(8*time.Hour - time.Second)
	s.accept(c.seal(request("SUBSCRIBE", alice, ""), nil), alice)
	s.clock.advance(time.Second)
	s.challenge(c.seal(request("SUBSCRIBE", alice, ""), nil))
	_, last, _ := ntlmStart(s, s.peer, alice, aliceLogin, 4)
	s.clock.advance(maxAnswer + time.Second)
	s.challenge(last)
}

func TestDropUser(t *testing.T) {
	s := newSite(t)
	c, _ := ntlmSignIn(s)
	s.acc.disable(alice)
	if n := s.auth.DropUser(alice); n != 1 || len(s.closed) != 1 {
		t.Errorf("dropped %d, closed %v", n, s.closed)
	}
	s.challenge(c.seal(request("SUBSCRIBE", alice, ""), nil))
	if s.auth.DropUser(alice) != 0 || len(s.auth.users) != 0 {
		t.Error("still listed")
	}
}

func TestSeveralUsersOnOneConnection(t *testing.T) {
	s := newSite(t)
	a, _ := ntlmSignIn(s)
	b, last, session := ntlmStart(s, s.peer, bob, ntlmLogin{"bob@contoso.test", "", "secret"}, 4)
	s.accept(last, bob)
	checkSigned(t, s.peer, b, func(text, sig []byte) bool { return session.Verify(text, sig) })
	s.accept(a.seal(request("SUBSCRIBE", alice, ""), nil), alice)
	s.auth.DropUser(alice)
	if len(s.closed) != 0 {
		t.Error("the connection of the other user was closed")
	}
	s.accept(b.seal(request("SUBSCRIBE", bob, ""), nil), bob)
}

func TestEndOfConnection(t *testing.T) {
	s := newSite(t)
	_, last, _ := ntlmStart(s, s.peer, alice, aliceLogin, 4)
	s.peer.end()
	s.challenge(last)
	if len(s.auth.users) != 0 {
		t.Error("a gone connection is listed")
	}
}

func TestStoreDown(t *testing.T) {
	s := newSite(t)
	_, last, _ := ntlmStart(s, s.peer, alice, aliceLogin, 4)
	s.acc.down = true
	s.refuse(last, fault.Unavailable)
}

func TestBrakes(t *testing.T) {
	s := newSite(t)
	for range perDevice.free {
		_, last, _ := ntlmStart(s, s.peer, alice, ntlmLogin{"alice@contoso.test", "", "guess"}, 4)
		s.challenge(last)
	}
	c := &lyncClient{scheme: "NTLM", target: fqdn, version: 4}
	if e := s.refuse(request("REGISTER", alice, c.line("", []byte{})), fault.Overload); e.RetryAfter <= 0 {
		t.Error("no time to come back")
	}
	other := s.connect("192.0.2.8", true) // the same account from elsewhere is free
	_, last, _ := ntlmStart(s, other, alice, aliceLogin, 4)
	if user, _, err := s.check(other, last); user != alice {
		t.Errorf("elsewhere: %v", err)
	}
	s.clock.advance(perDevice.each)
	ntlmSignIn(s)
}
