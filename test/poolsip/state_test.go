package poolsip

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"trivet/rule/groupstate"
	"trivet/service/contacts"
	"trivet/test/sipagent"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

const pidfBusy = `<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:who@example.test"><tuple id="1"><status><basic>open</basic></status><note>NOTE</note></tuple></presence>`

func TestPresenceBothWays(t *testing.T) {
	p := start(t)
	a, b := p.servers[0].phone(alice), p.servers[1].phone(bob)
	for _, pair := range []struct{ by, of *guest }{{a, b}, {b, a}} {
		res, _ := pair.by.do("SUBSCRIBE", string(pair.of.user), call{}, "Event: presence", "Expires: 600", "Accept: application/pidf+xml")
		sipagent.Status(t, res, 200)
		pair.by.gets("NOTIFY", "presence")
		res, _ = pair.of.do("PUBLISH", string(pair.of.user), call{}, "Event: presence", "Expires: 600", "Content-Type: application/pidf+xml", "", pidfBusy)
		sipagent.Status(t, res, 200)
		pair.by.gets("NOTIFY", "NOTE")
		pair.by.silent("NOTIFY") // one server tells, once
		pair.of.silent("NOTIFY")
	}
}

// TestContactsOnTwoServers has a contact added that two endpoints of the user see, each
// told by its own server, and that asks bob once.
func TestContactsOnTwoServers(t *testing.T) {
	p := start(t)
	one, two := p.servers[0].lync(alice, "a1"), p.servers[2].lync(alice, "a2")
	for _, g := range []*guest{one, two} {
		res, _ := g.do("SUBSCRIBE", string(alice), call{}, "Event: "+contacts.Event, "Supported: ms-benotify, ms-piggyback-first-notify")
		sipagent.Status(t, res, 200)
	}
	op := presdoc.ContactOp{Verb: presdoc.SetContact, URI: string(bob), Groups: []uint32{1}, Subscribed: true, DeltaNum: 1}
	res, _ := two.do("SERVICE", string(alice), call{}, "Content-Type: application/SOAP+xml", "", string(op.Append(nil)))
	sipagent.Status(t, res, 200)
	for _, g := range []*guest{one, two} {
		g.gets("BENOTIFY", string(bob))
		g.silent("BENOTIFY")
	}
	for _, s := range p.servers {
		s.Read(t.Context(), bob, func(st *groupstate.State) {
			if asked := st.User(bob).Subscribers(); len(asked) != 1 || asked[0].User != alice {
				t.Errorf("%s: bob is asked about %+v", s.name, asked)
			}
		})
	}
}

func TestRedirectToThePrimary(t *testing.T) {
	p := start(t)
	g := p.servers[1].dial(alice, "a1")
	res := sipagent.Status(t, g.register(), 301)
	if got, want := res.Get("Contact"), "<sip:fe1.example.test:5061;transport=TLS>;q=0.7"; got != want {
		t.Errorf("Contact %s, want %s", got, want)
	}
	sipagent.Status(t, p.servers[0].dial(alice, "a1").register(), 200)
	sipagent.Status(t, p.servers[1].dial(alice, "").register(), 200)
}

// TestServerDies has the primary detach what a dead server held; the client comes back
// to another server.
func TestServerDies(t *testing.T) {
	p := start(t)
	p.servers[1].phone(alice)
	for _, s := range p.servers {
		if s.name == fe2 {
			continue
		}
		if err := s.registrar.ServerLost(t.Context(), fe2); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range p.servers {
		if at := s.registrar.Locate(alice); len(at) != 1 || !at[0].Detached {
			t.Errorf("%s: %+v", s.name, at)
		}
	}
}

// TestWhoIsBelieved sends requests as each kind of caller: a client, a server, and
// somebody with a certificate that is no server's.
func TestWhoIsBelieved(t *testing.T) {
	p := start(t)
	b := p.servers[0].phone(bob)
	said := "P-Asserted-Identity: <" + string(alice) + ">"
	for _, tc := range []struct {
		name, method, uri string
		headers           []string
		body              string
		server            int // the status that a server of ours gets
	}{
		{"page", "MESSAGE", string(bob), []string{text, said}, "hello", 200},
		{"page of nobody", "MESSAGE", string(bob), []string{text}, "nobody", 403},
		{"page of a stranger", "MESSAGE", string(bob), []string{text, "P-Asserted-Identity: tel:+1"}, "nobody", 403},
		{"sign-in", "REGISTER", "sip:example.test", []string{said, "Contact: <sip:alice@192.0.2.1>"}, "", 403},
		{"publication", "PUBLISH", string(alice), []string{said, "Event: presence", "Content-Type: application/pidf+xml"}, pidfBusy, 403},
		{"own contacts", "SUBSCRIBE", string(alice), []string{said, "Event: " + contacts.Event}, "", 403},
		{"a watch", "SUBSCRIBE", string(bob), []string{said, "Event: presence"}, "", 403},
		{"factory", "SERVICE", string(alice) + ";gruu;opaque=app:conf:focusfactory", []string{said, "Content-Type: application/cccp+xml"}, "", 400},
		{"options", "OPTIONS", "sip:example.test", []string{said}, "", 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := p.servers[1].peers.Conn(fe1)
			if err != nil {
				t.Fatal(err)
			}
			answer := make(chan *sip.Message, 1)
			m := p.servers[1].request(tc.method, tc.uri, tc.headers, tc.body)
			p.servers[1].Layer.Request(c, m, func(res *sip.Message, err error) {
				if err != nil {
					t.Error(err)
				}
				if res == nil || res.Status >= 200 {
					answer <- res
				}
			})
			if res := <-answer; res != nil {
				sipagent.Status(t, res, tc.server)
			}
		})
	}
	b.gets("MESSAGE", "hello")
	b.silent("MESSAGE")
	mallory := p.servers[0].phone(carol)
	res, _ := mallory.do("MESSAGE", string(bob), call{}, text, said, "", "as carol")
	sipagent.Status(t, res, 200)
	if m := b.gets("MESSAGE", "as carol"); m.Get("P-Asserted-Identity") != "" {
		t.Errorf("%s", m)
	}
}

