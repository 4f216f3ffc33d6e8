package pidgin

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Conference is a window of a conference with its roster. It stays open when the
// client is thrown out or loses its connection, and joins again when the client
// signs in again.
type Conference struct {
	c     *Client
	title string // "Chat #1"
}

// Participant is somebody in a conference, as the user sees it.
type Participant struct {
	Who    string // sip:user@domain
	Leader bool   // may remove others, lock, make others leaders: a presenter
}

// NewChat starts a conference by inviting a contact, who is in it by himself. An
// IM conversation with the contact ends then.
func (c *Client) NewChat(t testing.TB, who string) *Conference {
	t.Helper()
	c.Menu(t, who, "", "New chat")
	return c.Joined(t)
}

// Joined returns the conference that the client joined last, having been invited
// or asked to.
func (c *Client) Joined(t testing.TB) *Conference {
	t.Helper()
	return &Conference{c, c.AwaitEvent(t, "chat-joined")["chat"]}
}

// Join starts to join a conference by its address: the URL of its page, or a URI
// conf:sip:… or meet:sip:… See Joined and JoinRefused.
func (c *Client) Join(t testing.TB, address string) {
	t.Helper()
	c.fill(t, "Join scheduled conference...", "meetingLocation", address)
}

// JoinMeeting starts to join a conference by its organizer (user@domain) and its
// conference id.
func (c *Client) JoinMeeting(t testing.TB, organizer, id string) {
	t.Helper()
	c.fill(t, "Join scheduled conference...", "meetingOrganizer", organizer, "meetingID", id)
}

// JoinRefused returns the reason that the user is told for not being let in.
func (c *Client) JoinRefused(t testing.TB) string {
	t.Helper()
	return c.AwaitEvent(t, "notify", "primary", "Failed to join the conference")["text"]
}

// fill chooses an entry of the account's menu and answers its form.
func (c *Client) fill(t testing.TB, label string, fields ...string) {
	t.Helper()
	c.must(t, "action", "label", label)
	ask := c.AwaitEvent(t, "request")
	c.must(t, "answer", append([]string{"request", ask["request"]}, fields...)...)
}

// Title is what the window is called.
func (f *Conference) Title() string { return f.title }

// Await takes the first event of the conference with the name and values.
func (f *Conference) Await(t testing.TB, name string, pairs ...string) Event {
	t.Helper()
	return f.c.AwaitEvent(t, name, append([]string{"chat", f.title}, pairs...)...)
}

// Send says something to all.
func (f *Conference) Send(t testing.TB, text string) {
	t.Helper()
	f.c.must(t, "chat_send", "chat", f.title, "text", text)
}

// Received takes what somebody said. The user's own words are shown at once.
func (f *Conference) Received(t testing.TB, who, text string) {
	t.Helper()
	f.Await(t, "chat-message", "who", who, "text", text)
}

// Texts returns what was said so far, each as "who: text".
func (f *Conference) Texts() (texts []string) {
	for _, e := range f.c.Events() {
		if e.Name() == "chat-message" && e["chat"] == f.title {
			texts = append(texts, e["who"]+": "+e["text"])
		}
	}
	return texts
}

// Failed takes the notice that what was said did not reach somebody.
func (f *Conference) Failed(t testing.TB, text string) Event {
	t.Helper()
	return f.c.Await(t, "failure of "+text, func(e Event) bool {
		return e.Name() == "chat-failed" && e["chat"] == f.title && strings.Contains(e["text"], text)
	})
}

// Invite asks somebody else to come.
func (f *Conference) Invite(t testing.TB, who string) {
	t.Helper()
	f.c.must(t, "chat_invite", "chat", f.title, "who", who)
}

// Leave closes the window.
func (f *Conference) Leave(t testing.TB) { t.Helper(); f.c.must(t, "chat_leave", "chat", f.title) }

// Remove throws a contact out, as a leader can.
func (f *Conference) Remove(t testing.TB, who string) {
	t.Helper()
	f.c.Menu(t, who, "", "Remove from '"+f.title+"'")
}

// MakeLeader makes a contact a leader.
func (f *Conference) MakeLeader(t testing.TB, who string) {
	t.Helper()
	f.c.Menu(t, who, "", "Make leader of '"+f.title+"'")
}

