package interop

import (
	"slices"
	"strings"
	"testing"

	"trivet/test/peer/pidgin"
)

// eve is nobody's contact in the demo.
const eve = "sip:eve@" + domain

// everywhere waits until both endpoints have the contact in exactly the groups.
func everywhere(t *testing.T, who string, groups []string, clients ...*pidgin.Client) {
	t.Helper()
	for _, c := range clients {
		c.AwaitRoster(t, who+" in groups "+strings.Join(groups, ", "), func(r pidgin.Roster) bool { return slices.Equal(r.In(who), groups) })
	}
}

func TestContactsOnTwoEndpoints(t *testing.T) {
	t.Parallel()
	s := Start(t)
	desk, laptop := s.Pidgin(t, alice), s.Laptop(t, alice)

	desk.AddBuddy(t, eve, "Work")
	everywhere(t, eve, []string{"Work"}, desk, laptop)

	laptop.AddBuddy(t, "sip:frank@"+domain, "Friends & Family <3 Ünïcode 友")
	everywhere(t, "sip:frank@"+domain, []string{"Friends & Family <3 Ünïcode 友"}, desk, laptop)

	desk.MoveBuddy(t, eve, "Work", "Friends & Family <3 Ünïcode 友")
	everywhere(t, eve, []string{"Friends & Family <3 Ünïcode 友"}, desk, laptop)

	laptop.CopyBuddy(t, eve, "Friends & Family <3 Ünïcode 友", "Work")
	everywhere(t, eve, []string{"Friends & Family <3 Ünïcode 友", "Work"}, desk, laptop)

	const name = `Eve "the" <Ev> & Ève 👩`
	desk.AliasBuddy(t, eve, "Work", name)
	laptop.AwaitBuddy(t, eve, "name", func(b pidgin.Buddy) bool { return b.Name() == name })

	laptop.RemoveBuddy(t, eve, "Work")
	everywhere(t, eve, []string{"Friends & Family <3 Ünïcode 友"}, desk, laptop)
	desk.RemoveBuddy(t, eve, "Friends & Family <3 Ünïcode 友")
	everywhere(t, eve, nil, desk, laptop)
}

func TestGroupsOnTwoEndpoints(t *testing.T) {
	t.Parallel()
	s := Start(t)
	desk, laptop := s.Pidgin(t, alice), s.Laptop(t, alice)
	group := func(c *pidgin.Client, name string, want bool) {
		t.Helper()
		c.AwaitRoster(t, "group "+name, func(r pidgin.Roster) bool { return slices.Contains(r.Groups, name) == want })
	}

	desk.AddBuddy(t, eve, "Project A")
	group(laptop, "Project A", true)
	everywhere(t, eve, []string{"Project A"}, desk, laptop)

	laptop.RenameGroup(t, "Project A", "Project B")
	group(desk, "Project B", true)
	group(desk, "Project A", false)
	everywhere(t, eve, []string{"Project B"}, desk, laptop)

	// COMPAT(pidgin-sipe 1.25): told that another endpoint deleted a group
	// (deletedGroup), it frees the group twice and crashes. It must not be told, and
	// learns at its next sign-in.
	desk.RemoveGroup(t, "Project B")
	everywhere(t, eve, nil, desk, laptop)
	desk.SetStatus(t, pidgin.Busy, "")
	laptop.AwaitEvent(t, "self-status", "status", pidgin.Busy) // it lives
	laptop.Quit(t)
	group(s.Laptop(t, alice), "Project B", false)
}

func TestContactsAreThereNextTime(t *testing.T) {
	t.Parallel()
	s := Start(t)
	desk, laptop := s.Pidgin(t, alice), s.Laptop(t, alice)
	called := func(c *pidgin.Client, name string) {
		t.Helper()
		c.AwaitBuddy(t, eve, "name", func(b pidgin.Buddy) bool { return b.Name() == name })
	}
	desk.AddBuddy(t, eve, "Work")
	everywhere(t, eve, []string{"Work"}, laptop)
	desk.AliasBuddy(t, eve, "Work", "Evi")
	called(laptop, "Evi")
	desk.Quit(t)
	laptop.Quit(t)
	a := s.Account(alice)
	a.Machine = "alice-new"
	c := pidgin.Start(t, a).SignOn(t)
	everywhere(t, eve, []string{"Work"}, c)
	called(c, "Evi")
}

func TestContactCard(t *testing.T) {
	t.Parallel()
	s := Start(t)
	s.Cmdlet(t, "Set-CsUser", mailbox(bob), "-DisplayName", "Bob <B> Größe & Søn", "-Title", "Head of Ünits", "-WindowsEmailAddress", "bob@mail.test")
	a, _ := friends(t, s)
	a.AwaitBuddy(t, bob, "card", func(b pidgin.Buddy) bool {
		return b.ServerAlias == "Bob <B> Größe & Søn" && b.Title == "Head of Ünits" && b.Email == "bob@mail.test"
	})
	if info := a.Info(t, bob); !strings.Contains(info.String(), "Bob <B> Größe & Søn") {
		t.Errorf("the window with bob's card shows %s, want his name", info)
	}
	s.Cmdlet(t, "Set-CsUser", mailbox(bob), "-Title", "Chief") // and while they look
	a.AwaitBuddy(t, bob, "new title", func(b pidgin.Buddy) bool { return b.Title == "Chief" })
}

func TestBeingAddedIsShown(t *testing.T) {
	t.Parallel()
	s := Start(t)
	erinURI := "sip:erin@" + domain // new, so on nobody's list
	s.passwords[erinURI] = "Spring-Tide-4711"
	s.Cmdlet(t, "New-CsUser", mailbox(erinURI), "-DisplayName", "Erin Example", "-Password", s.passwords[erinURI])
	a, erin := s.Pidgin(t, alice), s.Pidgin(t, erinURI)
	erin.AddBuddy(t, alice, "Work")
	a.Await(t, "added-by erin", func(e pidgin.Event) bool { return e.Name() == "added-by" && strings.Contains(e["who"], "erin@"+domain) })
	a.Disconnect(t)
	a.SignOn(t) // it was acknowledged: nobody is asked twice
	seen := 0
	for _, e := range a.Events() {
		if e.Name() == "added-by" && strings.Contains(e["who"], "erin@") {
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("alice was told %d times that erin added her, want once", seen)
	}
}
