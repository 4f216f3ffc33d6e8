package interop

import (
	"fmt"
	"strings"
	"testing"

	"trivet/test/peer/pidgin"
	"trivet/test/peer/sipp"
)

func TestMessagesBothWays(t *testing.T) {
	t.Parallel()
	a, b := friends(t, Start(t))
	for _, text := range []string{
		"hello",
		"Grüße aus Köln – naïve façade, Łódź, İstanbul",
		"Привет · Γειά σου · שלום עולם · مرحبا · 你好,世界 · こんにちは · 안녕하세요",
		"👋🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🎉",
		`<b>not bold</b> & &amp; &lt; "quoted" 'single' <script>alert(1)</script> a<b>c`,
		"one line\nand another\n\nand one after an empty one",
		"%s %d 100% \\n C:\\temp " + strings.Repeat("long ", 800) + "end",
	} {
		a.Send(t, bob, text)
		b.Received(t, alice, text)
		b.Send(t, alice, text)
		a.Received(t, bob, text)
	}
	a.Refute(t, "failure", pidgin.Is("im-failed"))
	b.Refute(t, "failure", pidgin.Is("im-failed"))
	a.Close(t, bob) // and in a new conversation
	a.Send(t, bob, "again")
	b.Received(t, alice, "again")
}

func TestThousandMessagesInOrder(t *testing.T) {
	t.Parallel()
	const count = 1000
	a, b := friends(t, Start(t))
	for i := range count {
		a.Send(t, bob, fmt.Sprintf("message %d", i))
	}
	b.Received(t, alice, fmt.Sprintf("message %d", count-1))
	next := 0
	for _, e := range b.Events() {
		if e.Name() != "im-received" {
			continue
		}
		if want := fmt.Sprintf("message %d", next); e["text"] != want {
			t.Fatalf("message %d is %q, want %q", next, e["text"], want)
		}
		next++
	}
	if next != count {
		t.Errorf("bob got %d messages, want %d", next, count)
	}
}

func TestTyping(t *testing.T) {
	t.Parallel()
	a, b := friends(t, Start(t))
	a.Send(t, bob, "let us talk") // typing is told within a conversation
	b.Received(t, alice, "let us talk")
	b.Typing(t, alice, true)
	a.AwaitEvent(t, "typing", "who", bob, "state", "typing")
	a.Typing(t, bob, true)
	b.AwaitEvent(t, "typing", "who", alice, "state", "typing")
}

func TestMessageToSomebodyOffline(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a, b := friends(t, s)
	b.Disconnect(t)
	a.AwaitStatus(t, bob, pidgin.Offline)
	a.Send(t, bob, "are you there?")
	a.AwaitEvent(t, "im-failed", "who", bob)
	a.Send(t, "sip:nobody@"+domain, "is anybody there?")
	a.AwaitEvent(t, "im-failed", "who", "sip:nobody@"+domain)
	b.SignOn(t)
	b.Send(t, alice, "now I am")
	a.Received(t, bob, "now I am")
}

func TestMessageInTheMiddleOfAConversationWithSomebodyWhoLeft(t *testing.T) {
	t.Parallel()
	a, b := friends(t, Start(t))
	a.Send(t, bob, "one")
	b.Received(t, alice, "one")
	b.Disconnect(t)
	a.AwaitStatus(t, bob, pidgin.Offline)
	a.Send(t, bob, "two")
	a.AwaitEvent(t, "im-failed", "who", bob)
	b.SignOn(t)
	a.AwaitStatus(t, bob, pidgin.Available)
	a.Send(t, bob, "three")
	b.Received(t, alice, "three")
}

// A Lync conversation is answered by one endpoint, after 10 s in which the user
// could have chosen; a message without a conversation is shown by all.
func TestMessagesReachAllEndpoints(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a, desk := friends(t, s)
	laptop := s.Laptop(t, bob)
	if err := sipp.Send(t, s.SIPp(carol, "tcp"), mailbox(bob), "to all of you ", 1); err != nil {
		t.Fatalf("carol cannot send: %v", err)
	}
	for _, c := range []*pidgin.Client{desk, laptop} {
		c.Await(t, "the message", func(e pidgin.Event) bool {
			return e.Name() == "im-received" && strings.HasPrefix(e["text"], "to all of you")
		})
	}

	a.Send(t, bob, "to one of you")
	answered := awaitFirst(t, "the message", pidgin.Is("im-received", "who", alice, "text", "to one of you"), desk, laptop)
	for _, c := range []*pidgin.Client{desk, laptop} {
		if !strings.Contains(c.DebugLog(), "\nINVITE sip:") {
			c.Fatalf(t, "was not invited")
		}
	}
	answered.Send(t, alice, "one of me")
	a.Received(t, bob, "one of me")
	a.Refute(t, "failure", pidgin.Is("im-failed"))
}

// Clients that start in the same second choose the same Call-IDs, tags and
// branches; here they do even when the second is another.
func TestClientsWithTheSameIdentifiers(t *testing.T) {
	t.Parallel()
	s := Start(t)
	people := []string{alice, bob, carol, dave}
	var clients []*pidgin.Client
	for _, who := range people {
		a := s.Account(who)
		a.Seed = 20261121
		c := pidgin.Start(t, a)
		c.Connect(t)
		clients = append(clients, c)
	}
	ids := map[string]bool{}
	for i, c := range clients {
		c.SignedOn(t)
		_, rest, _ := strings.Cut(c.DebugLog(), "\nCall-ID: ")
		id, _, _ := strings.Cut(rest, "\n")
		ids[id] = true
		knows(t, c, people[(i+1)%len(people)])
	}
	if len(ids) != 1 {
		t.Fatalf("the clients chose Call-IDs %v, want one and the same", ids)
	}
	for i, c := range clients {
		c.AwaitStatus(t, people[(i+1)%len(people)], pidgin.Available)
	}
	// Two call, two are called: pidgin-sipe finds its conversations by Call-ID alone,
	// so that one which calls under the Call-ID of a call it has taken loses its own
	// ("session outgoing dialog is NULL" in its log), whatever the server does.
	callers := []int{0, 2}
	for _, i := range callers {
		clients[i].Send(t, people[i+1], fmt.Sprintf("from %d", i))
	}
	for _, i := range callers {
		clients[i+1].Received(t, people[i], fmt.Sprintf("from %d", i))
		clients[i+1].Send(t, people[i], fmt.Sprintf("back to %d", i))
		clients[i].Received(t, people[i+1], fmt.Sprintf("back to %d", i))
	}
	for i, c := range clients {
		c.Refute(t, "failure", pidgin.Is("im-failed"))
		c.SetStatus(t, pidgin.Busy, fmt.Sprintf("note %d", i))
	}
	for i, c := range clients {
		next := (i + 1) % len(people)
		awaitNote(t, c, people[next], fmt.Sprintf("note %d", next))
	}
}
