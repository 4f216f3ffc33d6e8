package sipauth

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"trivet/fault"
	"trivet/uc"
	"trivet/wire/sip"
)

func digestHA1(alg, login, password string) string {
	for _, a := range digestAlgorithms {
		if a.name == alg {
			h := a.hash()
			fmt.Fprintf(h, "%s:%s:%s", login, DefaultRealm, password)
			return hex.EncodeToString(h.Sum(nil))
		}
	}
	return ""
}

// phone is a SIP client with Digest.
type phone struct {
	login, password, alg, nonce string
	count                       int
}

func phoneRequest(method string, from uc.UserURI) *sip.Message {
	m := request(method, from, "")
	m.Set("From", "<"+string(from)+">;tag=9")
	m.Add("Supported", "outbound, path")
	return m
}

func (ph *phone) sign(m *sip.Message) *sip.Message {
	ph.count++
	ha1 := digestHA1(ph.alg, ph.login, ph.password)
	v := &visit{m: m}
	v.cred.value = [params]string{pURI: m.RequestURI, pNonce: ph.nonce, pNC: fmt.Sprintf("%08x", ph.count), pCNonce: "abc", pQop: "auth"}
	var alg *digestAlgorithm
	for i := range digestAlgorithms {
		if digestAlgorithms[i].name == ph.alg {
			alg = &digestAlgorithms[i]
		}
	}
	name := "Authorization"
	if m.Method != "REGISTER" {
		name = "Proxy-Authorization"
	}
	m.Add(name, fmt.Sprintf(`Digest username="%s", realm="%s", nonce="%s", uri="%s", response="%s", algorithm=%s, qop=auth, nc=%s, cnonce="abc"`,
		ph.login, DefaultRealm, ph.nonce, m.RequestURI, v.digestResponse(alg, ha1), ph.alg, v.cred.value[pNC]))
	return m
}

// ask gets a nonce.
func (ph *phone) ask(s *site, m *sip.Message) *sip.Message {
	s.Helper()
	res := s.challenge(m)
	h := "WWW-Authenticate"
	if res.Status == 407 {
		h = "Proxy-Authenticate"
	}
	cred, ok, err := parseCredentials(res.Get(h))
	if err != nil || !ok {
		s.Fatalf("challenge %q: %v", res.Get(h), err)
	}
	ph.nonce, ph.count = cred.value[pNonce], 0
	return res
}

// TestKnownDigest is the example of RFC 7616 3.9.1, whose answers are for GET
// and another realm; it pins the formula.
func TestKnownDigest(t *testing.T) {
	for alg, want := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		v := &visit{m: &sip.Message{Method: "GET"}}
		v.cred.value = [params]string{pURI: "/dir/index.html", pNonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", pNC: "00000001",
			pCNonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", pQop: "auth"}
		for i := range digestAlgorithms {
			if a := &digestAlgorithms[i]; a.name == alg {
				h := a.hash()
				h.Write([]byte("Mufasa:http-auth@example.org:Circle of Life"))
				if got := string(v.digestResponse(a, hex.EncodeToString(h.Sum(nil)))); got != want {
					t.Errorf("%s: %s", alg, got)
				}
			}
		}
	}
}

func TestDigestOnStream(t *testing.T) {
	for _, alg := range []string{"SHA-256", "MD5"} {
		t.Run(alg, func(t *testing.T) {
			s := newSite(t)
			ph := &phone{login: "alice@contoso.test", password: "secret", alg: alg}
			if got := s.challenge(phoneRequest("INVITE", alice)); got.Status != 407 {
				t.Errorf("INVITE answered %d", got.Status)
			}
			res := ph.ask(s, phoneRequest("REGISTER", alice))
			if got := lines(res); res.Status != 401 || !slices.Equal(got, []string{"Digest", "Digest"}) || !strings.Contains(res.Get("WWW-Authenticate"), "SHA-256") {
				t.Errorf("%d %v", res.Status, got)
			}
			s.accept(ph.sign(phoneRequest("REGISTER", alice)), alice)
			for _, m := range []string{"INVITE", "ACK", "CANCEL", "MESSAGE"} {
				s.accept(phoneRequest(m, alice), alice)
			}
			s.challenge(phoneRequest("INVITE", bob))
			s.challenge(phoneRequest("REGISTER", alice))
			s.auth.DropUser(alice)
			s.challenge(phoneRequest("MESSAGE", alice))
		})
	}
}

func TestDigestOnUDP(t *testing.T) {
	s := newSite(t)
	s.peer = s.connect("192.0.2.20", false)
	ph := &phone{login: "alice", password: "secret", alg: "SHA-256"}
	ph.ask(s, phoneRequest("REGISTER", alice))
	s.accept(ph.sign(phoneRequest("REGISTER", alice)), alice)
	s.challenge(phoneRequest("MESSAGE", alice))
	m := ph.sign(phoneRequest("MESSAGE", alice))
	again := m.Clone()
	s.accept(m, alice)
	if res := s.challenge(again); !strings.Contains(res.Get("Proxy-Authenticate"), "stale=true") {
		t.Errorf("replay: %v", res)
	}
	s.accept(phoneRequest("ACK", alice), alice)
	s.accept(phoneRequest("CANCEL", alice), alice)
	s.refuse(phoneRequest("ACK", bob), fault.Unauthenticated)
}

