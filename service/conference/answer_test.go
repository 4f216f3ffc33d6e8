package conference

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"trivet/fault"
	"trivet/link/siptrans"
	"trivet/rule/conference"
	"trivet/rule/groupstate"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

// modify sends a modifyConference to the focus of alice's conference.
func (g *peer) modify(what string) *sip.Message {
	g.t.Helper()
	res, _ := g.do("INFO", "", g.ctl, "Content-Type: "+cccp.Type, "", `<request requestId="1"><modifyConference><conferenceKeys confEntity="`+g.focus+`"/><conference-info entity="">`+what+`</conference-info></modifyConference></request>`)
	return res
}

// settings are those of alice's conference.
func (w *world) settings() (c groupstate.Conference) {
	w.Read(w.t.Context(), alice, func(s *groupstate.State) { c = *s.User(alice).Conference("M1") })
	return c
}

// TestModificationsCount: what is named is changed, nothing else is, and what names
// nothing is refused.
func TestModificationsCount(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	a := w.guest(alice, "a1").enter(w.conference())
	description := func(s string) string { return "<conference-description>" + s + "</conference-description>" }
	for _, c := range []struct {
		what   string
		status int
		is     func(c groupstate.Conference) bool
	}{
		{description("<autopromote>2147483648</autopromote>"), 200, func(c groupstate.Conference) bool { return c.Promote == conference.PromoteEveryone }},
		{description("<admission-policy>closedAuthenticated</admission-policy>"), 200, func(c groupstate.Conference) bool {
			return c.Level == conference.Invited && c.Promote == conference.PromoteEveryone
		}},
		{description("<subject>Plans</subject>"), 200, func(c groupstate.Conference) bool { return c.Subject == "Plans" && c.Level == conference.Invited }},
		{description("<subject></subject>"), 200, func(c groupstate.Conference) bool { return c.Subject == "" }},
		{`<users><user entity="` + string(bob) + `"/></users>`, 200, func(c groupstate.Conference) bool { return len(c.Listed) == 1 }},
		{"<users/>", 200, func(c groupstate.Conference) bool { return len(c.Listed) == 0 }},
		{description("<conference-id>M1</conference-id>"), 400, func(groupstate.Conference) bool { return true }},
	} {
		if res := a.modify(c.what); res.Status != c.status || !c.is(w.settings()) {
			t.Errorf("%s: %d, %+v", c.what, res.Status, w.settings())
		}
	}
}

func TestTypesOfMessages(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	a, b := w.guest(alice, "a1").enter(focus), w.guest(bob, "b1").enter(focus)
	for _, c := range []struct {
		kind   string
		status int
	}{{"", 400}, {"application/x-msdownload", 415}, {"message/cpim", 415}, {"application/sdp", 415}} {
		extra := []string{"Content-Type: " + c.kind, "", "x"}
		if c.kind == "" {
			extra = extra[1:]
		}
		res, _ := a.do("MESSAGE", "", a.chat, extra...)
		if res.Status != c.status || c.status == 415 && !strings.Contains(res.Get("Accept"), "text/plain") || res.Get("ms-diagnostics") == "" {
			t.Errorf("%q\n%s", c.kind, res)
		}
	}
	if res, _ := a.do("MESSAGE", "", a.chat, "Content-Type: Text/Plain; charset=UTF-8", "", "at last"); res.Status != 202 {
		t.Error(res)
	}
	b.hears("at last")
}

// TestOutOfOrder: 500 with the fault's text, RFC 3261 12.2.2.
func TestOutOfOrder(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	a, b := w.guest(alice, "a1").enter(focus), w.guest(bob, "b1").enter(focus)
	f := w.s.running(place{alice, "M1"})
	f.do(func() { f.find(alice).seats[0].chat.dialog.RemoteSeq = 1 << 20 })
	if res := a.say("late"); res.Status != 500 || !strings.Contains(res.Get("ms-diagnostics"), "CSeq") {
		t.Error(res)
	}
	b.silent("MESSAGE")
}

