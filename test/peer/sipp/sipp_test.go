package sipp

import (
	"slices"
	"testing"

	"trivet/test/peer/stub"
)

func account(user, transport string, s *stub.Server) Account {
	return Account{User: user, Domain: "example.test", Password: "secret", Server: s.Addr, Transport: transport}
}

func TestRegistersAndTalks(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := stub.Start(t)
			s.Password = "secret"
			if err := Register(t, account("alice", transport, s)); err != nil {
				t.Fatalf("alice does not register: %v", err)
			}
			bob := Listen(t, account("bob", transport, s))
			if err := Send(t, account("alice", transport, s), "bob@example.test", "Grüße 👋 ", 20); err != nil {
				t.Fatalf("alice does not send: %v", err)
			}
			bob.Received(t, "alice@example.test", Numbered("Grüße 👋 ", 20))
			var want []string
			for i := range 20 {
				want = append(want, Numbered("Grüße 👋 ", i+1))
			}
			if got := bob.Texts(); !slices.Equal(got, want) {
				t.Errorf("bob got %q, want %q", got, want)
			}
		})
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := stub.Start(t)
	s.Password = "another"
	if Register(t, account("alice", "tcp", s)) == nil {
		t.Error("alice registers with a wrong password")
	}
}
