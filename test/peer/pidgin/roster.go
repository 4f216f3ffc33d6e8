package pidgin

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Buddy is a contact in one of its groups, as the user sees it now.
type Buddy struct {
	Who, Group      string
	Alias           string // chosen by the user
	ServerAlias     string // from the contact card
	Status, Message string // status id, and the words beside it: see Note
	Title, Email    string // from the contact card
	Company         string
	Photo           string // SHA-256 of the picture in hexadecimal digits; "" without one
	Idle, Blocked   bool
}

// Name is what the user reads in the list.
func (b Buddy) Name() string {
	switch {
	case b.Alias != "":
		return b.Alias
	case b.ServerAlias != "":
		return b.ServerAlias
	}
	return b.Who
}

// Note is the note of the contact. The plugin puts the words for the activity in
// front of it, "Busy - in a meeting"; without a note they stand alone.
func (b Buddy) Note() string {
	activity, note, both := strings.Cut(b.Message, " - ")
	switch {
	case both:
		return note
	case slices.Contains(activities, activity):
		return ""
	}
	return b.Message
}

// activities are the plugin's words for activities.
var activities = []string{
	"Available", "Inactive", "Busy", "Busy-Idle", "Do not disturb", "Be right back", "Away", "Offline", "On the phone",
	"In a call", "In a conference", "In a meeting", "Out of office", "Out to lunch", "Urgent interruptions only", "Presenting",
}

// Roster is the contact list as the user sees it now.
type Roster struct {
	Groups  []string
	Buddies []Buddy // one for each contact and group
}

// Find returns the contact in the group, in the first of its groups for "".
func (r Roster) Find(who, group string) (Buddy, bool) {
	for _, b := range r.Buddies {
		if b.Who == who && (group == "" || b.Group == group) {
			return b, true
		}
	}
	return Buddy{}, false
}

// In returns the groups of a contact, sorted.
func (r Roster) In(who string) (groups []string) {
	for _, b := range r.Buddies {
		if b.Who == who {
			groups = append(groups, b.Group)
		}
	}
	slices.Sort(groups)
	return groups
}

// Roster returns the contact list.
func (c *Client) Roster(t testing.TB) (r Roster) {
	t.Helper()
	id := c.must(t, "buddies")
	for _, e := range c.snapshot(id) {
		switch e.Name() {
		case "group":
			r.Groups = append(r.Groups, e["group"])
		case "buddy":
			r.Buddies = append(r.Buddies, Buddy{
				Who: e["who"], Group: e["group"], Alias: e["alias"], ServerAlias: e["server_alias"],
				Status: e["status"], Message: e["message"], Title: e["title"], Email: e["email"], Company: e["company"],
				Photo: e["photo"], Idle: e["idle"] != "", Blocked: e["blocked"] != "",
			})
		}
	}
	return r
}

// snapshot takes the events of a command, its end among them, out of the history:
// a snapshot is none, and may be taken often.
func (c *Client) snapshot(id string) (events []Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := 0
	for i, e := range c.events {
		if e["id"] == id {
			events = append(events, e)
			continue
		}
		c.events[kept], c.taken[kept] = e, c.taken[i]
		kept++
	}
	c.events, c.taken = c.events[:kept], c.taken[:kept]
	return events
}

// quiet is how long the list is left alone when nothing happens: some changes,
// such as a new title on a card, come without an event.
const quiet = 250 * time.Millisecond

// AwaitRoster returns the contact list as soon as it is as match wants it. The
// list is looked at anew whenever something happens, and after a while of quiet.
func (c *Client) AwaitRoster(t testing.TB, what string, match func(Roster) bool) Roster {
	t.Helper()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	look := time.NewTicker(quiet)
	defer look.Stop()
	for {
		r := c.Roster(t)
		if match(r) {
			return r
		}
		c.mu.Lock()
		news := c.news
		c.mu.Unlock()
		select {
		case <-news:
		case <-look.C:
		case <-limit.C:
			c.Fatalf(t, "waited %v in vain for: %s; contacts: %+v", Patience, what, r)
		}
	}
}

// AwaitBuddy returns the contact as soon as match accepts it, in any of its groups.
func (c *Client) AwaitBuddy(t testing.TB, who, what string, match func(Buddy) bool) (found Buddy) {
	t.Helper()
	c.AwaitRoster(t, what+" of "+who, func(r Roster) bool {
		for _, b := range r.Buddies {
			if b.Who == who && match(b) {
				found = b
				return true
			}
		}
		return false
	})
	return found
}

// AwaitStatus returns when the contact is seen with the status.
func (c *Client) AwaitStatus(t testing.TB, who, status string) {
	t.Helper()
	c.AwaitBuddy(t, who, "status "+status, func(b Buddy) bool { return b.Status == status })
}
