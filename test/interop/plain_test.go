package interop

import (
	"fmt"
	"slices"
	"testing"

	"trivet/test/peer/baresip"
	"trivet/test/peer/pidgin"
	"trivet/test/peer/sipp"
)

func TestPidginAndPhone(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a := s.Pidgin(t, alice)
	knows(t, a, bob)
	account := s.Phone(bob, "tls")
	account.Contacts, account.Publish = []string{mailbox(alice)}, true
	phone := baresip.Start(t, account).Registered(t)

	a.Send(t, bob, "Grüße, 你好 👋 <&>")
	phone.Received(t, mailbox(alice), "Grüße, 你好 👋 <&>")
	phone.Send(t, mailbox(alice), "gleichfalls 👋 <&>")
	a.Received(t, bob, "gleichfalls 👋 <&>")
	a.Refute(t, "failure", pidgin.Is("im-failed"))

	phone.AwaitStatus(t, mailbox(alice), baresip.Online)
	a.SetStatus(t, pidgin.Busy, "")
	phone.AwaitStatus(t, mailbox(alice), baresip.Busy)
	a.SetStatus(t, pidgin.Invisible, "")
	phone.AwaitStatus(t, mailbox(alice), baresip.Offline)
	a.SetStatus(t, pidgin.Available, "")
	phone.AwaitStatus(t, mailbox(alice), baresip.Online)

	phone.SetOnline(t, true)
	a.AwaitStatus(t, bob, pidgin.Available)
	phone.SetOnline(t, false)
	a.AwaitStatus(t, bob, pidgin.Offline)
	phone.SetOnline(t, true)
	a.AwaitStatus(t, bob, pidgin.Available)
	phone.Stop(t)
	a.AwaitStatus(t, bob, pidgin.Offline)
}

func TestTwoPhones(t *testing.T) {
	t.Parallel()
	s := Start(t)
	one, two := s.Phone(alice, "udp"), s.Phone(bob, "tcp")
	one.Contacts, two.Contacts = []string{mailbox(bob), mailbox(carol)}, []string{mailbox(alice)}
	a, b := baresip.Start(t, one).Registered(t), baresip.Start(t, two).Registered(t)
	a.Send(t, mailbox(bob), "over two transports")
	b.Received(t, mailbox(alice), "over two transports")
	b.Send(t, mailbox(alice), "and back")
	a.Received(t, mailbox(bob), "and back")
	a.Send(t, mailbox(carol), "are you there?")
	if got := a.NotSent(t); got[0] != '4' {
		t.Errorf("message to carol, who is offline: %q, want a 4xx answer", got)
	}
}

func TestPidginAndPlainClient(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a := s.Pidgin(t, alice)
	listener := sipp.Listen(t, s.SIPp(bob, "udp"))
	a.Send(t, bob, "to a plain client")
	listener.Received(t, mailbox(alice), "to a plain client")
	if err := sipp.Send(t, s.SIPp(carol, "tcp"), mailbox(alice), "number ", 50); err != nil {
		t.Fatalf("carol cannot send: %v", err)
	}
	for i := range 50 {
		a.Received(t, carol, sipp.Numbered("number ", i+1)+"\n") // SIPp ends a body with a line end
	}
}

func TestThousandPagesInOrder(t *testing.T) {
	t.Parallel()
	const count = 1000
	s := Start(t)
	listener := sipp.Listen(t, s.SIPp(bob, "tcp"))
	if err := sipp.Send(t, s.SIPp(alice, "tcp"), mailbox(bob), "page ", count); err != nil {
		t.Fatalf("alice cannot send: %v", err)
	}
	listener.Received(t, mailbox(alice), sipp.Numbered("page ", count))
	var want []string
	for i := range count {
		want = append(want, sipp.Numbered("page ", i+1))
	}
	if got := listener.Texts(); !slices.Equal(got, want) {
		t.Error(firstDifference(got, want))
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("message %d is %q, want %q", i, got[i], want[i])
		}
	}
	return fmt.Sprintf("%d messages, want %d", len(got), len(want))
}
