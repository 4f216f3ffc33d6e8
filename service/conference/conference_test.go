package conference

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/rule/siptxn"
	"trivet/uc"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

func TestAddresses(t *testing.T) {
	for uri, want := range map[string]address{
		"sip:alice@example.test;gruu;opaque=app:conf:focus:id:A1":                    {place{alice, "A1"}, cccp.Focus},
		"sip:Alice@Example.test;opaque=app:conf:chat:id:A1;gruu":                     {place{alice, "A1"}, cccp.Chat},
		"sip:alice@example.test;gruu;opaque=app:conf:focus:id:A1?x=y":                {place{alice, "A1"}, cccp.Focus},
		"sip:alice@example.test;gruu;opaque=app:conf:focusfactory":                   {place{alice, ""}, factoryKind},
		"sip:app.conf.A1.alice@example.test;transport=tcp":                           {place{alice, "A1"}, cccp.Focus},
		"sip:app.conf.A1.alice.jones@example.test":                                   {place{"sip:alice.jones@example.test", "A1"}, cccp.Focus},
		"sip:app.conf.A1@example.test":                                               {},
		"sip:app.conf..alice@example.test":                                           {},
		"sip:alice@example.test;gruu;opaque=app:conf:focus:id:":                      {},
		"sip:alice@example.test;gruu;opaque=app:conf:focus:id:A-1":                   {},
		"sip:alice@example.test;gruu;opaque=app:conf:focus":                          {},
		"sip:alice@example.test;gruu;opaque=app:conf:audio-video:id:A1":              {},
		"sip:alice@example.test;gruu;opaque=app:voicemail":                           {},
		"sip:alice@example.test":                                                     {},
		"tel:+1;opaque=app:conf:focusfactory":                                        {},
		"":                                                                           {},
		"sip:alice@example.test;opaque=app:conf:focus:id:" + strings.Repeat("A", 33): {},
	} {
		got, ok := parse(uri)
		if !ok {
			got = address{}
		}
		if got != want {
			t.Errorf("%s: %+v %v", uri, got, ok)
		}
	}
	if a, ok := parse(Focus(bob, "A1")); !ok || a.organizer != bob || a.uri(cccp.Chat) != "sip:bob@example.test;gruu;opaque=app:conf:chat:id:A1" {
		t.Errorf("%+v %v", a, ok)
	}
	if a, ok := parse((place{bob, "A1"}).alias()); !ok || a.place != (place{bob, "A1"}) {
		t.Errorf("%+v %v", a, ok)
	}
	if a, ok := parse(Factory(bob)); !ok || a.kind != factoryKind {
		t.Errorf("%+v %v", a, ok)
	}
}

func TestLostParticipantLeavesAfterTheGrace(t *testing.T) {
	w := start(t, 50*time.Millisecond, siptrans.Config{})
	focus := w.conference()
	a, b, c := w.guest(alice, "a1").enter(focus), w.guest(bob, "b1").enter(focus), w.guest(carol, "c1").enter(focus)
	b.c.Close()
	a.roster(bob, false)
	c.roster(bob, false)
	a.do("BYE", "", a.ctl)
	c.c.Close()
	w.empty()
}

// TestParticipantComesBack: a device that comes back within the grace has one seat, and
// the end of its old connection takes nothing away.
func TestParticipantComesBack(t *testing.T) {
	w := start(t, 50*time.Millisecond, siptrans.Config{})
	focus := w.conference()
	a, b := w.guest(alice, "a1").enter(focus), w.guest(bob, "b1").enter(focus)
	a.roster(bob, true)
	again := w.guest(bob, "b1").enter(focus)
	a.roster(bob, true)
	b.c.Close()
	third := w.guest(carol, "c1").enter(focus)
	third.c.Close()
	a.roster(carol, false) // its grace was over after that of bob's old connection
	if res := a.say("hello"); res.Status != 202 {
		t.Fatal(res)
	}
	again.hears("hello")
	if foci, sessions, seats := w.sizes(); foci != 1 || sessions != 4 || seats != 2 {
		t.Errorf("%d foci, %d sessions, %d users", foci, sessions, seats)
	}
	a.do("BYE", "", a.ctl)
	again.do("BYE", "", again.ctl)
	w.empty()
}

