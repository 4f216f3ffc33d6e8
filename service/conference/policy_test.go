package conference

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"trivet/fault"
	"trivet/kit/life"
	"trivet/kit/log"
	"trivet/rule/conference"
	"trivet/rule/groupstate"
	"trivet/rule/policy"
	"trivet/uc"
)

// decided are policies for everybody.
type decided struct {
	conferencing policy.Conferencing
	services     policy.UserServices
}

func (d *decided) Conferencing(uc.UserURI) *policy.Conferencing { return &d.conferencing }
func (d *decided) UserServices() *policy.UserServices           { return &d.services }

// away is a deployment whose groups do not answer.
type away struct{ Groups }

func (away) Propose(context.Context, uc.UserURI, groupstate.Command) (any, error) {
	return nil, fault.New(fault.Unavailable, "test", "away")
}

func TestPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := life.New(context.Background(), log.Discard())
		d := &decided{*policy.ConferencingPolicy.Default(), *policy.UserServicesConfiguration.Default()}
		s := New(Config{Groups: away{}, Life: g, Policies: d})
		at := place{"sip:alice@example.test", "M1"}
		f := s.open(at, &groupstate.Conference{ID: "M1"})
		d.conferencing.MaxMeetingSize = 2
		for i, user := range []uc.UserURI{"sip:a@example.test", "sip:b@example.test", "sip:c@example.test"} {
			f.do(func() {
				err := f.admit(entrance{place: at, user: user}, func(f *focus, p *person) error { f.people = append(f.people, p); return nil })
				if full := i == 2; full != fault.Is(err, fault.Limit) {
					t.Errorf("participant %d of two: %v", i+1, err)
				}
			})
		}
		if l, err := s.level(at.organizer, "anonymous"); err != nil || l != conference.Everyone {
			t.Errorf("%v, %v", l, err)
		}
		d.conferencing.AllowAnonymousParticipantsInMeetings = false
		if _, err := s.level(at.organizer, "anonymous"); !fault.Is(err, fault.Forbidden) {
			t.Errorf("a conference for everybody: %v", err)
		}
		<-time.After(24*time.Hour - time.Second)
		synctest.Wait()
		if s.running(at) != f {
			t.Error("ended too early")
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if s.running(at) != nil || !f.over {
			t.Error("the conference still runs after its longest time")
		}
		if err := g.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
