package upgrade

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/rule/poolstate"
	"trivet/uc"
)

var began = time.UnixMilli(1_800_000_000_000)

// pool is a pool of three whose administrator replaces servers when they are stopped.
type pool struct {
	t     *testing.T
	state *poolstate.State
	now   time.Time
	view  View
	said  []string
}

func newPool(t *testing.T, domains ...int) *pool {
	p := &pool{t: t, state: poolstate.New(), now: began, view: View{Copies: poolstate.Copies{Groups: 34, Voters: 102, Home: 32}}}
	for i, d := range domains {
		p.view.Servers = append(p.view.Servers, Server{FQDN: uc.ServerFQDN(fmt.Sprintf("fe%d", i+1)), Domain: d, Live: true, Serving: true})
	}
	u, err := Begin(poolstate.Upgrade{}, "adam", ReadyTime, time.Minute, p.now)
	if err != nil {
		t.Fatal(err)
	}
	p.put(u)
	return p
}

func (p *pool) upgrade() poolstate.Upgrade { return p.state.Pool().Upgrade }

func (p *pool) put(u poolstate.Upgrade) {
	p.t.Helper()
	r, _ := p.state.Apply(0, poolstate.Encode(&poolstate.PutUpgrade{Old: p.upgrade(), New: u}))
	if err, bad := r.(error); bad {
		p.t.Fatal(err)
	}
}

// run takes steps until one waits, and returns for what.
func (p *pool) run() string {
	p.t.Helper()
	for range 20 {
		s := Next(p.upgrade(), p.view, p.now)
		if s.Do == Wait {
			return s.Why
		}
		p.said = append(p.said, s.Why)
		if s.Do == Note {
			p.put(s.New)
		}
		for _, name := range s.Servers {
			x := p.server(name)
			x.Serving, x.Halted, x.Waits = false, true, "an administrator"
		}
	}
	p.t.Fatalf("it never waits: %q", p.said)
	return ""
}

func (p *pool) server(name uc.ServerFQDN) *Server {
	for i := range p.view.Servers {
		if p.view.Servers[i].FQDN == name {
			return &p.view.Servers[i]
		}
	}
	p.t.Fatalf("no server %s", name)
	return nil
}

func (p *pool) waits(want string) {
	p.t.Helper()
	if got := p.run(); !strings.Contains(got, want) {
		p.t.Fatalf("at %s it waits for %q, want %q; said %q", p.now.Sub(began), got, want, p.said)
	}
}

func (p *pool) back(name uc.ServerFQDN) {
	x := p.server(name)
	x.Live, x.Serving, x.Halted, x.Waits = true, true, false, ""
}

// down are the servers out of service.
func (p *pool) down() (list []uc.ServerFQDN) {
	for _, s := range p.view.Servers {
		if s.Halted || !s.Live {
			list = append(list, s.FQDN)
		}
	}
	return list
}

func TestOneDomainAfterTheOther(t *testing.T) {
	p := newPool(t, 1, 2, 1)
	p.waits("fe1 is stopped: replace its program and restart it; fe3 is stopped")
	p.back("fe1")
	p.waits("fe3 is stopped")
	p.back("fe3")
	p.waits("ready for 0s of 20m0s")
	p.now = p.now.Add(ReadyTime - time.Millisecond)
	p.waits("ready for 19m59s of 20m0s")
	if down := p.down(); down != nil {
		t.Errorf("before its time %v are stopped", down)
	}
	p.now = p.now.Add(time.Millisecond)
	p.waits("fe2 is stopped")
	p.back("fe2")
	p.waits("ready for 0s")
	p.now = p.now.Add(ReadyTime)
	p.waits("no upgrade is under way")
	u := p.upgrade()
	if !u.Ended || cmp.Diff(u.Done, []int{1, 2}) != "" {
		t.Errorf("ended as %+v", u)
	}
	want := []string{"the pool is ready", "upgrade domain 1 is next", "upgrade domain 1 is taken out of service", "upgrade domain 1 is stopped: its servers are to be replaced and started", "upgrade domain 1 is in service again"}
	if d := cmp.Diff(want, p.said[:5]); d != "" {
		t.Error(d)
	}
}

