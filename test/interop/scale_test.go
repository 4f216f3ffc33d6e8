package interop

import (
	"fmt"
	"slices"
	"testing"

	"trivet/test/peer/pidgin"
)

// listed returns how many of the people are on a list.
func listed(r pidgin.Roster, people []string) (n int) {
	on := map[string]bool{}
	for _, b := range r.Buddies {
		on[b.Who] = true
	}
	for _, who := range people {
		if on[who] {
			n++
		}
	}
	return n
}

func awaitListed(t *testing.T, c *pidgin.Client, people []string) {
	t.Helper()
	c.AwaitRoster(t, fmt.Sprintf("all %d contacts", len(people)), func(r pidgin.Roster) bool { return listed(r, people) == len(people) })
}

func TestFiveHundredContacts(t *testing.T) {
	t.Parallel()
	s := StartWith(t, "limits: {contacts: 1000}\n")
	b := s.Pidgin(t, bob)
	a, laptop := s.Pidgin(t, alice), s.Laptop(t, alice)
	knows(t, a, bob)
	people := []string{bob}
	for i := range 499 {
		who := fmt.Sprintf("sip:contact%03d@%s", i, domain)
		people = append(people, who)
		a.AddBuddy(t, who, fmt.Sprintf("Group %d", i/100))
	}
	awaitListed(t, laptop, people)
	laptop.AwaitStatus(t, bob, pidgin.Available)
	a.Settled(t)
	a.Quit(t)
	laptop.Disconnect(t)
	laptop.SignOn(t) // knows its list, and compares
	awaitListed(t, laptop, people)

	s.Kill()
	laptop.ConnectionError(t)
	s.Restart(t)
	b.ConnectionError(t)
	b.SignOn(t)
	account := s.Account(alice)
	account.Machine = "alice-new" // has no list yet
	fresh := pidgin.Start(t, account).SignOn(t)
	awaitListed(t, fresh, people)
	r := fresh.Roster(t)
	if n := len(r.Buddies); n < 500 {
		t.Errorf("%d entries on the list of the new client, want 500", n)
	}
	if got := r.In(people[250]); !slices.Equal(got, []string{"Group 2"}) {
		t.Errorf("%s is in %v, want Group 2", people[250], got)
	}
	fresh.AwaitStatus(t, bob, pidgin.Available)
	b.SetStatus(t, pidgin.Busy, "")
	fresh.AwaitStatus(t, bob, pidgin.Busy)
}

func TestContactsAboveTheLimit(t *testing.T) {
	t.Parallel()
	const limit = 20
	s := StartWith(t, fmt.Sprintf("limits: {contacts: %d}\n", limit))
	a := s.Pidgin(t, alice)
	have := len(a.Roster(t).Buddies) // by the demo
	for i := range limit - have + 1 {
		a.AddBuddy(t, fmt.Sprintf("sip:contact%03d@%s", i, domain), "Group")
	}
	a.Settled(t)
	a.Disconnect(t)
	a.SignOn(t)
	a.AwaitRoster(t, "a list at its limit", func(r pidgin.Roster) bool { return len(r.Buddies) == limit })
	a.RemoveBuddy(t, fmt.Sprintf("sip:contact%03d@%s", 0, domain), "Group")
	a.AddBuddy(t, eve, "Group") // there is room again
	a.Settled(t)
	a.Disconnect(t)
	a.SignOn(t)
	everywhere(t, eve, []string{"Group"}, a)
}

// neighbours returns the contacts that a person of the storm has.
func neighbours(people []string, i int) (whom []string) {
	for d := 1; d <= 3; d++ {
		whom = append(whom, people[(i+d)%len(people)])
	}
	return whom
}

func TestStormOfFiftyClients(t *testing.T) {
	t.Parallel()
	const count = 50
	s := Start(t)
	people := s.People(t, count)
	var clients []*pidgin.Client
	for _, who := range people {
		clients = append(clients, pidgin.Start(t, s.Account(who)))
	}
	all := func(do func(i int, c *pidgin.Client)) {
		for i, c := range clients {
			do(i, c)
		}
	}
	seen := func(i int, c *pidgin.Client) {
		c.AwaitRoster(t, "the neighbours available", func(r pidgin.Roster) bool {
			return !slices.ContainsFunc(neighbours(people, i), func(who string) bool {
				b, known := r.Find(who, "")
				return !known || b.Status != pidgin.Available
			})
		})
	}
	all(func(_ int, c *pidgin.Client) { c.Connect(t) }) // at the same time
	all(func(_ int, c *pidgin.Client) { c.SignedOn(t) })
	all(func(i int, c *pidgin.Client) { knows(t, c, neighbours(people, i)...) })
	all(seen)
	all(func(_ int, c *pidgin.Client) { c.Settled(t) }) // what was not acknowledged may be lost

	s.Kill()
	all(func(_ int, c *pidgin.Client) {
		if e := c.ConnectionError(t); e["fatal"] != "no" {
			t.Errorf("the end of the server is fatal for a client: %s", e)
		}
	})
	s.Restart(t)
	all(func(_ int, c *pidgin.Client) { c.Connect(t) })
	all(func(_ int, c *pidgin.Client) { c.SignedOn(t) })
	all(seen)
	all(func(_ int, c *pidgin.Client) { c.SetStatus(t, pidgin.Busy, "") })
	all(func(i int, c *pidgin.Client) { c.AwaitStatus(t, neighbours(people, i)[0], pidgin.Busy) })
	all(func(i int, c *pidgin.Client) { c.Send(t, neighbours(people, i)[0], fmt.Sprintf("from %d", i)) })
	all(func(i int, c *pidgin.Client) {
		from := (i + count - 1) % count
		c.Received(t, people[from], fmt.Sprintf("from %d", from))
	})
}