func TestReplayedRegisterOpensNoFlow(t *testing.T) {
	s := newSite(t)
	ph := &phone{login: "alice", password: "secret", alg: "MD5"}
	ph.ask(s, phoneRequest("REGISTER", alice))
	m := ph.sign(phoneRequest("REGISTER", alice))
	again := m.Clone()
	s.accept(m, alice)
	s.peer = s.connect("192.0.2.66", true)
	s.challenge(again)
	s.challenge(phoneRequest("MESSAGE", alice))
	if len(s.peer.listed) != 0 {
		t.Error("listed as signed in")
	}
}

func TestDigestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name  string
		prep  func(s *site, ph *phone)
		edit  func(v string) string
		want  fault.Kind // Internal: a challenge
		stale bool
	}{
		{name: "wrong password", prep: func(_ *site, ph *phone) { ph.password = "guess" }},
		{name: "unknown user", prep: func(_ *site, ph *phone) { ph.login = "nobody" }},
		{name: "disabled", prep: func(s *site, _ *phone) { s.acc.disable(alice) }},
		{name: "MD5 switched off", prep: func(s *site, ph *phone) { ph.alg = "MD5"; s.policy.DigestMD5 = false }},
		{name: "Digest switched off", prep: func(s *site, _ *phone) { s.policy.UseDigest = false }},
		{name: "old nonce", prep: func(s *site, _ *phone) { s.clock.advance(nonceLife + time.Second) }, stale: true},
		{name: "made-up nonce", prep: func(_ *site, ph *phone) { ph.nonce = strings.Repeat("A", 43) }, stale: true},
		{name: "other user", prep: func(_ *site, ph *phone) { ph.login = "bob" }, want: fault.Forbidden},
		{name: "no qop", edit: func(v string) string { return strings.Replace(v, "qop=auth", "qop=", 1) }, want: fault.Invalid},
		{name: "no cnonce", edit: func(v string) string { return strings.Replace(v, "cnonce=", "cn=", 1) }, want: fault.Invalid},
		{name: "short count", edit: func(v string) string { return strings.Replace(v, "nc=0000", "nc=", 1) }, want: fault.Invalid},
		{name: "other realm", edit: func(v string) string { return strings.Replace(v, DefaultRealm, "elsewhere", 1) }},
		{name: "session algorithm", edit: func(v string) string { return strings.Replace(v, "SHA-256", "SHA-256-sess", 1) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newSite(t)
			ph := &phone{login: "alice", password: "secret", alg: "SHA-256"}
			ph.ask(s, phoneRequest("REGISTER", alice))
			if tc.prep != nil {
				tc.prep(s, ph)
			}
			m := ph.sign(phoneRequest("REGISTER", alice))
			if tc.edit != nil {
				m.Set("Authorization", tc.edit(m.Get("Authorization")))
			}
			if tc.want != fault.Internal {
				s.refuse(m, tc.want)
				return
			}
			res := s.challenge(m)
			if got := strings.Contains(res.Get("WWW-Authenticate"), "stale"); got != tc.stale {
				t.Errorf("stale=%v: %s", got, res.Get("WWW-Authenticate"))
			}
			s.challenge(phoneRequest("MESSAGE", alice))
		})
	}
}

func TestNonceTableIsBounded(t *testing.T) {
	now := time.Now()
	n := newNonces(randomBytes(32))
	addr := netip.MustParseAddr("192.0.2.1")
	take := func(nonce string, now time.Time) bool {
		b, ours := n.parse(nonce, addr)
		return ours && n.take(b, 1, now)
	}
	first := n.make(addr, now)
	for range maxNonces {
		if !take(n.make(addr, now), now) {
			t.Fatal("a fresh nonce was refused")
		}
	}
	if take(first, now) || len(n.used) > maxNonces {
		t.Error("the table grows without bound")
	}
	later := now.Add(time.Second)
	if !take(n.make(addr, later), later) {
		t.Error("a new nonce was refused after the sweep")
	}
	if take(n.make(netip.MustParseAddr("192.0.2.2"), later), later) {
		t.Error("the nonce of another address was accepted")
	}
}

// TestForgedSource sends guesses over UDP with the address of somebody else.
func TestForgedSource(t *testing.T) {
	s := newSite(t)
	s.peer = s.connect("192.0.2.66", false)
	ph := &phone{login: "alice", password: "guess", alg: "SHA-256"}
	ph.ask(s, phoneRequest("REGISTER", alice))
	s.peer = s.connect("192.0.2.20", false)
	for range perAddress.free + perDevice.free {
		s.challenge(ph.sign(phoneRequest("REGISTER", alice)))
	}
	ph.password = "secret"
	ph.ask(s, phoneRequest("REGISTER", alice))
	s.accept(ph.sign(phoneRequest("REGISTER", alice)), alice)
}