// Whatever disturbs the pool for a moment, the clock begins anew.
func TestTheClockBeginsAnew(t *testing.T) {
	for name, x := range map[string]struct {
		disturb func(*View)
		why     string
	}{
		"busy":             {func(v *View) { v.Busy = "copies are missing" }, "copies are missing"},
		"a server lost":    {func(v *View) { v.Servers[2].Live = false }, "fe3 does not run"},
		"a server stuck":   {func(v *View) { v.Servers[0].Serving, v.Servers[0].Waits = false, "a quorum" }, "fe1 runs and is stuck: it waits for a quorum"},
		"a server stopped": {func(v *View) { v.Servers[1].Halted = true }, "fe2 is stopped"},
		"fewer copies":     {func(v *View) { v.Copies.Voters = 101 }, "101 copies with a vote, before the upgrade it had 102"},
		"fewer groups":     {func(v *View) { v.Copies.Groups = 33 }, "33 groups"},
		"primaries astray": {func(v *View) { v.Copies.Home = 30 }, "30 groups are led by the server"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, 1, 2, 3)
			p.waits("fe1 is stopped")
			p.back("fe1")
			p.waits("ready for 0s")
			p.now = p.now.Add(ReadyTime - time.Second)
			well := p.view
			well.Servers = append([]Server(nil), well.Servers...)
			x.disturb(&p.view)
			p.waits(x.why)
			p.now = p.now.Add(2 * ReadyTime)
			p.waits(x.why)
			p.view = well
			p.waits("ready for 0s")
			p.now = p.now.Add(ReadyTime - time.Second)
			p.waits("ready for 19m59s")
			p.now = p.now.Add(time.Second)
			p.waits("fe2 is stopped")
		})
	}
}

func TestUnfitDomainsAndLostServers(t *testing.T) {
	p := newPool(t, 1, 2, 3)
	p.view.Unfit = map[int]string{1: "a group would lose its quorum", 2: "the same", 3: "the same"}
	p.waits("upgrade domain 1 may not be taken down: a group would lose its quorum")
	delete(p.view.Unfit, 2)
	p.waits("fe2 is stopped")
	p.server("fe2").Live, p.server("fe2").Halted = false, false
	p.waits("fe2 does not run")
	p.server("fe2").Live, p.server("fe2").Waits = true, "the directory"
	p.waits("fe2 runs and is stuck: it waits for the directory")
	p.now = p.now.Add(time.Hour)
	p.waits("fe2 runs and is stuck")

	u, err := Cancel(p.upgrade(), p.now)
	if err != nil || u.UnderWay() || u.Domain != 2 {
		t.Errorf("cancelled: %+v %v", u, err)
	}
	p.put(u)
	p.waits("no upgrade is under way")
	if _, err := Cancel(p.upgrade(), p.now); !fault.Is(err, fault.NotFound) {
		t.Errorf("cancelled twice: %v", err)
	}
	again, err := Begin(p.upgrade(), "eve", 0, 0, p.now)
	if err != nil || !again.UnderWay() || again.Domain != 0 || again.Done != nil {
		t.Errorf("after a cancelled one: %+v %v", again, err)
	}
	if _, err := Begin(again, "adam", 0, 0, p.now); !fault.Is(err, fault.Exists) {
		t.Errorf("begun beside another: %v", err)
	}
}

// A server that is lost while its domain is being stopped needs no stopping.
func TestLostWhileStopping(t *testing.T) {
	p := newPool(t, 1, 1)
	s := Next(p.upgrade(), p.view, p.now)
	p.put(s.New) // ready
	s = Next(p.upgrade(), p.view, p.now)
	p.put(s.New) // domain 1
	p.server("fe1").Live = false
	s = Next(p.upgrade(), p.view, p.now)
	if s.Do != Stop || cmp.Diff(s.Servers, []uc.ServerFQDN{"fe2"}) != "" {
		t.Errorf("stops %+v", s)
	}
	p.server("fe2").Live = false
	if s = Next(p.upgrade(), p.view, p.now); s.Do != Note || !s.New.Stopped {
		t.Errorf("with all lost: %+v", s)
	}
}
