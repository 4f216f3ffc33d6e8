package pidgin

import (
	"slices"
	"strings"
	"testing"

	"trivet/test/peer/stub"
)

func TestRefusedConnection(t *testing.T) {
	t.Parallel()
	c := Start(t, Account{SignIn: "alice@example.test", Password: "x", Server: "fe.example.test:5061",
		Names: map[string]string{"fe.example.test": "127.0.0.1"}, Routes: map[string]string{"127.0.0.1:5061": "127.0.0.1:1"}})
	for range 2 { // and it can try again
		c.Connect(t)
		if e := c.ConnectionError(t); e["reason"] != "network-error" || e["fatal"] != "no" {
			t.Errorf("got %s, want a network error that is not fatal", e)
		}
	}
	c.Quit(t)
}

func TestUnknownNamesStayUnknown(t *testing.T) {
	t.Parallel()
	c := Start(t, Account{SignIn: "alice@example.test", Password: "x"})
	c.Connect(t)
	c.ConnectionError(t)
	if log := c.DebugLog(); !strings.Contains(log, "LyncDiscoverInternal.example.test") || !strings.Contains(log, "_sipinternaltls") {
		t.Error("the client did not look for autodiscover and SRV names")
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	s := stub.Start(t)
	addr, ca := s.TLS(t)
	account := Account{SignIn: "alice@example.test", Password: "x", Transport: "tls", Server: stub.Host + ":5061",
		Names: map[string]string{stub.Host: "127.0.0.1"}, Routes: map[string]string{"127.0.0.1:5061": addr}}

	distrustful := Start(t, account)
	distrustful.Connect(t)
	distrustful.ConnectionError(t)

	account.CA = ca
	trusting := Start(t, account).SignOn(t)
	trusting.Refute(t, "question", Is("request"))

	account.CA, account.TrustAny = "", true
	careless := Start(t, account).SignOn(t)
	careless.AwaitEvent(t, "request", "title", "SSL Certificate Verification")
}

// friends are two clients of one stub that have each other as contacts.
func friends(t *testing.T) (alice, bob *Client, s *stub.Server) {
	s = stub.Start(t)
	for _, c := range []struct {
		to  **Client
		who string
	}{{&alice, "alice"}, {&bob, "bob"}} {
		*c.to = Start(t, Account{SignIn: c.who + "@example.test", Password: "x", Transport: "tcp", Server: s.Addr, Machine: c.who + "-pc"})
		(*c.to).Connect(t)
	}
	alice.SignedOn(t)
	bob.SignedOn(t)
	return alice, bob, s
}

func TestMessagesAndTyping(t *testing.T) {
	t.Parallel()
	alice, bob, _ := friends(t)
	const text = "Grüße <b>&amp; \"so\" 你好 שלום 👋🏽\nzweite Zeile"
	alice.Send(t, "sip:bob@example.test", text)
	bob.Received(t, "sip:alice@example.test", text)
	bob.Send(t, "bob@example.test", "x") // to himself: there is no such contact, only a way
	bob.Send(t, "sip:alice@example.test", "back")
	alice.Received(t, "sip:bob@example.test", "back")
	bob.AddBuddy(t, "sip:alice@example.test", "Team") // typing of strangers is not shown
	alice.Typing(t, "sip:bob@example.test", true)
	bob.AwaitEvent(t, "typing", "who", "sip:alice@example.test", "state", "typing")
	alice.Send(t, "sip:nobody@example.test", "hello")
	alice.AwaitEvent(t, "im-failed", "who", "sip:nobody@example.test")
	alice.Close(t, "sip:bob@example.test")
}

func TestContactList(t *testing.T) {
	t.Parallel()
	alice, _, s := friends(t)
	const who = "sip:carol@example.test"
	alice.AddGroup(t, "Team")
	alice.AddBuddy(t, who, "Team")
	alice.AddBuddy(t, "sip:dave@example.test", "Pals")
	alice.AliasBuddy(t, who, "Team", "Caro")
	alice.AwaitBuddy(t, who, "alias", func(b Buddy) bool { return b.Name() == "Caro" })
	alice.CopyBuddy(t, who, "Team", "Pals")
	alice.AwaitRoster(t, "the copy", func(r Roster) bool { return slices.Equal(r.In(who), []string{"Pals", "Team"}) })
	alice.RemoveBuddy(t, who, "Pals")
	alice.RenameGroup(t, "Team", "Crew")
	alice.AwaitEvent(t, "group-renamed", "group", "Crew", "was", "Team")
	alice.MoveBuddy(t, who, "Crew", "Pals")
	if r := alice.Roster(t); !slices.Equal(r.In(who), []string{"Pals"}) || !slices.Contains(r.Groups, "Crew") {
		t.Errorf("roster after the move: %+v", r)
	}
	alice.RemoveGroup(t, "Pals")
	alice.SetStatus(t, Busy, "in a test")
	alice.AwaitEvent(t, "self-status", "status", Busy, "message", "in a test")
	alice.Rest(t)
	alice.Wake(t)
	alice.Disconnect(t)
	alice.SignOn(t)
	if !strings.Contains(s.Methods(), "SERVICE") {
		t.Error("the client never told the server of the contact")
	}
}

func TestSameSeedSameCallIDs(t *testing.T) {
	t.Parallel()
	s := stub.Start(t)
	first := func(seed uint32) string {
		c := Start(t, Account{SignIn: "alice@example.test", Password: "x", Transport: "tcp", Server: s.Addr, Seed: seed}).SignOn(t)
		_, rest, _ := strings.Cut(c.DebugLog(), "\nCall-ID: ")
		id, _, _ := strings.Cut(rest, "\n")
		c.Quit(t)
		return strings.TrimSpace(id)
	}
	if a, b := first(7), first(7); a == "" || a != b {
		t.Errorf("Call-IDs of clients with one seed: %q and %q", a, b)
	}
	if a, b := first(0), first(0); a == b {
		t.Errorf("two clients without a seed have the Call-ID %q", a)
	}
}