func TestFullConference(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	w.rules.conferencing.MaxMeetingSize = 2
	focus := w.conference()
	w.guest(alice, "a1").enter(focus)
	b := w.guest(bob, "b1").enter(focus)
	c := w.guest(carol, "c1")
	if res := c.join(focus); res.Status != 486 || res.Get("ms-diagnostics") == "" {
		t.Errorf("the third joins\n%s", res)
	}
	phone := w.guest(carol, "")
	if res, _ := phone.do("INVITE", focus, call{}, "Content-Type: application/sdp", "", imOffer); res.Status != 486 || len(res.Body) > 0 {
		t.Errorf("the third calls\n%s", res)
	}
	w.guest(bob, "b2").enter(focus) // another device is nobody more
	b.do("BYE", "", b.ctl)
	if res := c.join(focus); res.Status != 486 {
		t.Errorf("bob is still there with a device: %d", res.Status)
	}
}

func TestDevicesOfOneParticipantAreBounded(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	for n := range maxSeats {
		if res := w.guest(alice, fmt.Sprint("a", n)).join(focus); res.Status != 200 {
			t.Fatal(n, res)
		}
	}
	if res := w.guest(alice, "more").join(focus); res.Status != 403 {
		t.Errorf("one more: %d", res.Status)
	}
}

func TestWhatWasSaidIsForgotten(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	a := w.guest(alice, "a1").enter(focus)
	for n := range historyLen + 2 {
		a.say(fmt.Sprint(n))
	}
	b := w.guest(bob, "b1").enter(focus)
	for n := 2; n < historyLen+2; n++ {
		b.hears(fmt.Sprint(n))
	}
	w.clock.ahead.Store(int64(historyTime - time.Second))
	w.guest(carol, "c1").enter(focus).hears("2")
	a.say("new")
	w.clock.ahead.Store(int64(historyTime + 10*time.Second))
	d := w.guest(dave, "d1").enter(focus)
	d.hears("new")
	d.silent("MESSAGE")
}

func TestParticipantThatNeverAnswersLeaves(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{MessageAnswer: 50 * time.Millisecond, Timers: siptxn.From(2 * time.Millisecond)})
	focus := w.conference()
	a, b := w.guest(alice, "a1").enter(focus), w.guest(bob, "b1")
	b.mute = true
	b.enter(focus)
	for range maxMissed {
		a.say("hello")
		m := a.await("a report", func(m *sip.Message) bool { return m.ContentType() == cccp.TypeReport })
		if r, err := cccp.ParseReport(m.Body); err != nil || cmp.Diff([]cccp.Recipient{{URI: string(bob), Status: 408}}, r.Recipients) != "" {
			t.Fatalf("%v\n%s", err, m)
		}
	}
	a.await("bob without messages", func(m *sip.Message) bool {
		i, err := cccp.ParseInfo(m.Body)
		return err == nil && len(i.Users) == 1 && i.Users[0].Entity == string(bob) && len(i.Users[0].Endpoints) == 1
	})
}

func TestOrderIsTheSameForAll(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	c, d := w.guest(carol, "c1").enter(focus), w.guest(dave, "d1").enter(focus)
	const each, writers = 50, 4
	var all sync.WaitGroup
	for n := range writers {
		g := w.guest([]uc.UserURI{alice, bob}[n%2], fmt.Sprint("w", n)).enter(focus)
		all.Go(func() {
			for k := range each {
				g.say(fmt.Sprint(n, " ", k))
			}
		})
	}
	all.Wait()
	heard := func(g *peer) (list []string) {
		for range each * writers {
			list = append(list, string(g.await("a message", func(m *sip.Message) bool { return m.Method == "MESSAGE" }).Body))
		}
		return list
	}
	if d := cmp.Diff(heard(c), heard(d)); d != "" {
		t.Errorf("carol and dave hear different orders (-carol +dave)\n%s", d)
	}
}

func TestExpiredConferenceEnds(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	a := w.guest(alice, "a1").enter(focus)
	expires := func() (at int64) {
		w.Read(context.Background(), alice, func(s *groupstate.State) { at = s.User(alice).Conference("M1").Expires })
		return at
	}
	until := func(what string, least time.Duration) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for limit := time.Now().Add(patience); expires() < w.clock.Now().Add(least).UnixMilli(); <-tick.C {
			if time.Now().After(limit) {
				t.Fatalf("%s: it expires at %v", what, time.UnixMilli(expires()))
			}
		}
	}
	until("joined", keepFor-time.Minute)
	w.clock.ahead.Store(int64(keepFor - time.Minute))
	w.s.keep()
	until("in use", keepFor-time.Minute)
	before := expires()
	w.s.keep() // too early to be kept again
	w.Propose(context.Background(), alice, &groupstate.Sweep{Now: before - 1})
	a.silent("BYE")
	w.Propose(context.Background(), alice, &groupstate.Sweep{Now: before})
	a.await("the end", func(m *sip.Message) bool { return m.Method == "BYE" && m.CallID() == a.ctl.id })
	a.await("the end", func(m *sip.Message) bool { return m.Method == "BYE" && m.CallID() == a.chat.id })
	w.empty()
	if res := a.join(focus); res.Status != 404 {
		t.Errorf("joining an expired conference: %d", res.Status)
	}
}

