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

	desk.RemoveGroup(t, "Project B")
	group(laptop, "Project B", false)
	everywhere(t, eve, nil, desk, laptop)
}

func TestContactsAreThereNextTime(t *testing.T) {
	t.Parallel()
	s := Start(t)
	c := s.Pidgin(t, alice)
	c.AddBuddy(t, eve, "Work")
	c.AliasBuddy(t, eve, "Work", "Evi")
	c.Quit(t)
	c = s.Laptop(t, alice)
	everywhere(t, eve, []string{"Work"}, c)
	c.AwaitBuddy(t, eve, "name", func(b pidgin.Buddy) bool { return b.Name() == "Evi" })
}

func TestContactCard(t *testing.T) {
	t.Parallel()
	s := Start(t)
	s.Cmdlet(t, "Set-CsUser", mailbox(bob), "-DisplayName", "Bob <B> Größe & Søn", "-Title", "Head of Ünits", "-WindowsEmailAddress", "bob@mail.test")
	a, _ := friends(t, s)
	a.AwaitBuddy(t, bob, "card", func(b pidgin.Buddy) bool {
		return b.ServerAlias == "Bob <B> Größe & Søn" && b.Title == "Head of Ünits" && b.Email == "bob@mail.test"
	})
	s.Cmdlet(t, "Set-CsUser", mailbox(bob), "-Title", "Chief") // and while they look
	a.AwaitBuddy(t, bob, "new title", func(b pidgin.Buddy) bool { return b.Title == "Chief" })
}

func TestSearch(t *testing.T) {
	t.Parallel()
	s := Start(t)
	s.Cmdlet(t, "Set-CsUser", mailbox(bob), "-FirstName", "Robert", "-LastName", "Brown", "-DisplayName", "Robert Brown")
	c := s.Pidgin(t, alice)
	rows := c.Search(t, "surname", "Bro")
	found := slices.ContainsFunc(rows, func(e pidgin.Event) bool { return strings.Contains(e.String(), "Robert Brown") })
	if !found {
		t.Errorf("search for Bro found %q, want Robert Brown among them", rows)
	}
	if rows := c.Search(t, "surname", "Nobody-Has-This"); len(rows) != 0 {
		t.Errorf("search for nobody found %q", rows)
	}
	if card := c.Info(t, bob); !strings.Contains(card.String(), "Robert Brown") {
		t.Errorf("info of bob: %s, want the name Robert Brown", card)
	}
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
