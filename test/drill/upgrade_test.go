package drill

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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

// stopped asks a server that waits, which says so of itself and of the others that they
// run, and refuses what needs its services.
func (p *Pool) stopped(name string) {
	p.t.Helper()
	out, err := p.Cmdlet(name, "Get-CsWindowsService", "RTCSRV", "-ComputerName", "*", "-As", "json")
	p.must(err)
	var list []struct{ Status, ComputerName string }
	p.must(json.Unmarshal([]byte(out), &list))
	if len(list) != len(p.Plan.Servers) {
		p.t.Errorf("Get-CsWindowsService printed %s", out)
	}
	for _, s := range list {
		if here, _, _ := strings.Cut(s.ComputerName, "."); (here == name) != (s.Status == "Stopped") {
			p.t.Errorf("while %s is stopped, RTCSRV of %s is %s", name, s.ComputerName, s.Status)
		}
	}
	if out, err := p.Cmdlet(name, "Get-CsUser"); err == nil || !strings.Contains(err.Error(), "needs the services of this server, which waits for an administrator") {
		p.t.Errorf("Get-CsUser at %s, which is stopped: %v %s", name, err, out)
	}
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
		p.Wait(name, box.Starting)
		r, err := p.Report(p.soon(), name)
		if p.must(err); r.State != box.Starting || !strings.Contains(r.Reason, "Start-CsWindowsService") {
			t.Errorf("%s is %s: %s", name, r.State, r.Reason)
		}
		if p.readyForUpgrade(other, (i+1)%3+1) && p.Primary(other, alice) == name {
			t.Errorf("%s leads a group while it is stopped", name)
		}
		p.stopped(name)
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

// domainState is a row of Get-CsPoolUpgrade.
type domainState struct {
	UpgradeDomain                                int
	FrontEnds, State, Version, Upgrade, WaitsFor string
}

// upgrade asks a server how far the upgrade is, which may be starting.
func (p *Pool) upgrade(at string) (list []domainState) {
	out, err := p.Cmdlet(at, "Get-CsPoolUpgrade", "-As", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &list)
	}
	if err != nil {
		p.t.Logf("%s: %v", at, err)
	}
	return list
}

// A pool goes from one release to the next under a chat: the pool stops one server after
// the other, an administrator replaces each, and nobody is left without service.
func TestUpgrade(t *testing.T) {
	current := filepath.Join(t.TempDir(), "trivet")
	install := func(release string) {
		t.Helper()
		file, err := build(release)
		if err == nil {
			err = os.Symlink(file, current+".new")
		}
		if err == nil {
			err = os.Rename(current+".new", current)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	install("1.0")
	p := Ready(t, box.Spec{FrontEnds: 3, Program: []string{current, "server"}}, alice, bob)
	await(t, "the pool to be ready for an upgrade", func() bool { return p.readyForUpgrade("fe1", 1) })
	install("1.1")
	_, err := p.Cmdlet("fe2", "Invoke-CsPoolUpgrade", "-PoolFqdn", string(p.Plan.Pool), "-ReadyTime", "2", "-DrainTime", "20", "-Force")
	p.must(err)
	if _, err := p.Cmdlet("fe3", "Invoke-CsPoolUpgrade", "-PoolFqdn", string(p.Plan.Pool), "-Force"); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("another upgrade beside the first: %v", err)
	}
	for i, name := range []string{"fe1", "fe2", "fe3"} {
		other := []string{"fe2", "fe3", "fe1"}[i]
		await(t, "the upgrade to stop "+name, func() bool {
			list := p.upgrade(other)
			return len(list) == 3 && list[i].State == "Stopped" && strings.HasPrefix(list[i].WaitsFor, name)
		})
		a, b := p.SignIn(alice, other), p.SignIn(bob, other)
		a.Send(t, bob, "without "+name)
		b.Received(t, alice, "without "+name)
		for j, d := range p.upgrade(other) {
			if want := []string{"1.0", "1.1"}[min(1, max(0, i-j))]; d.Version != want || (j > i) != (d.State == "Pending") || (j < i) != (d.State == "Upgraded") {
				t.Errorf("while %s is stopped, domain %d is %s with version %s, want %s", name, d.UpgradeDomain, d.State, d.Version, want)
			}
		}
		p.must(p.Stop(p.soon(), name))
		p.must(p.Run(p.soon(), name))
		p.Wait(name, box.Ready)
		a.Refute(t, "failure", pidgin.Is("im-failed"))
		a.Quit(t)
		b.Quit(t)
	}
	await(t, "the end of the upgrade", func() bool {
		list := p.upgrade("fe1")
		return len(list) == 3 && !slices.ContainsFunc(list, func(d domainState) bool { return d.Upgrade != "Ended" || d.Version != "1.1" })
	})
	for _, at := range []string{"fe1", "fe2", "fe3"} {
		m := p.Metrics(at)
		if m["trivet_pool_redundancy"] != 3 || m["trivet_pool_groups_without_primary"] != 0 || m["trivet_pool_groups_led"] == 0 || m["trivet_pool_votes_present"] != 3 {
			t.Errorf("metrics of %s: %v", at, m)
		}
		for g := 1; g <= 32; g++ {
			name := fmt.Sprintf("trivet_group_%d_lag", g)
			if lag, there := m[name]; !there || lag > 5 {
				t.Errorf("%s: %s is %v in a pool that is well", at, name, lag)
			}
		}
	}
}
