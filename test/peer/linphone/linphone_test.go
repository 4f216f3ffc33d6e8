package linphone

import (
	"slices"
	"testing"

	"trivet/test/peer/stub"
)

func TestRegisters(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := stub.Start(t)
			s.Password = "secret"
			p := Start(t, Account{User: "alice", Domain: "example.test", Password: "secret", Server: s.Addr, Transport: transport}).Registered(t)
			if got := p.Algorithms(); !slices.Equal(got, []string{"MD5"}) {
				t.Errorf("credentials with %v, want MD5: the stub offers nothing else", got)
			}
			p.Unregister(t)
		})
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := stub.Start(t)
	s.Password = "secret"
	Start(t, Account{User: "alice", Domain: "example.test", Password: "wrong", Server: s.Addr, Transport: "tcp"}).Refused(t)
}