func TestOptions(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	a := w.guest(alice, "a1")
	res, _ := a.do("OPTIONS", focus, call{})
	if res.Status != 200 || !strings.Contains(res.Get("Allow"), "INVITE") || res.Get("Allow-Events") != Event || !strings.Contains(res.Get("Accept"), cccp.Type) || res.Get("Contact") != "<"+focus+">;isfocus" {
		t.Error(res)
	}
	if res, _ := a.do("OPTIONS", Focus(alice, "M2"), call{}); res.Status != 404 {
		t.Error(res)
	}
	if res, _ := a.do("OPTIONS", Factory(alice), call{}); res.Status != 200 || res.Get("Allow") != "SERVICE, OPTIONS" || res.Get("Contact") != "" {
		t.Error(res)
	}
}

// TestListsFit: many conferences are all named in an answer that can be read, or
// refused with the reason.
func TestListsFit(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	var all []*groupstate.Conference
	for n := range 1000 {
		all = append(all, &groupstate.Conference{ID: fmt.Sprint("C", n), Subject: strings.Repeat("s", 500), Modalities: modalities})
	}
	body, err := w.s.list(alice, all, maxSent)
	if err != nil || len(body) > maxSent {
		t.Fatal(len(body), err)
	}
	answer := cccp.Response{Command: "getConferences", Code: cccp.Success, Body: body}
	if _, err := cccp.ParseResponse(answer.Append(nil)); err != nil {
		t.Error(err)
	}
	if n := strings.Count(string(body), "<conference-info"); n != len(all) {
		t.Errorf("%d of %d conferences", n, len(all))
	}
	if n := strings.Count(string(body), "<subject>"); n == 0 {
		t.Error("none is described")
	}
	if _, err := w.s.list(alice, all, maxDatagram); !fault.Is(err, fault.Limit) {
		t.Errorf("too many for a datagram: %v", err)
	}
}

// TestLargeRostersFit: everybody is in a roster that can be read, with less of each.
func TestLargeRostersFit(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	w.guest(alice, "a1").enter(w.conference())
	f := w.s.running(place{alice, "M1"})
	var users []cccp.User
	for n := range 1000 {
		u := cccp.User{Entity: fmt.Sprintf("sip:somebody%d@example.test", n), State: cccp.Full, DisplayText: strings.Repeat("n", 64), Roles: roles(false)}
		for range 4 {
			u.Endpoints = append(u.Endpoints, cccp.Endpoint{Entity: newEntity(), SessionType: cccp.Chat, Status: cccp.Connected})
		}
		users = append(users, u)
	}
	write := func(users []cccp.User) []byte { return (&cccp.Info{State: cccp.Full, Users: users}).Append(nil) }
	for _, c := range []struct{ have, size, want int }{{1000, maxSent, 1000}, {200, maxDatagram, 200}, {1000, 100 << 10, 600}} {
		b := fit(users[:c.have], c.size, write)
		if i, err := cccp.ParseInfo(b); err != nil || len(b) > c.size || len(i.Users) < c.want {
			t.Errorf("%d users in %d bytes: %d, %d users, %v", c.have, c.size, len(b), len(i.Users), err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if i, err := cccp.ParseInfo(f.full("x", maxSent)); err != nil || len(i.Users) != 1 || len(i.Users[0].Endpoints) != 2 || i.Description == nil {
		t.Errorf("%v %+v", err, i)
	}
}

// TestMeetOfADisabledOrganizer: the page says that the meeting has ended.
func TestMeetOfADisabledOrganizer(t *testing.T) {
	w := start(t, time.Minute, siptrans.Config{})
	focus := w.conference()
	if status, p := w.s.launcher(t.Context(), "alice@example.test", "M1"); status != 200 || p.Link == "" {
		t.Errorf("%d %+v", status, p)
	}
	w.Propose(t.Context(), alice, &groupstate.DisableUser{User: alice, Now: 2})
	if status, p := w.s.launcher(t.Context(), "alice@example.test", "M1"); status != 404 || p.Link != "" || !strings.Contains(p.Text, "ended") {
		t.Errorf("%d %+v", status, p)
	}
	if res := w.guest(bob, "b1").join(focus); res.Status != 403 {
		t.Error(res)
	}
}
