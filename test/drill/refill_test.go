package drill

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"trivet/box"
	"trivet/fault"
	"trivet/replica"
	"trivet/rule/groupstate"
	"trivet/rule/topology"
	"trivet/store/backend"
	"trivet/test/peer/pidgin"
	"trivet/uc"
)

// nobody is the transport of a host that is opened to lose something.
type nobody struct{}

func (nobody) Send(uint64, []replica.Envelope)                                     {}
func (nobody) Snapshot(context.Context, uint64, replica.Envelope, io.Reader) error { return nil }

// lose takes a server's copy of a group away, as if it had never been sent; the server
// does not run.
func (p *Pool) lose(name string, id uc.GroupID) {
	p.t.Helper()
	data := p.server(name).Data
	b, err := os.ReadFile(filepath.Join(data, "server.json"))
	p.must(err)
	var is struct{ Number uint64 }
	p.must(json.Unmarshal(b, &is))
	host, err := replica.Open(p.soon(), replica.Config{Dir: filepath.Join(data, "groups"), NodeID: is.Number, Transport: nobody{}})
	p.must(err)
	p.must(host.Stop(p.soon(), id, true))
	p.must(host.Close(p.soon()))
}

// groupOf is the routing group of a user.
func (p *Pool) groupOf(at, user string) uc.GroupID {
	p.t.Helper()
	out, err := p.Cmdlet(at, "Get-CsUser", "-Identity", user, "-As", "json")
	p.must(err)
	var got []struct{ RoutingGroupId uc.GroupID }
	if err := json.Unmarshal([]byte(out), &got); err != nil || len(got) != 1 || got[0].RoutingGroupId == 0 {
		p.t.Fatalf("Get-CsUser printed %s", out)
	}
	return got[0].RoutingGroupId
}

// copies opens the Back End as a server does.
func (p *Pool) copies() *backend.Store {
	p.t.Helper()
	b, err := os.ReadFile(p.Plan.Servers[0].Topology)
	p.must(err)
	d, err := topology.Parse(b)
	p.must(err)
	pool := d.Pools[0]
	store, err := backend.Open(backend.Config{Pool: pool.FQDN, Primary: pool.BackEnd.Primary.Address, User: pool.BackEnd.User, PassFile: pool.BackEnd.PasswordFile, CA: pool.BackEnd.CA})
	p.must(err)
	p.t.Cleanup(store.Close)
	return store
}

// kept reports whether the Back End has a contact of the user.
func (p *Pool) kept(store *backend.Store, group uc.GroupID, user uc.UserURI) bool {
	p.t.Helper()
	list, _, err := store.Load(p.soon(), group)
	if fault.Is(err, fault.NotFound) {
		return false
	}
	p.must(err)
	for _, u := range list {
		r, err := groupstate.ReadRecord(u.Data)
		p.must(err)
		if r.User == user && r.Contacts != nil && len(r.Contacts.Contacts) > 0 {
			return true
		}
	}
	return false
}

// A server is left that has not a copy of every group: the group without one goes on with
// the data of the Back End, the others with the copies that are there.
func TestRecoveryFromTheBackEnd(t *testing.T) {
	p := Ready(t, box.Spec{FrontEnds: 3, BackEnd: true}, alice, bob)
	a := p.SignIn(alice, "fe3")
	a.AddBuddy(t, bob, "Friends")
	a.Settled(t)
	group := p.groupOf("fe1", alice)
	copies := p.copies()
	await(t, "the Back End to have the contact", func() bool { return p.kept(copies, group, alice) })
	for _, name := range []string{"fe1", "fe2", "fe3"} {
		p.must(p.Kill(p.soon(), name))
	}
	p.must(p.Wipe("fe1"))
	p.must(p.Wipe("fe2"))
	p.lose("fe3", group)
	p.must(p.Run(p.soon(), "fe3"))
	p.Wait("fe3", box.Starting)
	reset := []string{"Reset-CsPoolRegistrarState", "-PoolFqdn", string(p.Plan.Pool), "-ResetType", "QuorumLossRecovery"}
	plan := p.WhatIf("fe3", reset...)
	if strings.Contains(plan, "can be looked at once this one goes on") { // its log does not say that the pool was opened
		_, err := p.Cmdlet("fe3", append(reset, "-Force")...)
		p.must(err)
		plan = p.WhatIf("fe3", reset...)
	}
	want := "Group " + strconv.Itoa(int(group)) + " ("
	for line := range strings.Lines(plan) {
		if strings.Contains(line, want) && (!strings.Contains(line, "BackEnd") || !strings.Contains(line, "since the copy in the Back End was made")) {
			t.Errorf("the plan says %s", line)
		}
	}
	if n := strings.Count(plan, "from BackEnd"); n != 1 {
		t.Errorf("%d groups are taken from the Back End:\n%s", n, plan)
	}
	_, err := p.Cmdlet("fe3", append(reset, "-Force")...)
	p.must(err)
	p.Wait("fe3", box.Ready)
	p.SignIn(alice, "fe3").AwaitBuddy(t, bob, "the contact", func(pidgin.Buddy) bool { return true })
}
