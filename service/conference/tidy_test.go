package conference

import (
	"context"
	"strings"
	"testing"
	"time"

	"trivet/link/siptrans"
	"trivet/rule/conference"
	"trivet/rule/groupstate"
	"trivet/wire/sip"
)

// TestPagesThatNobodyAnswers: after three the person is taken for gone.
func TestPagesThatNobodyAnswers(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	a := w.guest(alice, "a1").enter(focus)
	f := w.s.running(place{alice, "M1"})
	x := &seat{f: f, person: &person{user: bob}, entity: "{1}", page: true}
	f.do(func() { f.sit(x); f.tell(news{changed: []*person{x.person}}) })
	a.roster(bob, true)
	outcome := func(status int) {
		f.do(func() { x.owes.waiting++ })
		f.do(func() { f.turned(x, nil, status) })
	}
	for _, status := range []int{408, 408, 200, 408, 408} {
		outcome(status)
	}
	if x.gone {
		t.Fatal("gone although a page was answered")
	}
	outcome(408)
	a.roster(bob, false)
	if x.owes.waiting != 0 {
		t.Errorf("it owes %d answers", x.owes.waiting)
	}
}

// TestRoleFollowsTheList: who is taken off it has the role that anybody would have.
func TestRoleFollowsTheList(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	w.guest(alice, "a1").enter(focus)
	w.guest(bob, "b1").enter(focus)
	f := w.s.running(place{alice, "M1"})
	presents := func(want bool) {
		t.Helper()
		w.eventually("bob's role", func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.find(bob).presenter == want
		})
	}
	list := func(l ...groupstate.Listed) {
		t.Helper()
		r, _ := w.Propose(context.Background(), alice, &groupstate.ModifyConference{Organizer: alice, ID: "M1", Now: w.clock.Now().UnixMilli(), What: groupstate.ChangeListed, Listed: l})
		if err := groupstate.Refused(r); err != nil {
			t.Fatal(err)
		}
	}
	list(groupstate.Listed{User: bob, Presenter: true})
	presents(true)
	list(groupstate.Listed{User: carol})
	presents(false)
	w.Propose(context.Background(), alice, &groupstate.ModifyConference{Organizer: alice, ID: "M1", Now: w.clock.Now().UnixMilli(), What: groupstate.ChangePromotion, Promote: conference.PromoteCompany})
	list(groupstate.Listed{User: bob})
	list()
	presents(true)
}

// TestExpiredSubscription: the watcher is told, RFC 6665 4.2.2, without any news.
func TestExpiredSubscription(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	a := w.guest(alice, "a1").enter(w.conference())
	w.clock.ahead.Store(int64(2 * time.Hour))
	w.s.tidy()
	m := a.await("the last notification", func(m *sip.Message) bool { return m.Method == "BENOTIFY" && len(m.Body) == 0 })
	if got := m.Get("Subscription-State"); !strings.HasPrefix(got, "terminated") || !strings.Contains(got, "reason=timeout") {
		t.Error(got)
	}
}

// TestLongestTimeIsThatOfToday: the policy is asked again while a conference runs.
func TestLongestTimeIsThatOfToday(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	a := w.guest(alice, "a1").enter(w.conference())
	w.clock.ahead.Store(int64(9 * time.Hour))
	w.s.keep()
	a.silent("BYE")
	w.s.lapsed(w.s.running(place{alice, "M1"})) // the timer of a shorter policy of before
	a.silent("BYE")
	w.rules.services.DeactivationGracePeriod = 8 * time.Hour
	w.s.keep()
	w.empty()
}
