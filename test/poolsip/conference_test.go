package poolsip

import (
	"strings"
	"testing"
	"time"

	"trivet/rule/groupstate"
	"trivet/service/conference"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

// conference makes a conference of alice, whose group fe1 leads, and returns its address.
func (p *pool) conference() string {
	now := time.Now().UnixMilli()
	p.propose(p.t.Context(), alice, &groupstate.AddConference{Organizer: alice, Now: now, Max: 10, ID: "M1", Expires: now + 600_000, Modalities: []string{cccp.Chat}})
	return conference.Focus(alice, "M1")
}

// member is a Lync client in a conference.
type member struct {
	*guest
	focus     string
	ctl, chat call
}

// joins is the addUser alone.
func (m *member) joins() *sip.Message {
	m.t.Helper()
	body := `<request xmlns="urn:ietf:params:xml:ns:cccp" requestId="1"><addUser><conferenceKeys confEntity="` + m.focus + `"/><user entity="` + string(m.user) +
		`"><roles><entry>attendee</entry></roles><endpoint entity="{1}"/></user></addUser></request>`
	var res *sip.Message
	res, m.ctl = m.do("INVITE", m.focus, call{}, "Content-Type: "+cccp.Type, "", body)
	return res
}

// enters joins with focus, roster and messages.
func (g *guest) enters(focus string) *member {
	g.t.Helper()
	m := &member{guest: g, focus: focus}
	sipagent.Status(g.t, m.joins(), 200)
	m.ack(m.ctl)
	res, _ := g.do("SUBSCRIBE", focus, call{}, "Event: conference", "Expires: 3600", "Supported: ms-benotify, ms-piggyback-first-notify")
	sipagent.Status(g.t, res, 200)
	res, m.chat = g.do("INVITE", strings.Replace(focus, ":focus:", ":chat:", 1), call{}, sdpType, "", imOffer)
	sipagent.Status(g.t, res, 200)
	m.ack(m.chat)
	return m
}

// says sends a message within the chat.
func (m *member) says(words string) {
	m.t.Helper()
	res, _ := m.do("MESSAGE", "", m.chat, text, "", words)
	sipagent.Status(m.t, res, 202)
}

// learns waits for the news that somebody is in the conference, or not any more.
func (m *member) learns(user uc.UserURI, there bool) {
	m.t.Helper()
	m.await("the roster", func(q *sip.Message) bool {
		i, err := cccp.ParseInfo(q.Body)
		if q.Method != "BENOTIFY" || err != nil {
			return false
		}
		for _, u := range i.Users {
			if u.Entity == string(user) && (u.State != cccp.Deleted) == there {
				return true
			}
		}
		return false
	})
}

func TestConferenceOverServers(t *testing.T) {
	p := start(t)
	focus := p.conference()
	a := p.servers[0].lync(alice, "a").enters(focus)
	b := p.servers[1].lync(bob, "b").enters(focus)
	a.learns(bob, true)
	c := p.servers[2].phone(carol)
	res, d := c.do("INVITE", focus, call{}, sdpType, "", imOffer) // a standard client calls the conference
	sipagent.Status(t, res, 200)
	c.ack(d)
	for _, m := range []*member{a, b} {
		m.learns(carol, true)
	}
	for i, s := range p.servers {
		if n, _ := s.meetings.Count(); (n == 1) != (i == 0) {
			t.Errorf("%s runs %d conferences", s.name, n)
		}
	}
	b.says("from bob")
	a.gets("MESSAGE", "from bob")
	c.gets("MESSAGE", "from bob")
	a.says("from alice")
	b.gets("MESSAGE", "from alice")
	c.gets("MESSAGE", "from alice")
	res, _ = c.do("MESSAGE", "", d, text, "", "from carol")
	sipagent.Status(t, res, 202)
	a.gets("MESSAGE", "from carol")
	b.gets("MESSAGE", "from carol")

	eject := `<request xmlns="urn:ietf:params:xml:ns:cccp" requestId="2"><deleteUser><userKeys confEntity="` + focus + `" userEntity="` + string(bob) + `"/></deleteUser></request>`
	res, _ = b.do("INFO", "", b.ctl, "Content-Type: "+cccp.Type, "", strings.ReplaceAll(eject, string(bob), string(alice)))
	sipagent.Status(t, res, 403) // it is bob who asks, whatever server passes it on
	res, _ = a.do("INFO", "", a.ctl, "Content-Type: "+cccp.Type, "", eject)
	sipagent.Status(t, res, 200)
	for range 2 {
		b.gets("BYE", "")
	}
	b.await("the end of the subscription", func(m *sip.Message) bool {
		return m.Method == "BENOTIFY" && strings.HasPrefix(m.Get("Subscription-State"), "terminated")
	})
	a.learns(bob, false)
	res, _ = c.do("BYE", "", d)
	sipagent.Status(t, res, 200)
	a.learns(carol, false)
}

// TestConferenceWithPages invites somebody who has a phone at a third server.
func TestConferenceWithPages(t *testing.T) {
	p := start(t)
	focus := p.conference()
	a := p.servers[0].lync(alice, "a").enters(focus)
	b := p.servers[1].lync(bob, "b").enters(focus)
	c := p.servers[2].phone(carol)
	invitation := `<Conferencing version="2.0"><focus-uri>` + focus + `</focus-uri><subject/><im available="true"/></Conferencing>`
	res, _ := b.do("INVITE", string(carol), call{}, "Content-Type: "+cccp.TypeInvitation, "", invitation)
	sipagent.Status(t, res, 200)
	c.gets("MESSAGE", "has invited you")
	a.learns(carol, true)
	a.says("to all")
	page := c.gets("MESSAGE", "to all")
	from, err := page.From()
	if err != nil {
		t.Fatal(err)
	}
	res, _ = c.do("MESSAGE", from.URI, call{}, text, "", "from the phone")
	sipagent.Status(t, res, 202)
	a.gets("MESSAGE", "from the phone")
	b.gets("MESSAGE", "from the phone")
}

func TestConferenceSurvivesALinkThatComesBack(t *testing.T) {
	p := start(t)
	focus := p.conference()
	a := p.servers[0].lync(alice, "a").enters(focus)
	b := p.servers[1].lync(bob, "b").enters(focus)
	p.apart(p.servers[0], p.servers[1], true)
	p.apart(p.servers[0], p.servers[1], false)
	a.says("again")
	b.gets("MESSAGE", "again")
	b.says("indeed")
	a.gets("MESSAGE", "indeed")
}

// TestConferenceMovesWithThePrimary has another server lead the group of the organizer:
// the sessions end, and members join again.
func TestConferenceMovesWithThePrimary(t *testing.T) {
	p := start(t)
	focus := p.conference()
	b := p.servers[1].lync(bob, "b").enters(focus)
	p.leads(alice, fe3)
	res, _ := b.do("MESSAGE", "", b.chat, text, "", "too late")
	sipagent.Status(t, res, 481)
	p.servers[0].meetings.Resign()
	for range 2 {
		b.gets("BYE", "")
	}
	b.await("the end of the subscription", func(m *sip.Message) bool {
		return m.Method == "BENOTIFY" && strings.HasPrefix(m.Get("Subscription-State"), "terminated")
	})
	b.enters(focus)
	if n, _ := p.servers[2].meetings.Count(); n != 1 {
		t.Errorf("the new primary runs %d conferences", n)
	}
	p.leads(alice, "")
	sipagent.Status(t, (&member{guest: p.servers[1].phone(carol), focus: focus}).joins(), 503)
}

// TestMemberMovesToAnotherServer has the Lync client of a member come back over another
// server: it joins anew.
func TestMemberMovesToAnotherServer(t *testing.T) {
	p := start(t)
	focus := p.conference()
	a := p.servers[0].lync(alice, "a").enters(focus)
	b := p.servers[1].lync(bob, "b").enters(focus)
	again := p.servers[2].lync(bob, "b")
	a.learns(bob, false)
	m := again.enters(focus)
	a.learns(bob, true)
	m.says("back")
	a.gets("MESSAGE", "back")
	b.c.Close()
}

// TestServersThatDisagree has two servers take each other for the primary: a request goes
// there once, and its sender is told.
func TestServersThatDisagree(t *testing.T) {
	p := start(t)
	focus := p.conference()
	p.mu.Lock()
	p.servers[1].belief = map[int]uc.ServerFQDN{homes[alice]: fe3}
	p.servers[2].belief = map[int]uc.ServerFQDN{homes[alice]: fe2}
	p.mu.Unlock()
	b := &member{guest: p.servers[1].lync(bob, "b"), focus: focus}
	sipagent.Status(t, b.joins(), 503)
	res, _ := b.do("MESSAGE", "", call{id: "x", from: "<" + string(bob) + ">;tag=1;epid=b", to: "<" + focus + ">;tag=2", target: focus}, text, "", "lost")
	sipagent.Status(t, res, 481)
}
