package im

import (
	"slices"
	"strings"
	"testing"

	"trivet/rule/access"
	"trivet/rule/groupstate"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/sip"
)

// told is what an answer tells: all but the numbers of its transaction.
func told(m *sip.Message) string {
	m = m.Clone()
	for _, name := range []string{"Via", "CSeq", "Call-ID"} {
		m.Del(name)
	}
	to, _, _ := strings.Cut(m.Get("To"), ";tag=")
	m.Set("To", to)
	return m.String()
}

func TestBlockedCallerSeesAnOfflineUser(t *testing.T) {
	w := start(t)
	a, c, lync, phone := w.lync(alice, "a1"), w.lync(carol, "c1"), w.lync(bob, "b1"), w.phone(bob, "b2")
	requests := func() (list []*sip.Message) {
		for _, uri := range []string{string(bob), gruu(bob, "b1"), gruu(bob, "b2")} {
			list = append(list, a.request("MESSAGE", uri, "hello"), a.request("INVITE", uri, imOffer, sdpType), a.request("INVITE", uri, callBody, sdpType),
				a.request("INFO", uri, "x"), a.request("REFER", uri, ""), a.request("MESSAGE", uri, "hello", "To: <"+string(bob)+">;tag=x"))
		}
		return list
	}
	answers := func() (list []string) {
		for _, m := range requests() {
			res := sipagent.Status(w.t, a.do(m), 480)
			if m.Method == "INVITE" {
				a.Send(a.request("ACK", m.RequestURI, "", "Via: "+m.Get("Via"), "To: "+res.Get("To"), "Call-ID: "+m.CallID()))
			}
			list = append(list, told(res))
		}
		return list
	}
	back := w.away(bob)
	offline := answers()
	back()
	w.block(bob, person(alice))
	for i, got := range answers() {
		if got != offline[i] {
			t.Errorf("blocked:\n%s\noffline:\n%s", got, offline[i])
		}
	}
	lync.quiet()
	phone.quiet()

	hello := func(d *device) {
		t.Helper()
		d.Send(d.request("MESSAGE", gruu(bob, "b1"), "hello"))
		lync.reply(lync.recv("MESSAGE"), 200)
		sipagent.Status(w.t, d.final(), 200)
	}
	hello(c) // is not blocked
	lync.Send(lync.request("MESSAGE", string(alice), "who has blocked may write"))
	a.reply(a.recv("MESSAGE"), 200)
	sipagent.Status(w.t, lync.final(), 200)
	w.block(bob, pardoned(alice))
	hello(a)
}

func TestBlockedInTheGateway(t *testing.T) {
	w := start(t)
	a, phone := w.lync(alice, "a1"), w.phone(bob, "b1")
	ok := chatWith(a)
	typing := `<KeyboardActivity><status status="type"/></KeyboardActivity>`
	both := func() []string {
		return []string{told(sipagent.Status(w.t, a.do(a.within(ok, "MESSAGE", "hello")), 480)), told(sipagent.Status(w.t, a.do(a.within(ok, "INFO", typing)), 200)), told(sipagent.Status(w.t, a.do(a.within(ok, "INVITE", imOffer, sdpType)), 200))}
	}
	back := w.away(bob)
	offline := both()
	back()
	w.block(bob, person(alice))
	if blocked := both(); !slices.Equal(blocked, offline) {
		t.Errorf("blocked:\n%s\noffline:\n%s", blocked, offline)
	}
	phone.quiet()
	w.block(bob, pardoned(alice))
	a.Send(a.within(ok, "MESSAGE", "hello"))
	phone.reply(phone.recv("MESSAGE"), 200)
	sipagent.Status(w.t, a.final(), 200)
	w.block(bob, person(alice))
	sipagent.Status(w.t, a.do(a.within(ok, "BYE", "")), 200)
}

func TestBlockedWithinASession(t *testing.T) {
	w := start(t)
	a, b := w.lync(alice, "a1"), w.lync(bob, "b1")
	ok, invite := dialog(w, a, b)
	w.block(bob, person(alice))
	if res := sipagent.Status(w.t, a.do(a.within(ok, "MESSAGE", "hello")), 480); !strings.HasPrefix(res.Get("ms-diagnostics"), "1014;") {
		t.Errorf("got\n%s", res)
	}
	b.quiet()
	b.Send(b.back(invite, "MESSAGE", "who has blocked may write"))
	a.reply(a.recv("MESSAGE"), 200)
	sipagent.Status(w.t, b.final(), 200)
	a.Send(a.within(ok, "BYE", "")) // ends it for both
	b.reply(b.recv("BYE"), 200)
	sipagent.Status(w.t, a.final(), 200)
}

func TestDoorsFollowTheGroup(t *testing.T) {
	w := start(t)
	shut := func(want bool, callee, caller uc.UserURI) {
		t.Helper()
		if got := w.s.doors.shut(callee, caller); got != want {
			t.Errorf("%s is shut to %s: %v, want %v", callee, caller, got, want)
		}
	}
	shut(false, bob, alice)
	w.block(bob, groupstate.MemberChange{Member: access.Member{Type: access.Domain, Value: "example.test"}})
	w.block(carol, person(alice))
	shut(true, bob, alice)
	shut(true, carol, alice)
	shut(false, carol, bob)
	shut(false, alice, bob)
	shut(false, bob, bob) // oneself
	if n := w.s.doors.count.Load(); n != 2 {
		t.Errorf("%d users have blocked somebody", n)
	}

	other := New(Config{})
	other.Adopt(w.state) // another server takes the group over
	if n := other.doors.count.Load(); n != 2 || !other.doors.shut(bob, alice) {
		t.Errorf("after a takeover %d users have blocked somebody", n)
	}

	const carolMay = uc.UserURI("sip:carol.may@example.test")
	shut(true, carol, alice)
	w.apply(&groupstate.RenameUser{User: carol, To: carolMay})
	shut(false, carol, alice)
	shut(true, carolMay, alice)
	w.apply(&groupstate.RemoveUser{User: carolMay})
	shut(false, carolMay, alice)
	w.apply(&groupstate.EnableUser{User: carol})
	shut(false, carol, alice)
	w.block(bob, groupstate.MemberChange{Remove: true, Member: access.Member{Type: access.Domain, Value: "example.test"}})
	shut(false, bob, alice)
	if n := w.s.doors.count.Load(); n != 0 {
		t.Errorf("%d users have blocked somebody", n)
	}
}
