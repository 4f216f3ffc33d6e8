package registrar

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trivet/rule/groupstate"
	"trivet/test/sipagent"
	"trivet/uc"
)

const other = uc.ServerFQDN("fe2.example.test")

// elsewhere has a contact of bob registered over another server.
func (s *server) elsewhere(endpoint uc.EndpointID, epoch uint64, transport string) {
	s.t.Helper()
	_, err := result[groupstate.BindResult](s.g.Propose(s.t.Context(), &groupstate.Bind{
		User: bob, Now: s.clock.Now().UnixMilli(), Max: 8, CallID: string(endpoint), CSeq: uint32(epoch),
		Flow:     groupstate.Flow{Server: other, Epoch: epoch, Conn: 3, Transport: transport},
		Contacts: []groupstate.BindContact{{Endpoint: endpoint, Contact: "sip:bob@192.0.2.9", Lifetime: 3600_000}},
	}))
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestSignInsOfLyncClientsAreRedirected(t *testing.T) {
	at := other
	s := start(t, func(c *Config) {
		c.Contact = "sip:fe1.example.test:5061;transport=TLS"
		c.Preferred = func(uc.UserURI) (uc.ServerFQDN, string, bool) {
			return at, "sip:" + string(at) + ":5061;transport=TLS", at != ""
		}
	})
	c := s.dial()
	res := sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e1")...), 301)
	want := []string{"<sip:fe2.example.test:5061;transport=TLS>;q=0.7", "<sip:fe1.example.test:5061;transport=TLS>;q=0.3"}
	if got := slices.Collect(res.All("Contact")); !slices.Equal(got, want) {
		t.Errorf("Contact %q, want %q", got, want)
	}
	if len(s.r.Locate(alice)) != 0 {
		t.Error("a client that is sent elsewhere is registered")
	}
	sipagent.Status(t, c.ask("REGISTER sip:example.test", standard(bob, "Contact: <sip:bob@192.0.2.1>")...), 200)
	at = "" // nobody leads
	sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e1")...), 200)
	at = other // the primary moves: who is signed in stays
	sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e1")...), 200)
	sipagent.Status(t, s.dial().ask("REGISTER sip:example.test", lync("e2")...), 301)
	at = "fe1.example.test"
	sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e3")...), 200)
}

// A server that is being stopped keeps who is there, and takes nobody new.
func TestNobodySignsInWhileDraining(t *testing.T) {
	var draining atomic.Bool
	s := start(t, func(c *Config) { c.Draining = draining.Load })
	c := s.dial()
	bobs := standard(bob, "Contact: <sip:bob@192.0.2.1>")
	sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e1")...), 200)
	sipagent.Status(t, c.ask("REGISTER sip:example.test", bobs...), 200)
	draining.Store(true)
	sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e1")...), 200) // refreshes
	sipagent.Status(t, c.ask("REGISTER sip:example.test", bobs...), 200)
	for name, headers := range map[string][]string{"a Lync client": lync("e2"), "a phone": standard(bob, "Contact: <sip:bob@192.0.2.7>")} {
		res := c.ask("REGISTER sip:example.test", headers...)
		if res.Status != 503 || res.Get("Retry-After") == "" || !strings.Contains(res.Get("ms-diagnostics"), "being stopped") {
			t.Errorf("%s that comes gets %d %q", name, res.Status, res.Get("ms-diagnostics"))
		}
	}
	sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e1", "Expires: 0")...), 200) // signs out
	if len(s.r.Locate(alice)) != 0 {
		t.Error("who signed out is still there")
	}
	sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e1")...), 503)
	draining.Store(false)
	sipagent.Status(t, c.ask("REGISTER sip:example.test", lync("e1")...), 200)
}

func TestOnlyThePrimarySweeps(t *testing.T) {
	s := start(t, nil)
	s.elsewhere("phone", 4, "tls")
	s.g.lead(false)
	s.clock.forward(2 * time.Hour)
	s.clock.forward(time.Second) // the sweeper has taken the tick before, at the latest now
	if len(s.r.Locate(bob)) != 1 {
		t.Fatal("a server swept a group that it does not lead")
	}
	s.g.lead(true)
	sipagent.Await(t, "the sweep", func() bool {
		s.clock.forward(time.Second)
		return len(s.r.Locate(bob)) == 0
	})
}

func TestServerLost(t *testing.T) {
	s := start(t, nil)
	s.elsewhere("old", 4, "tls")
	s.elsewhere("new", 5, "tls")
	s.elsewhere("udp", 5, "udp")
	detached := func() (n int) {
		for _, b := range s.r.Locate(bob) {
			if b.Detached {
				n++
			}
		}
		return n
	}
	s.g.lead(false)
	if err := s.r.ServerLost(t.Context(), other); err != nil || detached() != 0 {
		t.Fatalf("a server that does not lead detached %d endpoints, %v", detached(), err)
	}
	s.g.lead(true)
	if err := s.r.ServerLost(t.Context(), "fe3.example.test"); err != nil || detached() != 0 {
		t.Fatalf("the death of another server detached %d endpoints, %v", detached(), err)
	}
	if err := s.r.ServerLost(t.Context(), other); err != nil || detached() != 2 {
		t.Fatalf("%d endpoints are detached, want both over connections; %v", detached(), err)
	}
	s.elsewhere("new", 6, "tls") // back over the next run of the server
	if err := s.r.restarted(t.Context(), s.g, other, 6); err != nil || detached() != 1 {
		t.Fatalf("%d endpoints are detached, want one; %v", detached(), err)
	}
	s.clock.forward(20 * time.Second)
	sipagent.Await(t, "the end of grace", func() bool {
		s.clock.forward(time.Second)
		return len(s.r.Locate(bob)) == 2
	})
}

func TestEndpointGoesToAnotherServer(t *testing.T) {
	s := start(t, nil)
	c := s.dial()
	sipagent.Status(t, c.ask("REGISTER sip:example.test", standard(bob, "Contact: <sip:bob@192.0.2.1>;+sip.instance=\"<urn:uuid:1>\"")...), 200)
	s.elsewhere(s.r.Locate(bob)[0].Endpoint, 4, "tls")
	if _, err := c.Next(); err == nil {
		t.Error("the former connection of the endpoint stays open")
	}
	if at := s.r.Locate(bob); len(at) != 1 || at[0].Flow.Server != other || at[0].Detached {
		t.Errorf("located: %+v", at)
	}
}
