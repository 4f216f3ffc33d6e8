package registrar

import (
	"strconv"
	"testing"
	"time"

	"trivet/rule/groupstate"
	"trivet/test/sipagent"
	"trivet/uc"
)

// tied counts the endpoints that are noted for the connections of a user's
// bindings and for the one numbered conn.
func (s *server) tied(conn uint64) int {
	c := s.r.cfg.Link.Conn(conn)
	if c == nil {
		return 0
	}
	held, _ := c.Value(tiesKey{}).(*ties)
	if held == nil {
		return 0
	}
	held.mu.Lock()
	defer held.mu.Unlock()
	return len(held.set)
}

func TestTiesEndWithTheBindings(t *testing.T) {
	brief := []string{"Contact: <sip:bob@192.0.2.1>, <sip:bob@192.0.2.2>", "Expires: 60"}
	for name, end := range map[string]func(s *server, c client){
		"one by one": func(_ *server, c client) {
			sipagent.Status(t, c.ask("REGISTER sip:example.test", standard(bob, brief[0], "Expires: 0")...), 200)
		},
		"all": func(_ *server, c client) {
			sipagent.Status(t, c.ask("REGISTER sip:example.test", standard(bob, "Contact: *", "Expires: 0")...), 200)
		},
		"by time": func(s *server, _ client) { s.clock.forward(61 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			c := s.dial()
			sipagent.Status(t, c.ask("REGISTER sip:example.test", standard(bob, brief...)...), 200)
			sipagent.Status(t, c.ask("REGISTER sip:example.test", standard(bob, brief...)...), 200)
			conn := s.r.Locate(bob)[0].Flow.Conn
			if n := s.tied(conn); n != 2 {
				t.Fatalf("%d endpoints are tied to the connection, want 2", n)
			}
			end(s, c)
			sipagent.Await(s.t, "the release", func() bool { return s.tied(conn) == 0 })
		})
	}
}

func TestTiesMoveWithTheEndpoint(t *testing.T) {
	s := start(t, nil)
	old, young := s.dial(), s.dial()
	sipagent.Status(t, old.ask("REGISTER sip:example.test", standard(bob, "Contact: <sip:bob@192.0.2.1>")...), 200)
	sipagent.Status(t, old.ask("REGISTER sip:example.test", standard(alice, "Contact: <sip:alice@192.0.2.1>")...), 200)
	conn := s.r.Locate(bob)[0].Flow.Conn
	young.Seq = 10
	sipagent.Status(t, young.ask("REGISTER sip:example.test", standard(bob, "Contact: <sip:bob@192.0.2.1>")...), 200)
	if n := s.tied(conn); n != 1 {
		t.Errorf("%d endpoints are tied to the former connection, want the one that stayed", n)
	}
	if n := s.tied(s.r.Locate(bob)[0].Flow.Conn); n != 1 {
		t.Errorf("%d endpoints are tied to the new connection, want 1", n)
	}
}

func TestBindingOverAConnectionThatHasGone(t *testing.T) {
	s := start(t, nil)
	bind := func(transport string) {
		t.Helper()
		_, err := s.g.Propose(t.Context(), &groupstate.Bind{User: alice, Now: s.clock.Now().UnixMilli(), Max: 8, CallID: transport, CSeq: 1,
			Flow:     groupstate.Flow{Server: "fe1.example.test", Epoch: 7, Conn: 999, Transport: transport},
			Contacts: []groupstate.BindContact{{Endpoint: uc.EndpointID(transport), Contact: "sip:x", Lifetime: 3_600_000}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	bind("udp")
	bind("tls")
	sipagent.Await(s.t, "the detachment", func() bool { at := s.r.Locate(alice); return len(at) == 2 && at[1].Detached })
	if s.r.Locate(alice)[0].Detached {
		t.Error("a UDP endpoint was detached")
	}
}

func TestOneConnectionCarriesSoManyEndpoints(t *testing.T) {
	s := start(t, nil)
	c := s.dial()
	sipagent.Status(t, c.ask("REGISTER sip:example.test", standard(bob, "Contact: <sip:bob@192.0.2.1>")...), 200)
	held := s.r.ties(s.r.cfg.Link.Conn(s.r.Locate(bob)[0].Flow.Conn))
	held.mu.Lock()
	for i := range maxTies - 1 {
		held.set[tie{alice, uc.EndpointID(strconv.Itoa(i))}] = struct{}{}
	}
	held.mu.Unlock()
	sipagent.Status(t, c.ask("REGISTER sip:example.test", standard(bob, "Contact: <sip:bob@192.0.2.1>")...), 200)
	sipagent.Status(t, c.ask("REGISTER sip:example.test", standard(bob, "Contact: <sip:bob@192.0.2.2>")...), 403)
	held.mu.Lock()
	clear(held.set)
	held.mu.Unlock()
	sipagent.Status(t, c.ask("REGISTER sip:example.test", standard(bob, "Contact: <sip:bob@192.0.2.2>")...), 200)
}
