package presence

import (
	"strings"
	"sync/atomic"
	"testing"

	"trivet/rule/policy"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/presdoc"
)

// terminated lists whom the answer to a batch leaves out.
func terminated(body []byte) (gone []uc.UserURI) {
	for _, u := range []uc.UserURI{alice, bob, carol} {
		if strings.Contains(string(body), `<resource uri="`+string(u)+`"><instance id="1" state="terminated"/>`) {
			gone = append(gone, u)
		}
	}
	return gone
}

func TestMaxCategorySubscription(t *testing.T) {
	s := start(t, Policy{MaxCategorySubscription: 6})
	s.endpoint(alice, "a1")
	b, c, phone := s.endpoint(bob, "b1"), s.endpoint(carol, "c1"), s.endpoint(carol, "")
	sipagent.Status(t, b.batch("w", alice), 200) // four categories
	if n := s.s.index.weightAt(alice); n != 4 {
		t.Fatalf("bob weighs %d", n)
	}
	res := sipagent.Status(t, c.batch("w", alice), 200)
	if gone := terminated(res.Body); len(gone) != 1 || s.s.index.weightAt(alice) != 4 {
		t.Errorf("four more of six were given: %s", res)
	}
	one := presdoc.BatchSub{Actions: []presdoc.BatchAction{{Resources: []presdoc.BatchResource{{URI: string(alice)}}, Categories: []string{"state", "note"}}}}
	if res := sipagent.Status(t, c.subscribe("two", one), 200); len(terminated(res.Body)) != 0 || s.s.index.weightAt(alice) != 6 {
		t.Errorf("two of six left were refused: %s", res)
	}
	sipagent.Status(t, phone.ask("SUBSCRIBE", alice, "pidf", "", "Event: presence", "Expires: 600"), 403)
	sipagent.Status(t, phone.ask("SUBSCRIBE", alice, "poll", "", "Event: presence", "Expires: 0"), 200)
	sipagent.Status(t, b.ask("SUBSCRIBE", bob, "w", "", with(lync, "Event: presence", "Expires: 600")...), 200) // a refresh asks for nothing more
	if res := sipagent.Status(t, b.batch("again", alice), 200); len(terminated(res.Body)) != 0 {
		t.Errorf("what the endpoint had did not give way: %s", res)
	}
	sipagent.Status(t, b.ask("SUBSCRIBE", bob, "again", "", with(lync, "Event: presence", "Expires: 0")...), 200)
	sipagent.Status(t, b.ask("SUBSCRIBE", bob, "w", "", with(lync, "Event: presence", "Expires: 0")...), 200)
	if n := s.s.index.weightAt(alice); n != 2 {
		t.Errorf("after bob's end %d categories stay", n)
	}
	if res := sipagent.Status(t, phone.ask("SUBSCRIBE", alice, "pidf2", "", "Event: presence", "Expires: 600"), 200); s.s.index.weightAt(alice) != 3 {
		t.Errorf("%s", res)
	}
}

func TestNobodyCanSubscribe(t *testing.T) {
	s := start(t, Policy{MaxCategorySubscription: -1})
	a, b, phone := s.endpoint(alice, "a1"), s.endpoint(bob, "b1"), s.endpoint(carol, "")
	if res := sipagent.Status(t, b.batch("w", alice, carol), 200); len(terminated(res.Body)) != 2 {
		t.Errorf("%s", res)
	}
	res := sipagent.Status(t, phone.ask("SUBSCRIBE", alice, "w", "", "Event: presence", "Expires: 600"), 403)
	if !strings.HasPrefix(res.Get("ms-diagnostics"), "4006;") {
		t.Errorf("%s", res)
	}
	sipagent.Status(t, phone.ask("SUBSCRIBE", alice, "p", "", "Event: presence", "Expires: 0"), 403)
	if n := availability(t, categoriesOf(t, sipagent.Status(t, a.batch("w", alice), 200))); n != 3500 {
		t.Errorf("one's own presence: %d", n)
	}
}

// switching can be changed while the service runs.
type switching struct {
	Policy
	private atomic.Bool
}

func (p *switching) Privacy() *policy.Privacy {
	return &policy.Privacy{EnablePrivacyMode: p.private.Load()}
}
func (p *switching) Presence(u uc.UserURI) *policy.Presence { return p.Policy.Presence(u) }

func TestPrivacyModeIsSwitchedWhileRunning(t *testing.T) {
	p := &switching{}
	s := start(t, p)
	s.endpoint(alice, "a1")
	b := s.endpoint(bob, "b1")
	if n := availability(t, categoriesOf(t, sipagent.Status(t, b.batch("w", alice), 200))); n != 3500 {
		t.Fatalf("%d", n)
	}
	for _, c := range []struct {
		on   bool
		want int
	}{{true, -1}, {false, 3500}} {
		p.private.Store(c.on)
		s.g.mu.Lock()
		s.s.Afresh(s.g.state)
		s.g.mu.Unlock()
		if n := availability(t, categoriesOf(t, b.notified())); n != c.want {
			t.Errorf("privacy mode %v: %d", c.on, n)
		}
	}
}