// Lock keeps everybody else out, and Unlock ends that. Only leaders have them in
// their menu.
func (f *Conference) Lock(t testing.TB) { t.Helper(); f.menu(t, "Lock") }

// Unlock ends Lock.
func (f *Conference) Unlock(t testing.TB) { t.Helper(); f.menu(t, "Unlock") }

func (f *Conference) menu(t testing.TB, label string) {
	t.Helper()
	f.c.must(t, "chat_menu", "chat", f.title, "path", label)
}

// CanLock says whether the menu has Lock, or Unlock.
func (f *Conference) CanLock(t testing.TB) bool {
	t.Helper()
	id, _ := f.c.do(t, "chat_menu", "chat", f.title) // without a path it is only listed
	return slices.ContainsFunc(f.c.Events(), func(e Event) bool {
		return e.Name() == "menu" && e["id"] == id && (e["label"] == "Lock" || e["label"] == "Unlock")
	})
}

// Told takes a line that the client writes into the window by itself, such as that
// the conference was locked.
func (f *Conference) Told(t testing.TB, words string) Event {
	t.Helper()
	return f.c.Await(t, "the words "+words, func(e Event) bool {
		return e.Name() == "chat-info" && e["chat"] == f.title && strings.Contains(e["text"], words)
	})
}

// EntryInfo returns what the user is told about how to join: the address, the
// organizer.
func (f *Conference) EntryInfo(t testing.TB) string {
	t.Helper()
	f.menu(t, "Meeting entry info")
	return f.c.AwaitEvent(t, "notify")["text"]
}

// Roster returns the participants in the order of their addresses. It is empty
// when the client is not in the conference any more.
func (f *Conference) Roster(t testing.TB) (roster []Participant) {
	t.Helper()
	id := f.c.must(t, "chats")
	for _, e := range f.c.snapshot(id) {
		if e.Name() == "chat-user" && e["chat"] == f.title {
			roster = append(roster, Participant{Who: e["who"], Leader: e["leader"] != ""})
		}
	}
	slices.SortFunc(roster, func(a, b Participant) int { return strings.Compare(a.Who, b.Who) })
	return roster
}

// AwaitRoster returns when exactly these are in the conference.
func (f *Conference) AwaitRoster(t testing.TB, who ...string) {
	t.Helper()
	slices.Sort(who)
	f.awaitRoster(t, fmt.Sprintf("participants %q", who), func(roster []Participant) bool {
		return slices.EqualFunc(roster, who, func(p Participant, who string) bool { return p.Who == who })
	})
}

// AwaitLeaders returns when exactly these are leaders.
func (f *Conference) AwaitLeaders(t testing.TB, who ...string) {
	t.Helper()
	slices.Sort(who)
	f.awaitRoster(t, fmt.Sprintf("leaders %q", who), func(roster []Participant) bool {
		roster = slices.DeleteFunc(slices.Clone(roster), func(p Participant) bool { return !p.Leader })
		return slices.EqualFunc(roster, who, func(p Participant, who string) bool { return p.Who == who })
	})
}

func (f *Conference) awaitRoster(t testing.TB, what string, match func([]Participant) bool) {
	t.Helper()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	look := time.NewTicker(quiet)
	defer look.Stop()
	for {
		roster := f.Roster(t)
		if match(roster) {
			return
		}
		f.c.mu.Lock()
		news := f.c.news
		f.c.mu.Unlock()
		select {
		case <-news:
		case <-look.C:
		case <-limit.C:
			f.c.Fatalf(t, "waited %v in vain for: %s in %s; there are %v", Patience, what, f.title, roster)
		}
	}
}

// FocusURI returns the address of the conference that this client created last.
func (c *Client) FocusURI(t testing.TB) string {
	t.Helper()
	log := c.DebugLog()
	const mark = "process_conf_add_response: session->focus_uri="
	i := strings.LastIndex(log, mark)
	if i < 0 {
		c.Fatalf(t, "has created no conference")
	}
	uri, _, _ := strings.Cut(log[i+len(mark):], "\n")
	return uri
}
