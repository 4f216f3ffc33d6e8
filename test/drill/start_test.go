package drill

import (
	"context"
	"os"
	"strings"
	"testing"

	"trivet/box"
	"trivet/rule/quorum"
	"trivet/test/peer/pidgin"
)

// nightly has the long drills run too.
func nightly() bool { return os.Getenv("TRIVET_NIGHTLY") != "" }

// sizes are those of the pools that are started: a selection, all of them nightly.
func sizes() []int {
	if nightly() {
		return []int{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	}
	return []int{2, 3, 5}
}

// A pool that never ran opens with the number of the product's table, and with one fewer
// waits and says for whom.
func TestFirstStart(t *testing.T) {
	for _, n := range sizes() {
		need := quorum.FirstStart(n)
		p := Start(t, box.Spec{FrontEnds: n, BackEnd: quorum.HasWitness(n), Hold: true})
		for i := range n {
			if i == need-1 {
				break
			}
			p.must(p.Run(p.soon(), p.Plan.Servers[i].Name))
		}
		if need > 1 {
			missing := string(p.Plan.Servers[need-1].FQDN)
			for i := range need - 1 {
				name := p.Plan.Servers[i].Name
				await(t, name+" to say for whom it waits", func() bool {
					r, err := p.Report(p.soon(), name)
					return err == nil && r.State == box.Starting && strings.Contains(r.Reason, "first start") && strings.Contains(r.Reason, missing)
				})
			}
		}
		p.must(p.Run(p.soon(), p.Plan.Servers[need-1].Name))
		for i := range need {
			p.Wait(p.Plan.Servers[i].Name, box.Ready)
		}
		t.Logf("a pool of %d opens with %d servers and not with %d", n, need, need-1)
		p.must(p.Close(context.WithoutCancel(t.Context())))
	}
}

// Below the pool's quorum every server that is left stops serving and says why; with one
// more they serve again, and nobody has reset anything.
func TestBelowQuorum(t *testing.T) {
	p := Ready(t, box.Spec{FrontEnds: 3}, alice, bob)
	a := p.SignIn(alice, "fe3")
	a.AddBuddy(t, bob, "Friends")
	a.Settled(t)
	p.must(p.Kill(p.soon(), "fe1"))
	p.must(p.Kill(p.soon(), "fe2"))
	p.Wait("fe3", box.Starting)
	r, err := p.Report(p.soon(), "fe3")
	if p.must(err); !strings.Contains(r.Reason, "fe1."+domain) || !strings.Contains(r.Reason, "2 of 3 votes") {
		t.Errorf("fe3 says %q", r.Reason)
	}
	a.ConnectionError(t)
	p.must(p.Run(p.soon(), "fe1"))
	p.Wait("fe3", box.Ready)
	p.Wait("fe1", box.Ready)
	again := p.SignIn(alice, "fe1")
	again.AwaitBuddy(t, bob, "what was acknowledged", func(pidgin.Buddy) bool { return true })
	p.must(p.Run(p.soon(), "fe2"))
	p.AllReady()
}

// A pool that was stopped as a whole comes back with everything it acknowledged.
func TestColdStart(t *testing.T) {
	p := Ready(t, box.Spec{FrontEnds: 3}, alice, bob)
	a := p.SignIn(alice, "fe1")
	a.AddBuddy(t, bob, "Friends")
	a.Settled(t)
	for _, s := range p.Plan.Servers {
		p.must(p.Kill(p.soon(), s.Name))
	}
	for _, s := range p.Plan.Servers {
		p.must(p.Run(p.soon(), s.Name))
	}
	p.AllReady()
	again := p.SignIn(alice, "fe2")
	again.AwaitBuddy(t, bob, "the contact", func(pidgin.Buddy) bool { return true })
}

// A server whose data folder is lost comes back with nothing but the keys of the pool: it
// gets another number, is sent what it had, and the pool can lose another server then.
func TestAServerIsRebuilt(t *testing.T) {
	p := Ready(t, box.Spec{FrontEnds: 3}, alice, bob)
	a := p.SignIn(alice, "fe2")
	a.AddBuddy(t, bob, "Friends")
	a.Settled(t)
	p.must(p.Kill(p.soon(), "fe1"))
	p.must(p.Wipe("fe1"))
	p.must(p.Run(p.soon(), "fe1"))
	p.Wait("fe1", box.Ready)
	await(t, "the new copy to vote in every group", func() bool { return p.Whole("fe2") })
	p.must(p.Kill(p.soon(), "fe2"))
	p.Wait("fe1", box.Ready)
	await(t, "a primary", func() bool { n := p.Primary("fe1", alice); return n != "" && n != "fe2" })
	again := p.SignIn(alice, "fe1")
	again.AwaitBuddy(t, bob, "the contact", func(pidgin.Buddy) bool { return true })
}
