package drill

import (
	"encoding/json"
	"strings"
	"testing"

	"trivet/box"
	"trivet/test/peer/pidgin"
)

// readyForUpgrade reports whether the servers of an upgrade domain may be taken down.
func (p *Pool) readyForUpgrade(at string, domain int) bool {
	p.t.Helper()
	out, err := p.Cmdlet(at, "Get-CsPoolUpgradeReadinessState", "-As", "json")
	p.must(err)
	var got []struct {
		PoolUpgradeState string
		UpgradeDomains   []struct {
			Name            int
			ReadyForUpgrade bool
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 1 {
		p.t.Fatalf("Get-CsPoolUpgradeReadinessState printed %s", out)
	}
	for _, d := range got[0].UpgradeDomains {
		if d.Name == domain {
			return d.ReadyForUpgrade && got[0].PoolUpgradeState == "Ready"
		}
	}
	return false
}

// Every server is stopped gracefully, restarted and waited for, one upgrade domain after
// the other, while two people chat over those that are left.
func TestRollingRestart(t *testing.T) {
	p := Ready(t, box.Spec{FrontEnds: 3}, alice, bob)
	for i, name := range []string{"fe1", "fe2", "fe3"} {
		other := []string{"fe2", "fe3", "fe1"}[i]
		await(t, "the pool to be ready for an upgrade", func() bool { return p.readyForUpgrade(other, i+1) })
		_, err := p.Cmdlet(other, "Stop-CsWindowsService", name+"."+domain, "-Graceful", "-DrainTime", "20", "-Force")
		p.must(err)
		r, err := p.Report(p.soon(), name)
		if p.must(err); r.State != box.Starting || !strings.Contains(r.Reason, "Start-CsWindowsService") {
			t.Errorf("%s is %s: %s", name, r.State, r.Reason)
		}
		if p.readyForUpgrade(other, (i+1)%3+1) && p.Primary(other, alice) == name {
			t.Errorf("%s leads a group while it is stopped", name)
		}
		p.must(p.Stop(p.soon(), name))
		a := p.SignIn(alice, other) // who was there before has had to come over, too
		b := p.SignIn(bob, other)
		a.Send(t, bob, "without "+name)
		b.Received(t, alice, "without "+name)
		p.must(p.Run(p.soon(), name))
		p.Wait(name, box.Ready)
		a.Refute(t, "failure", pidgin.Is("im-failed"))
		a.Quit(t)
		b.Quit(t)
	}
	_, err := p.Cmdlet("fe2", "Stop-CsWindowsService", "fe1."+domain, "-Force")
	p.must(err)
	p.Wait("fe1", box.Starting)
	_, err = p.Cmdlet("fe1", "Start-CsWindowsService", "fe1."+domain) // asked of the server that waits
	p.must(err)
	p.AllReady()
}
