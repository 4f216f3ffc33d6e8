package baresip

import (
	"testing"

	"trivet/test/peer/stub"
)

func TestRegistersAndTalks(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := stub.Start(t)
			s.Password = "secret"
			account := Account{Domain: "example.test", Password: "secret", Server: s.Addr, Transport: transport}
			a, b := account, account
			a.User, a.Contacts = "alice", []string{"nobody@example.test", "bob@example.test"}
			b.User, b.Contacts = "bob", []string{"alice@example.test"}
			alice, bob := Start(t, a).Registered(t), Start(t, b).Registered(t)
			alice.Send(t, "bob@example.test", `Grüße <&> "so" 👋`)
			bob.Received(t, "alice@example.test", `Grüße <&> "so" 👋`)
			bob.Send(t, "alice@example.test", "back")
			alice.Received(t, "bob@example.test", "back")
			alice.Send(t, "nobody@example.test", "hello")
			if got := alice.NotSent(t); got != "480 Temporarily Unavailable" {
				t.Errorf("message to nobody: %q, want 480", got)
			}
			bob.Stop(t)
		})
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := stub.Start(t)
	s.Password = "secret"
	p := Start(t, Account{User: "alice", Domain: "example.test", Password: "wrong", Server: s.Addr, Transport: "tcp"})
	p.Refused(t)
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s := stub.Start(t)
	addr, ca := s.TLS(t)
	account := Account{User: "alice", Domain: "example.test", Password: "secret", Server: addr, Transport: "tls", CA: ca}
	Start(t, account).Registered(t)
}
