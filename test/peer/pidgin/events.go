package pidgin

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Event is what happened, under the key "event", with its details: contacts are
// "who" (sip:user@domain), conditions "status" (the plugin's status id).
//
//	ready  signed-on  contact-list-loaded  connection-error (reason, text, fatal)  disconnected
//	contact-told (who)  buddy-added  buddy-removed  buddy-renamed  buddy-status-changed (who, group, status, message, …)
//	group-added  group-removed  group-renamed (group, was)
//	self-status (status, message)  added-by (who, alias)
//	im-received (who, text, html)  im-sent  im-failed  im-info (who, text)  typing (who, state)
//	chat-joined  chat-left  chat-message (chat, who, text)  chat-failed  chat-info (chat, text)
//	chat-user-joined  chat-user-left  chat-user-changed (chat, who, leader)  buddy-photo (who, photo)
//	notify (title, primary, text)  request (request, title, primary, text, choices)
//	user-info (who, …)  search-result  search-done
type Event map[string]string

// Name returns what happened.
func (e Event) Name() string { return e["event"] }

func (e Event) String() string {
	var b strings.Builder
	b.WriteString(e.Name())
	for _, key := range slices.Sorted(maps.Keys(e)) {
		if key != "event" {
			fmt.Fprintf(&b, " %s=%q", key, e[key])
		}
	}
	return b.String()
}

// Is returns a condition for Await: the name of the event, and the values that
// keys have (key, value, …).
func Is(name string, pairs ...string) func(Event) bool {
	return func(e Event) bool {
		for i := 0; i+1 < len(pairs); i += 2 {
			if e[pairs[i]] != pairs[i+1] {
				return false
			}
		}
		return e.Name() == name
	}
}

// Await takes the first event that match accepts, waiting for it if need be. what
// names it in the message when none comes.
func (c *Client) Await(t testing.TB, what string, match func(Event) bool) Event {
	t.Helper()
	var found Event
	c.until(t, what, func(from int) (done bool) {
		for i := from; i < len(c.events); i++ {
			if !c.taken[i] && match(c.events[i]) {
				c.taken[i], found = true, c.events[i]
				return true
			}
		}
		return false
	})
	return found
}

// AwaitEvent is Await with Is.
func (c *Client) AwaitEvent(t testing.TB, name string, pairs ...string) Event {
	t.Helper()
	return c.Await(t, fmt.Sprintf("event %s %q", name, pairs), Is(name, pairs...))
}

// forget takes all events that match accepts and that have come so far.
func (c *Client) forget(match func(Event) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, e := range c.events {
		c.taken[i] = c.taken[i] || match(e)
	}
}

// Refute ends the test when an event that match accepts has come so far.
func (c *Client) Refute(t testing.TB, what string, match func(Event) bool) {
	t.Helper()
	if e := slices.IndexFunc(c.Events(), match); e >= 0 {
		c.Fatalf(t, "got %s: %s", what, c.Events()[e])
	}
}

// until calls done, under the lock, with the number of the first event it has not
// seen, at once and whenever an event comes, until it is satisfied.
func (c *Client) until(t testing.TB, what string, done func(from int) bool) {
	t.Helper()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	for from := 0; ; {
		c.mu.Lock()
		ok := done(from)
		from = len(c.events)
		news, over := c.news, c.over
		c.mu.Unlock()
		switch {
		case ok:
			return
		case over:
			c.Fatalf(t, "ended before: %s", what)
		}
		select {
		case <-news:
		case <-limit.C:
			c.Fatalf(t, "waited %v in vain for: %s", Patience, what)
		}
	}
}

// Events returns what has happened so far.
func (c *Client) Events() []Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events)
}

// DebugLog returns the plugin's debug log with all SIP messages.
func (c *Client) DebugLog() string {
	text, _ := os.ReadFile(c.log) // empty when the client never came so far
	return string(text)
}

// Fatalf ends the test with a message about the client, its last events and the
// end of its debug log. The other clients of the test add theirs.
func (c *Client) Fatalf(t testing.TB, format string, args ...any) {
	t.Helper()
	c.described = true
	t.Fatalf("%s: %s\n%s", c.name, fmt.Sprintf(format, args...), c.state())
}

// state describes the client as its last events and the end of its debug log.
func (c *Client) state() string {
	const events, lines = 40, 80
	var b strings.Builder
	b.WriteString("-- last events\n")
	all := c.Events()
	for _, e := range all[max(0, len(all)-events):] {
		fmt.Fprintln(&b, "  ", e)
	}
	log := strings.Split(c.DebugLog(), "\n")
	fmt.Fprintf(&b, "-- end of the debug log\n%s\n", strings.Join(log[max(0, len(log)-lines):], "\n"))
	c.mu.Lock()
	defer c.mu.Unlock()
	b.WriteString(c.stderr.String())
	return b.String()
}
