package drill

import (
	"testing"
	"time"

	"trivet/box"
	"trivet/test/peer/pidgin"
)

// Two people chat over the pool while the server that leads their groups is lost. Who is
// connected to another server notices nothing but a pause; who was connected to it signs
// in again and goes on.
func TestPrimaryIsLostUnderAChat(t *testing.T) {
	p := Ready(t, box.Spec{FrontEnds: 3}, alice, bob)
	a := p.SignIn(alice, "fe1")
	b := p.SignIn(bob, "fe2")
	a.AddBuddy(t, bob, "Friends")
	a.AwaitStatus(t, bob, pidgin.Available)
	a.Send(t, bob, "one")
	b.Received(t, alice, "one")
	b.Send(t, alice, "two")
	a.Received(t, bob, "two")

	lost := p.Primary("fe2", alice)
	began := time.Now()
	p.must(p.Kill(p.soon(), lost))
	left := map[string]string{"fe1": "fe2", "fe2": "fe3", "fe3": "fe1"}[lost]
	await(t, "a new primary", func() bool { n := p.Primary(left, alice); return n != "" && n != lost })
	t.Logf("%s was lost, a new primary was seen after %v", lost, time.Since(began).Round(time.Millisecond))
	p.Wait(left, box.Ready)

	// A fresh client gets in over a server that is left, and finds what was changed.
	again := p.SignIn(alice, left)
	again.AwaitRoster(t, "the contact that was added", func(r pidgin.Roster) bool { _, ok := r.Find(bob, ""); return ok })
}
