package interop

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"trivet/test/peer/baresip"
	"trivet/test/peer/pidgin"
	"trivet/test/peer/sipp"
)

// party are people who signed in, and their windows of one conference.
type party struct {
	s       *Server
	people  []string // the first is the organizer
	clients []*pidgin.Client
	windows []*pidgin.Conference
}

// signedIn are people with clients that know each other.
func signedIn(t *testing.T, s *Server, people ...string) (clients []*pidgin.Client) {
	t.Helper()
	for _, who := range people {
		a := s.Account(who)
		a.Routes = map[string]string{s.at(443): s.at(8443)} // web pages are asked for where they are published
		clients = append(clients, pidgin.Start(t, a))
	}
	for _, c := range clients {
		c.Connect(t)
	}
	for i, c := range clients {
		c.SignedOn(t)
		for _, who := range []string{alice, bob, carol, dave} {
			if who != people[i] {
				knows(t, c, who)
			}
		}
	}
	return clients
}

// meet has the first of the people start a conference with the second and invite
// the others. It returns when each sees all.
func meet(t *testing.T, s *Server, people ...string) *party {
	t.Helper()
	p := &party{s, people, signedIn(t, s, people...), nil}
	p.windows = append(p.windows, p.clients[0].NewChat(t, people[1]))
	p.windows = append(p.windows, p.clients[1].Joined(t))
	for i, who := range people[2:] {
		p.windows[0].Invite(t, who)
		p.windows = append(p.windows, p.clients[i+2].Joined(t))
	}
	p.together(t)
	return p
}

// together returns when everybody sees everybody.
func (p *party) together(t *testing.T) {
	t.Helper()
	for _, w := range p.windows {
		w.AwaitRoster(t, slices.Clone(p.people)...)
	}
}

// joins adds somebody who has a window of the conference now.
func (p *party) joins(t *testing.T, who string, c *pidgin.Client) *pidgin.Conference {
	t.Helper()
	w := c.Joined(t)
	p.people, p.clients, p.windows = append(p.people, who), append(p.clients, c), append(p.windows, w)
	return w
}

// talk has everybody say something that all must see, each with its sender.
func (p *party) talk(t *testing.T, about string) {
	t.Helper()
	for i, w := range p.windows {
		text := fmt.Sprintf("%s, says number %d", about, i)
		w.Send(t, text)
		for _, other := range p.windows { // the speaker's own among them
			other.Received(t, p.people[i], text)
		}
	}
}

func TestThreePartyChatFromATwoPartyOne(t *testing.T) {
	t.Parallel()
	s := Start(t)
	clients := signedIn(t, s, alice, bob, carol)
	a, b, c := clients[0], clients[1], clients[2]
	a.Send(t, bob, "shall we ask carol?")
	b.Received(t, alice, "shall we ask carol?")

	p := &party{s, []string{alice, bob}, clients[:2], []*pidgin.Conference{a.NewChat(t, bob)}}
	p.windows = append(p.windows, b.Joined(t))
	p.together(t)
	p.talk(t, "the two of us")
	p.windows[0].Invite(t, carol)
	p.joins(t, carol, c)
	p.together(t)
	p.talk(t, "the three of us")
	for _, w := range p.windows {
		w.AwaitLeaders(t, alice)
	}
	for i, client := range p.clients {
		client.Refute(t, "failure", pidgin.Is("chat-failed"))
		client.Refute(t, "stranger's message", func(e pidgin.Event) bool {
			return e.Name() == "chat-message" && !slices.Contains(p.people, e["who"])
		})
		if n := len(slices.Compact(slices.Sorted(slices.Values(p.windows[i].Texts())))); n != len(p.windows[i].Texts()) {
			t.Errorf("%s sees a message more than once: %q", p.people[i], p.windows[i].Texts())
		}
	}
	a.Send(t, bob, "just us again")
	b.Received(t, alice, "just us again")
}

func TestAFourthIsInvitedByAGuest(t *testing.T) {
	t.Parallel()
	s := Start(t)
	p := meet(t, s, alice, bob, carol)
	d := signedIn(t, s, dave)[0]
	p.windows[1].Invite(t, dave)
	p.joins(t, dave, d)
	p.together(t)
	p.talk(t, "all four")
}

func TestConferenceTextOfAllKinds(t *testing.T) {
	t.Parallel()
	p := meet(t, Start(t), alice, bob, carol)
	for _, text := range []string{
		"Привет · 你好,世界 · שלום עולם · 👩‍👩‍👧‍👦 🏳️‍🌈",
		`<b>not bold</b> & &amp; &lt; "quoted" <script>alert(1)</script>`,
		"one line\nand another\n\nand one after an empty one",
		strings.Repeat("long ", 800) + "end",
	} {
		p.talk(t, text)
	}
}

