package interop

import (
	"testing"

	"trivet/test/peer/pidgin"
)

func TestEveryStateBothWays(t *testing.T) {
	t.Parallel()
	a, b := friends(t, Start(t))
	for _, status := range []string{pidgin.Busy, pidgin.DND, pidgin.BRB, pidgin.Away, pidgin.Invisible, pidgin.Available} {
		seen := status
		if status == pidgin.Invisible {
			seen = pidgin.Offline
		}
		a.SetStatus(t, status, "")
		b.AwaitStatus(t, alice, seen)
		b.SetStatus(t, status, "")
		a.AwaitStatus(t, bob, seen)
	}
}

// The client reports an idle machine as one whose user is away, and a busy user as
// busy, whether the machine is idle or not.
func TestIdle(t *testing.T) {
	t.Parallel()
	a, b := friends(t, Start(t))
	for range 2 {
		a.Rest(t)
		b.AwaitStatus(t, alice, pidgin.Away)
		a.Wake(t)
		b.AwaitStatus(t, alice, pidgin.Available)
	}
	a.SetStatus(t, pidgin.Busy, "")
	b.AwaitStatus(t, alice, pidgin.Busy)
}

func awaitNote(t *testing.T, c *pidgin.Client, who, note string) {
	t.Helper()
	c.AwaitBuddy(t, who, "note "+note, func(b pidgin.Buddy) bool { return b.Note() == note })
}

func TestNotesBothWays(t *testing.T) {
	t.Parallel()
	a, b := friends(t, Start(t))
	for _, note := range []string{"in a meeting", "Räume <1> & \"2\" – 会議中 🏖", "back"} {
		a.SetStatus(t, pidgin.Busy, note)
		awaitNote(t, b, alice, note)
		b.SetStatus(t, pidgin.Away, note)
		awaitNote(t, a, bob, note)
	}
	a.SetStatus(t, pidgin.Available, "")
	awaitNote(t, b, alice, "")
}

func TestAccessLevels(t *testing.T) {
	t.Parallel()
	a, b := friends(t, Start(t))
	a.SetStatus(t, pidgin.DND, "writing")
	seen := func(status, note string) {
		t.Helper()
		b.AwaitBuddy(t, alice, status+" and note "+note, func(b pidgin.Buddy) bool { return b.Status == status && b.Note() == note })
	}
	seen(pidgin.DND, "writing")
	a.SetAccessLevel(t, bob, "Team") // may interrupt
	seen(pidgin.Busy, "writing")
	a.SetAccessLevel(t, bob, "Public") // pidgin publishes its notes for Company and above
	seen(pidgin.DND, "")
	a.SetAccessLevel(t, bob, "Personal")
	seen(pidgin.DND, "writing")
	a.SetAccessLevel(t, bob, "Blocked")
	seen(pidgin.Offline, "")
	a.SetAccessLevel(t, bob, "Company")
	seen(pidgin.DND, "writing")
}

func TestBlockAndUnblock(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a, b := friends(t, s)
	c := s.Pidgin(t, carol)
	knows(t, c, alice)
	a.Block(t, mailbox(bob))
	b.AwaitStatus(t, alice, pidgin.Offline)
	c.AwaitStatus(t, alice, pidgin.Available) // nobody else notices
	b.Send(t, alice, "may I?")
	b.AwaitEvent(t, "im-failed", "who", alice)
	a.Unblock(t, mailbox(bob))
	b.AwaitStatus(t, alice, pidgin.Available)
}

func TestSigningOutIsSeen(t *testing.T) {
	t.Parallel()
	a, b := friends(t, Start(t))
	a.Disconnect(t)
	b.AwaitStatus(t, alice, pidgin.Offline)
	a.SignOn(t)
	b.AwaitStatus(t, alice, pidgin.Available)
}

func TestVanishingIsSeen(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a, b := friends(t, s)
	a.Kill(t)
	b.AwaitStatus(t, alice, pidgin.Offline) // after the time a client has to come back
	s.Pidgin(t, alice)
	b.AwaitStatus(t, alice, pidgin.Available)
}

func TestTwoEndpointsOfOnePerson(t *testing.T) {
	t.Parallel()
	s := Start(t)
	desk, b := friends(t, s)
	laptop := s.Laptop(t, alice)
	desk.SetStatus(t, pidgin.Busy, "both of me")
	laptop.AwaitEvent(t, "self-status", "status", pidgin.Busy) // chosen for the person, not for the machine
	b.AwaitStatus(t, alice, pidgin.Busy)
	laptop.SetStatus(t, pidgin.Available, "")
	b.AwaitStatus(t, alice, pidgin.Available)
	desk.Rest(t) // the other one is still in use
	desk.Disconnect(t)
	b.SetStatus(t, pidgin.Away, "") // seen by the one that stays
	laptop.AwaitStatus(t, bob, pidgin.Away)
	b.AwaitStatus(t, alice, pidgin.Available)
	b.Send(t, alice, "which of you?")
	laptop.Received(t, bob, "which of you?")
	laptop.Disconnect(t)
	b.AwaitStatus(t, alice, pidgin.Offline)
}
