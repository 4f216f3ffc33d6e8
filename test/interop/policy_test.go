package interop

import (
	"fmt"
	"strings"
	"testing"

	"trivet/test/peer/pidgin"
)

func TestSettingsReachTheClient(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a := s.Pidgin(t, alice)
	a.Settled(t)
	log := a.DebugLog()
	for _, want := range []string{ // what the client notes of its settings
		"focus_factory_uri=" + alice + ";gruu;opaque=app:conf:focusfactory\n",
		"dlx_uri=https://" + fqdn + ":8443/GroupExpansion/service.svc\n",
		"addressbook_uri=https://" + fqdn + ":8443/abs/handler\n",
		"<ucPC2PCAVEncryption>SupportEncryption</ucPC2PCAVEncryption>",
		`<property name="EnablePersistentChat">false</property>`,
		"<mcuType>chat</mcuType>",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log of the client has no %q", want)
		}
	}
}

func TestLimitOfContactsByPolicy(t *testing.T) {
	t.Parallel()
	const limit = 6
	s := Start(t)
	s.Cmdlet(t, "New-CsClientPolicy", "Few", "-MaximumNumberOfContacts", fmt.Sprint(limit))
	s.Cmdlet(t, "Grant-CsClientPolicy", mailbox(alice), "Few")
	for _, c := range []struct {
		who  string
		want func(have int) int // entries, after ten more
	}{{alice, func(int) int { return limit }}, {bob, func(have int) int { return have + 10 }}} {
		client := s.Pidgin(t, c.who)
		have := len(client.Roster(t).Buddies)
		for i := range 10 {
			client.AddBuddy(t, fmt.Sprintf("sip:contact%d@%s", i, domain), "More")
		}
		client.Settled(t)
		client.Disconnect(t)
		client.SignOn(t)
		client.AwaitRoster(t, "the list within its limit", func(r pidgin.Roster) bool { return len(r.Buddies) == c.want(have) })
	}
}

func TestLimitOfEndpoints(t *testing.T) {
	t.Parallel()
	s := Start(t)
	s.Cmdlet(t, "Set-CsRegistrarConfiguration", "-MaxEndpointsPerUser", "2")
	desk, laptop := s.Pidgin(t, alice), s.Laptop(t, alice)
	a := s.Account(alice)
	a.Machine = "alice-third"
	third := pidgin.Start(t, a)
	third.Connect(t)
	third.ConnectionError(t)
	third.Refute(t, "third sign-in", pidgin.Is("signed-on"))
	desk.SetStatus(t, pidgin.Busy, "") // the others are as before
	laptop.AwaitEvent(t, "self-status", "status", pidgin.Busy)
	laptop.Quit(t)
	third.SignOn(t)
}

func TestLimitOfParticipants(t *testing.T) {
	t.Parallel()
	s := Start(t)
	s.Cmdlet(t, "New-CsConferencingPolicy", "Small", "-MaxMeetingSize", "2")
	s.Cmdlet(t, "Grant-CsConferencingPolicy", mailbox(alice), "Small")
	p := meet(t, s, alice, bob)
	c := signedIn(t, s, carol)[0]
	p.windows[0].Invite(t, carol)
	if reason := c.JoinRefused(t); reason == "" || reason == "no reason given" {
		t.Errorf("carol is told %q, want why she cannot come in", reason)
	}
	p.talk(t, "full")
	p.windows[1].Leave(t)
	p.windows[0].AwaitRoster(t, alice)
	p.windows[0].Invite(t, carol) // there is room again
	p.windows[1], p.people[1] = c.Joined(t), carol
	p.together(t)

	w := p.clients[1].NewChat(t, alice) // bob's own conferences have room for three
	p.clients[0].Joined(t)
	w.Invite(t, carol)
	c.Joined(t)
	w.AwaitRoster(t, alice, bob, carol)
}

func TestSearchByPolicy(t *testing.T) {
	t.Parallel()
	s := Start(t)
	s.Cmdlet(t, "New-CsClientPolicy", "Files", "-AddressBookAvailability", "FileDownloadOnly")
	s.Cmdlet(t, "Grant-CsClientPolicy", mailbox(alice), "Files")
	a, b := s.Pidgin(t, alice), s.Pidgin(t, bob)
	if got := found(a.Search(t, "surname", "Clark")); got != nil {
		t.Errorf("alice finds %q, whose policy allows no search", got)
	}
	if got := found(b.Search(t, "surname", "Clark")); len(got) != 1 || got[0] != carol {
		t.Errorf("bob finds %q, want carol", got)
	}
	s.Cmdlet(t, "Grant-CsClientPolicy", mailbox(alice), "$null")
	if got := found(a.Search(t, "surname", "Clark")); len(got) != 1 || got[0] != carol {
		t.Errorf("alice finds %q once she may search, want carol", got)
	}
}