func TestConferenceKeepsTheOrder(t *testing.T) {
	t.Parallel()
	const count = 200
	p := meet(t, Start(t), alice, bob, carol)
	for i := range count {
		p.windows[i%2].Send(t, fmt.Sprintf("message %d", i)) // alice and bob take turns, and do not wait
	}
	for _, i := range []int{count - 2, count - 1} {
		p.windows[2].Received(t, p.people[i%2], fmt.Sprintf("message %d", i))
	}
	for who := range 2 {
		var got, want []string
		for i := who; i < count; i += 2 {
			want = append(want, fmt.Sprintf("%s: message %d", p.people[who], i))
		}
		for _, text := range p.windows[2].Texts() {
			if strings.HasPrefix(text, p.people[who]+":") {
				got = append(got, text)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("carol sees of %s: %s", p.people[who], firstDifference(got, want))
		}
	}
}

func TestLeavingAConference(t *testing.T) {
	t.Parallel()
	p := meet(t, Start(t), alice, bob, carol)
	p.windows[2].Leave(t)
	for _, w := range p.windows[:2] {
		w.AwaitRoster(t, alice, bob)
	}
	p.windows[0].Send(t, "carol has gone")
	p.windows[1].Received(t, alice, "carol has gone")
	p.windows[0].Invite(t, carol) // and can come back
	p.windows[2] = p.clients[2].Joined(t)
	p.together(t)
	p.talk(t, "carol is back")

	p.windows[0].Leave(t) // the organizer goes, and the others stay
	for _, w := range p.windows[1:] {
		w.AwaitRoster(t, bob, carol)
	}
	p.windows[1].Send(t, "alice has gone")
	p.windows[2].Received(t, bob, "alice has gone")
}

func TestRemovalFromAConference(t *testing.T) {
	t.Parallel()
	p := meet(t, Start(t), alice, bob, carol)
	if refusal := p.clients[1].Do(t, "menu", "who", carol, "path", "Remove from '"+p.windows[1].Title()+"'"); refusal == "" {
		t.Error("a guest has an entry to remove another one")
	}
	p.windows[0].Remove(t, carol)
	p.windows[2].Told(t, "You have been disconnected from this conference")
	p.windows[2].AwaitRoster(t)
	for _, w := range p.windows[:2] {
		w.AwaitRoster(t, alice, bob)
	}
	p.windows[0].Send(t, "without carol")
	p.windows[1].Received(t, alice, "without carol")
	if slices.Contains(p.windows[2].Texts(), alice+": without carol") {
		t.Error("carol still hears what is said")
	}
	p.windows[2].Leave(t)
	p.windows[0].Invite(t, carol) // it was no ban
	p.windows[2] = p.clients[2].Joined(t)
	p.together(t)
	p.talk(t, "carol may come back")
}

func TestLockedConference(t *testing.T) {
	t.Parallel()
	s := Start(t)
	p := meet(t, s, alice, bob, carol)
	if p.windows[1].CanLock(t) || !p.windows[0].CanLock(t) {
		t.Error("the menu of a guest has Lock, or that of the organizer has not")
	}
	p.windows[0].Lock(t)
	for _, w := range p.windows {
		w.Told(t, "This conference is locked")
	}
	address, d := p.clients[0].FocusURI(t), signedIn(t, s, dave)[0]
	d.Join(t, "conf:"+address)
	if reason := d.JoinRefused(t); reason == "" || reason == "no reason given" {
		t.Errorf("dave is told %q, want why he cannot come in", reason)
	}
	p.talk(t, "behind closed doors")
	p.windows[0].Unlock(t)
	for _, w := range p.windows {
		w.Told(t, "no longer locked")
	}
	d.Join(t, "conf:"+address)
	p.joins(t, dave, d)
	p.together(t)
	p.talk(t, "dave is here")
}

func TestLateJoinerSeesWhatWasSaid(t *testing.T) {
	t.Parallel()
	s := Start(t)
	c := signedIn(t, s, carol)[0] // before: what was said is kept for a short time
	p := meet(t, s, alice, bob)
	p.talk(t, "first")
	p.talk(t, "second, <&> 你好")
	before := p.windows[0].Texts()
	p.windows[0].Invite(t, carol)
	w := p.joins(t, carol, c)
	p.together(t)
	p.talk(t, "third")
	if got := w.Texts()[:len(before)]; !slices.Equal(got, before) {
		t.Errorf("carol sees first: %q, want what was said before she came: %q", got, before)
	}
}

// A standard SIP client calls the conference and takes part in its session.
func TestPlainClientInAConference(t *testing.T) {
	t.Parallel()
	s := Start(t)
	p := meet(t, s, alice, bob)
	plain := sipp.Meet(t, s.SIPp(carol, "tcp"), p.clients[0].FocusURI(t), "heard ")
	for _, w := range p.windows {
		w.AwaitRoster(t, alice, bob, carol)
	}
	for i, who := range []string{alice, bob, alice} {
		text := fmt.Sprintf("message %d, <&> 你好", i+1)
		p.windows[i%2].Send(t, text)
		plain.Received(t, mailbox(who), map[string]string{alice: "Alice Example", bob: "Bob Builder"}[who]+": "+text)
		for _, w := range p.windows {
			w.Received(t, who, text)
			w.Received(t, carol, sipp.Numbered("heard ", i+1)+"\n") // SIPp ends a body with a line end
		}
	}
	p.windows[0].Send(t, "goodbye")
	if err := plain.Left(t); err != nil {
		t.Errorf("SIPp ends with %v", err)
	}
	for _, w := range p.windows {
		w.AwaitRoster(t, alice, bob)
	}
}

// A phone knows no conferences: it is invited by a Lync client all the same, and
// takes part by single messages to and from an address of the conference that has
// no parameters, because a phone drops them when it answers.
func TestPhoneInAConference(t *testing.T) {
	t.Parallel()
	s := Start(t)
	p := meet(t, s, alice, bob)
	_, id, _ := strings.Cut(p.clients[0].FocusURI(t), ":id:")
	address := "app.conf." + id + "." + mailbox(alice)
	account := s.Phone(carol, "tcp")
	account.Contacts = []string{address}
	phone := baresip.Start(t, account).Registered(t)
	for _, words := range []string{"first time", "second time"} {
		p.windows[0].Invite(t, carol)
		for _, w := range p.windows {
			w.AwaitRoster(t, alice, bob, carol)
		}
		p.windows[1].Send(t, words)
		phone.Received(t, address, "Bob Builder: "+words)
		phone.Send(t, address, "heard: "+words)
		for _, w := range p.windows {
			w.Received(t, carol, "heard: "+words)
		}
		phone.Send(t, address, "/leave")
		for _, w := range p.windows {
			w.AwaitRoster(t, alice, bob)
		}
	}
	phone.Send(t, address, "still here?")
	if got := phone.NotSent(t); got[0] != '4' {
		t.Errorf("carol writes to a conference that she has left: %q, want a 4xx answer", got)
	}
	p.windows[0].Invite(t, carol)
	for _, w := range p.windows {
		w.AwaitRoster(t, alice, bob, carol)
	}
	p.windows[0].Remove(t, carol)
	phone.Received(t, address, "You have been removed from the conversation.")
	for _, w := range p.windows {
		w.AwaitRoster(t, alice, bob)
	}
}

func TestJoinByAddress(t *testing.T) {
	t.Parallel()
	s := Start(t)
	p := meet(t, s, alice, bob)
	address := p.clients[0].FocusURI(t)
	others := signedIn(t, s, carol, dave)
	others[0].Join(t, "meet:"+address)
	p.joins(t, carol, others[0])
	p.together(t)
	_, id, _ := strings.Cut(address, ":id:")
	others[1].JoinMeeting(t, mailbox(alice), id)
	p.joins(t, dave, others[1])
	p.together(t)
	p.talk(t, "all by address")

	erin := s.People(t, 1)[0]
	e := signedIn(t, s, erin)[0]
	e.JoinMeeting(t, mailbox(alice), "NOSUCHCONFERENCE00")
	if reason := e.JoinRefused(t); reason == "" || reason == "no reason given" {
		t.Errorf("who joins a conference that does not exist is told %q, want why not", reason)
	}
}

func TestJoinByWebPage(t *testing.T) {
	t.Parallel()
	s := Start(t)
	p := meet(t, s, alice, bob)
	info := p.windows[0].EntryInfo(t)
	page := regexp.MustCompile(`https://\S+`).FindString(info)
	if page == "" {
		t.Fatalf("alice is told how to join: %q, want the address of a page in it", info)
	}
	c := signedIn(t, s, carol)[0]
	c.Join(t, page)
	p.joins(t, carol, c)
	p.together(t)
	p.talk(t, "by the page")

	c.Join(t, page+"ABCDEF0123456789") // no such conference
	c.JoinRefused(t)
}

func TestTwoConferencesAtOnce(t *testing.T) {
	t.Parallel()
	s := Start(t)
	p := meet(t, s, alice, bob, carol)
	q := &party{s, []string{alice, bob}, p.clients[:2], nil}
	q.windows = append(q.windows, p.clients[0].NewChat(t, bob))
	q.windows = append(q.windows, p.clients[1].Joined(t))
	q.together(t)
	p.together(t)
	p.talk(t, "in the first")
	q.talk(t, "in the second")
	q.windows[1].Leave(t)
	q.windows[0].AwaitRoster(t, alice)
	p.together(t)
	p.talk(t, "still in the first")
	for i, w := range p.windows {
		for _, text := range w.Texts() {
			if strings.Contains(text, "in the second") {
				t.Errorf("%s sees in the first conference: %q", p.people[i], text)
			}
		}
	}
}

func TestOrganizersClientRestarts(t *testing.T) {
	t.Parallel()
	s := Start(t)
	p := meet(t, s, alice, bob, carol)
	address := p.clients[0].FocusURI(t)
	p.clients[0].Kill(t)
	for _, w := range p.windows[1:] {
		w.AwaitRoster(t, bob, carol) // after the time a client has to come back
	}
	p.windows[1].Send(t, "alice is away")
	p.windows[2].Received(t, bob, "alice is away")

	p.clients[0] = signedIn(t, s, alice)[0]
	p.clients[0].Join(t, "conf:"+address)
	p.windows[0] = p.clients[0].Joined(t)
	p.together(t)
	for _, w := range p.windows {
		w.AwaitLeaders(t, alice)
	}
	p.talk(t, "alice is back")
}

// COMPAT(pidgin-sipe 1.25): signed in again, it reads what it has freed for every
// window of a conference that is still open, and crashes or not. So the windows are
// closed before, and the people join again by the address.
func TestConferenceSurvivesTheServer(t *testing.T) {
	t.Parallel()
	s := Start(t)
	p := meet(t, s, alice, bob, carol)
	p.talk(t, "before")
	p.windows[0].MakeLeader(t, bob)
	p.windows[1].AwaitLeaders(t, alice, bob)
	address := p.clients[0].FocusURI(t)
	s.Kill()
	for i, c := range p.clients {
		c.ConnectionError(t)
		p.windows[i].Leave(t)
	}
	s.Restart(t)
	for _, c := range p.clients {
		c.Connect(t)
	}
	for i, c := range p.clients {
		c.SignedOn(t)
		c.Join(t, "conf:"+address)
		p.windows[i] = c.Joined(t)
	}
	p.together(t)
	for _, w := range p.windows {
		w.AwaitLeaders(t, alice, bob)
	}
	p.talk(t, "after")
	p.windows[1].Lock(t)
	for _, w := range p.windows {
		w.Told(t, "This conference is locked")
	}
}

func TestGuestBecomesLeader(t *testing.T) {
	t.Parallel()
	p := meet(t, Start(t), alice, bob, carol)
	p.windows[0].MakeLeader(t, bob)
	for _, w := range p.windows {
		w.AwaitLeaders(t, alice, bob)
	}
	p.windows[1].Lock(t)
	for _, w := range p.windows {
		w.Told(t, "This conference is locked")
	}
	p.windows[1].Remove(t, carol)
	p.windows[2].Told(t, "You have been disconnected from this conference")
	for _, w := range p.windows[:2] {
		w.AwaitRoster(t, alice, bob)
	}
}

func TestConferenceOnTwoEndpoints(t *testing.T) {
	t.Parallel()
	s := Start(t)
	clients := signedIn(t, s, alice, bob, carol)
	laptop := s.Laptop(t, bob)
	a := clients[0].NewChat(t, bob)
	desk, second := clients[1].Joined(t), laptop.Joined(t) // an invitation rings everywhere
	for _, w := range []*pidgin.Conference{a, desk, second} {
		w.AwaitRoster(t, alice, bob) // once
	}
	a.Send(t, "to both of you")
	desk.Received(t, alice, "to both of you")
	second.Received(t, alice, "to both of you")
	second.Leave(t)
	desk.Send(t, "one of me")
	a.Received(t, bob, "one of me")
	a.AwaitRoster(t, alice, bob)
	desk.Leave(t)
	a.AwaitRoster(t, alice)
}
