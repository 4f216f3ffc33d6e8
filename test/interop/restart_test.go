package interop

import (
	"testing"

	"trivet/test/peer/pidgin"
)

func TestNothingIsLostWhenTheServerIsKilled(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a, b := friends(t, s)
	laptop := s.Laptop(t, alice)
	a.AddBuddy(t, eve, "Work")
	a.AddBuddy(t, carol, "Kept")
	a.AliasBuddy(t, eve, "Work", "Evi")
	a.SetAccessLevel(t, bob, "Personal")
	a.Block(t, mailbox(dave))
	a.SetStatus(t, pidgin.DND, "kept")
	b.AwaitBuddy(t, alice, "note", func(b pidgin.Buddy) bool { return b.Status == pidgin.DND && b.Note() == "kept" })
	laptop.AwaitBuddy(t, eve, "name", func(b pidgin.Buddy) bool { return b.Name() == "Evi" }) // so it was acknowledged

	s.Kill()
	clients := []*pidgin.Client{a, b, laptop}
	for _, c := range clients {
		if e := c.ConnectionError(t); e["fatal"] != "no" {
			t.Errorf("the end of the server is fatal for a client: %s", e)
		}
	}
	s.Restart(t)
	for _, c := range clients {
		c.SignOn(t)
	}
	for _, c := range []*pidgin.Client{a, laptop} {
		everywhere(t, eve, []string{"Work"}, c)
		r := c.AwaitRoster(t, "carol in Kept", func(r pidgin.Roster) bool { _, ok := r.Find(carol, "Kept"); return ok })
		if e, _ := r.Find(eve, "Work"); e.Name() != "Evi" {
			t.Errorf("eve is called %q after the restart, want Evi", e.Name())
		}
	}
	b.AwaitBuddy(t, alice, "note", func(b pidgin.Buddy) bool { return b.Note() == "kept" })
	d := s.Pidgin(t, dave)
	knows(t, d, alice, bob)
	d.AwaitStatus(t, bob, pidgin.Available)
	d.AwaitStatus(t, alice, pidgin.Offline) // still blocked
	b.Send(t, alice, "back again")
	awaitFirst(t, "the message", pidgin.Is("im-received", "who", bob, "text", "back again"), a, laptop)
}

func TestGracefulStop(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a, b := friends(t, s)
	s.Stop(t)
	for _, c := range []*pidgin.Client{a, b} {
		if e := c.ConnectionError(t); e["fatal"] != "no" {
			t.Errorf("the end of the server is fatal for a client: %s", e)
		}
	}
	s.Restart(t)
	a.SignOn(t)
	b.SignOn(t)
	a.AwaitStatus(t, bob, pidgin.Available)
}