// TestRefreshes: INVITE and SUBSCRIBE within their dialogs keep them; what is repeated
// or forged does not.
func TestRefreshes(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	a := w.guest(alice, "a1").enter(focus)
	res, sub := a.do("SUBSCRIBE", focus, call{}, "Event: conference", "Expires: 60", "Supported: ms-benotify, ms-piggyback-first-notify")
	if res.Status != 200 || len(res.Body) == 0 {
		t.Fatal(res)
	}
	sub.target = focus
	if res, _ := a.do("SUBSCRIBE", focus, sub, "Event: conference", "Expires: 60", "Supported: ms-benotify, ms-piggyback-first-notify"); res.Status != 200 || res.Get("Expires") != "60" {
		t.Errorf("SUBSCRIBE again\n%s", res)
	}
	if res, _ := a.do("INVITE", "", a.chat, "Content-Type: application/sdp", "", imOffer); res.Status != 200 || !strings.Contains(string(res.Body), "m=message") {
		t.Errorf("INVITE for messages again\n%s", res)
	}
	if res, _ := a.do("INVITE", "", a.ctl); res.Status != 200 || res.ContentType() != cccp.Type {
		t.Errorf("INVITE again\n%s", res)
	}
	if res, _ := a.do("SUBSCRIBE", focus, sub, "Event: conference", "Expires: 0", "Supported: ms-benotify"); res.Status != 200 || res.Get("Expires") != "0" {
		t.Errorf("the end of the subscription\n%s", res)
	}
	if res, _ := a.do("SUBSCRIBE", focus, sub, "Event: conference", "Expires: 60", "Supported: ms-benotify"); res.Status != 481 {
		t.Errorf("behind its end\n%s", res)
	}
	if res := a.say("still here"); res.Status != 202 {
		t.Errorf("without a subscription: %d", res.Status)
	}
	if res, _ := a.do("INFO", "", a.ctl, "Content-Type: "+cccp.Type, "", `<request><getConference><conferenceKeys confEntity="`+Focus(alice, "M2")+`"/></getConference></request>`); res.Status != 400 {
		t.Errorf("a command about another conference: %d", res.Status)
	}
	if res, _ := a.do("INFO", "", a.chat, "Content-Type: "+cccp.Type, "", `<request><getConference><conferenceKeys confEntity="`+focus+`"/></getConference></request>`); res.Status != 488 {
		t.Errorf("a command to the messages: %d", res.Status)
	}
	if res, _ := a.do("MESSAGE", "", a.ctl, "Content-Type: text/plain", "", "x"); res.Status != 488 {
		t.Errorf("a message to the focus: %d", res.Status)
	}
	if res, _ := a.do("INFO", "", a.ctl, "Content-Type: "+cccp.Type, "", `<request><getConference><conferenceKeys confEntity="`+focus+`"/></getConference></request>`); res.Status != 200 || !strings.Contains(string(res.Body), `display-text>alice@example.test<`) {
		t.Errorf("getConference\n%s", res)
	}
}

func TestTally(t *testing.T) {
	for _, c := range []struct {
		outcomes []int
		want     []int
	}{{[]int{200}, []int{200}}, {[]int{480, 200, 200}, []int{200}}, {[]int{480, 486}, []int{486}}, {[]int{200, 480}, []int{200}}} {
		var told []int
		n := tally{left: len(c.outcomes), on: func(s int) { told = append(told, s) }}
		for _, s := range c.outcomes {
			n.count(s)
		}
		if cmp.Diff(c.want, told) != "" {
			t.Errorf("%v gives %v", c.outcomes, told)
		}
	}
}

func TestPlainType(t *testing.T) {
	for in, want := range map[string]string{
		"text/plain; charset=UTF-8;msgr=WAAt": "text/plain;charset=UTF-8", "text/plain": "text/plain", "text/html; MSGR=x; a=b": "text/html;a=b", "": "",
	} {
		if got := plainType(in); got != want {
			t.Errorf("%q becomes %q", in, got)
		}
	}
}