// request is one of the server itself.
func (s *server) request(method, uri string, headers []string, body string) *sip.Message {
	m := sip.NewRequest(method, uri)
	for _, h := range append([]string{"From: <sip:" + string(s.name) + ">;tag=1", "To: <" + uri + ">", "Call-ID: " + method + uri, "CSeq: 1 " + method, "Max-Forwards: 70"}, headers...) {
		name, value, _ := strings.Cut(h, ": ")
		m.Add(name, value)
	}
	m.Body = []byte(body)
	return m
}

// TestCertificatesOfOthers has connections opened with other certificates, or none, by
// TLS 1.2 and 1.3: they are served as anybody is, and pass nothing with a flow token.
func TestCertificatesOfOthers(t *testing.T) {
	p := start(t)
	b := p.servers[0].phone(bob)
	_, route := p.servers[1].peers.Way(&p.servers[0].registrar.Locate(bob)[0].Flow)
	ours, theirs := p.authority, newAuthority(t)
	for name, tc := range map[string]struct {
		certs  []tls.Certificate
		server bool
	}{
		"none":                    {},
		"a server":                {[]tls.Certificate{ours.issue(t, string(fe2), x509.ExtKeyUsageServerAuth)}, true},
		"a user":                  {[]tls.Certificate{ours.issue(t, string(fe2), x509.ExtKeyUsageClientAuth)}, false},
		"a server of another":     {[]tls.Certificate{theirs.issue(t, string(fe2), x509.ExtKeyUsageServerAuth)}, false},
		"a server of no topology": {[]tls.Certificate{ours.issue(t, "fe9.example.test", x509.ExtKeyUsageServerAuth)}, false},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			conf := &tls.Config{RootCAs: ours.roots(), ServerName: string(fe1), Certificates: tc.certs, MinVersion: version, MaxVersion: version}
			c, err := p.servers[1].Layer.Dial(t.Context(), "tls", p.servers[0].Addr["tls"], conf)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			answer := make(chan *sip.Message, 1)
			m := p.servers[1].request("NOTIFY", "sip:nobody@example.test", []string{"Route: " + route}, name)
			m.Set("From", "<"+string(carol)+">;tag=1")
			p.servers[1].Layer.Request(c, m, func(res *sip.Message, err error) {
				if err != nil || res.Status >= 200 {
					answer <- res
				}
			})
			if res := <-answer; res == nil || (res.Status == 200) != tc.server {
				t.Errorf("%s: %v", name, res)
			}
			c.Close("the test is over")
		}
	}
	b.gets("NOTIFY", "a server")
	b.gets("NOTIFY", "a server")
	b.silent("NOTIFY")
}

// TestStateThatComesAsAWhole has a server miss all events until its copies come as
// snapshots: it knows then what it would have learned.
func TestStateThatComesAsAWhole(t *testing.T) {
	p := start(t)
	a, b := p.servers[0].phone(alice), p.servers[1].phone(bob)
	watched, _ := b.do("SUBSCRIBE", string(alice), call{}, "Event: presence", "Expires: 600", "Accept: application/pidf+xml")
	sipagent.Status(t, watched, 200)
	b.gets("NOTIFY", "presence")
	p.deafen(p.servers[1], true)
	c := p.servers[2].phone(carol)
	res, _ := c.do("SUBSCRIBE", string(alice), call{}, "Event: presence", "Expires: 600", "Accept: application/pidf+xml")
	sipagent.Status(t, res, 200)
	res, _ = a.do("PUBLISH", string(alice), call{}, "Event: presence", "Expires: 600", "Content-Type: application/pidf+xml", "", pidfBusy)
	sipagent.Status(t, res, 200)
	res, _ = b.do("MESSAGE", string(carol), call{}, text, "", "not yet")
	sipagent.Status(t, res, 480)
	b.silent("NOTIFY")
	p.deafen(p.servers[1], false)
	b.gets("NOTIFY", "NOTE")
	res, _ = b.do("MESSAGE", string(carol), call{}, text, "", "found")
	sipagent.Status(t, res, 200)
	c.gets("MESSAGE", "found")
}
