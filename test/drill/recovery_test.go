package drill

import (
	"strings"
	"testing"

	"trivet/box"
	"trivet/test/peer/pidgin"
)

// Two of three servers lose their disks at once. The pool waits; the third says what would
// be done and what may be lost; on command it goes on with what it has, and the two come
// back as new servers.
func TestRecoveryWithTheLastCopy(t *testing.T) {
	p := Ready(t, box.Spec{FrontEnds: 3}, alice, bob)
	a := p.SignIn(alice, "fe3")
	a.AddBuddy(t, bob, "Friends")
	a.Settled(t)
	for _, name := range []string{"fe1", "fe2"} {
		p.must(p.Kill(p.soon(), name))
	}
	for _, name := range []string{"fe1", "fe2"} {
		p.must(p.Wipe(name))
	}
	p.Wait("fe3", box.Starting)
	plan := p.WhatIf("fe3", "Reset-CsPoolRegistrarState", "-PoolFqdn", string(p.Plan.Pool), "-ResetType", "QuorumLossRecovery")
	for _, want := range []string{"fe3." + domain, "what only fe1." + domain + " and fe2." + domain + " had", "Directory", "2 users"} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan does not say %q:\n%s", want, plan)
		}
	}
	out, err := p.Cmdlet("fe3", "Reset-CsPoolRegistrarState", "-PoolFqdn", string(p.Plan.Pool), "-ResetType", "QuorumLossRecovery", "-Force")
	p.must(err)
	t.Log(strings.Count(out, "Replica"), "groups go on with the copy of fe3")
	p.Wait("fe3", box.Ready)
	again := p.SignIn(alice, "fe3")
	again.AwaitBuddy(t, bob, "the contact", func(pidgin.Buddy) bool { return true })

	for _, name := range []string{"fe1", "fe2"} {
		p.must(p.Run(p.soon(), name))
		p.Wait(name, box.Ready)
	}
	await(t, "all copies to be there again", func() bool { return p.Whole("fe3") })
	p.must(p.Kill(p.soon(), "fe3"))
	await(t, "the others to go on without it", func() bool { n := p.Primary("fe1", alice); return n == "fe1" || n == "fe2" })
}

// A server that was cut off while the others were recovered without it gives its copies up
// and is built anew.
func TestAnOldCopyComesBack(t *testing.T) {
	p := Ready(t, box.Spec{FrontEnds: 3}, alice, bob)
	for _, name := range []string{"fe1", "fe2"} {
		p.must(p.Kill(p.soon(), name))
	}
	p.Wait("fe3", box.Starting)
	_, err := p.Cmdlet("fe3", "Reset-CsPoolRegistrarState", "-PoolFqdn", string(p.Plan.Pool), "-ResetType", "QuorumLossRecovery", "-Force")
	p.must(err)
	p.Wait("fe3", box.Ready)
	p.NewUserAt("fe3", carol)
	for _, name := range []string{"fe1", "fe2"} {
		p.must(p.Run(p.soon(), name))
		p.Wait(name, box.Ready)
	}
	await(t, "all copies to be there again", func() bool { return p.Whole("fe1") })
	p.SignIn(carol, "fe1")
}
