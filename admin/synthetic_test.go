package admin_test

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

	"trivet/admin/client"
	"trivet/test/sipstub"
	"trivet/uc"
)

func TestSyntheticTransactions(t *testing.T) {
	stub := sipstub.Start(t, map[uc.UserURI]string{"sip:alice@example.test": "correct", "sip:bob@example.test": "horse"}, nil)
	s := &site{T: t, data: t.TempDir()}
	to := []string{"-TargetUri", "sip:" + stub.Addr + ";transport=tcp"}
	people := map[string][]string{
		"Test-CsRegistration": {"-UserSipAddress", "alice@example.test", "-UserCredential", "correct"},
		"Test-CsPresence": {"-PublisherSipAddress", "alice@example.test", "-PublisherCredential", "alice@example.test:correct",
			"-SubscriberSipAddress", "bob@example.test", "-SubscriberCredential", "horse"},
		"Test-CsIM": {"-SenderSipAddress", "alice@example.test", "-SenderCredential", "correct", "-ReceiverSipAddress", "sip:bob@example.test", "-ReceiverCredential", "-"},
	}
	for name, args := range people {
		for _, scheme := range []string{"Auto", "Ntlm", "Digest"} {
			row, errs, status := s.synthetic("horse\n", name, append(append(to, args...), "-Authentication", scheme)...)
			if status != client.Done || row.Result != "Success" || row.Error != "" || !strings.HasPrefix(row.Latency, "00:00:0") || row.TargetUri != to[1] {
				t.Errorf("%s %s: %d %+v %s", name, scheme, status, row, errs)
			}
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	ln.Close()
	for _, c := range []struct{ target, who, password, says string }{
		{to[1], "alice@example.test", "wrong", "401"}, {to[1], "nobody@example.test", "wrong", "401"}, {nobody, "alice@example.test", "x", "no connection to " + nobody},
	} {
		row, _, status := s.synthetic("", "Test-CsRegistration", "-TargetUri", c.target, "-UserSipAddress", c.who, "-UserCredential", c.password)
		if status != client.Failed || row.Result != "Failure" || !strings.Contains(row.Error, c.says) || row.Diagnosis == "" {
			t.Errorf("%s at %s: %d %+v", c.who, c.target, status, row)
		}
	}
	for _, args := range [][]string{
		{"-UserSipAddress", "alice"}, {}, {"-UserSipAddress", "alice@example.test"}, {"-UserSipAddress", "a@b.c", "-UserCredential", "x", "-TargetUri", "sip:h;transport=udp"},
	} {
		if out, errs, status := s.shell("", append([]string{"Test-CsRegistration"}, args...)...); status != client.WrongUse || out != "" {
			t.Errorf("%v: %d %s %s", args, status, out, errs)
		}
	}
}

type result struct{ TargetFqdn, TargetUri, Result, Latency, Error, Diagnosis string }

// synthetic runs one synthetic transaction that gives a row.
func (s *site) synthetic(in, name string, args ...string) (result, string, int) {
	s.Helper()
	out, errs, status := s.shell(in, append([]string{name}, args...)...)
	var rows []result
	if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) != 1 {
		s.Fatalf("%s %v: %v\n%s%s", name, args, err, out, errs)
	}
	return rows[0], errs, status
}
