package pidgin

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Status ids of the plugin. A user can choose the first six.
const (
	Available = "available"
	Busy      = "busy"
	DND       = "do-not-disturb"
	BRB       = "be-right-back"
	Away      = "away"
	Invisible = "invisible"
	Idle      = "idle"
	BusyIdle  = "busyidle"
	Offline   = "offline"
)

// Connect starts to sign in. See SignedOn and ConnectionError for what follows.
// What earlier connections left behind is taken: the plugin reports the end of one
// more than once.
func (c *Client) Connect(t testing.TB) {
	t.Helper()
	c.forget(func(e Event) bool {
		return slices.Contains([]string{"signed-on", "contact-list-loaded", "connection-error", "disconnected"}, e.Name())
	})
	c.must(t, "connect")
}

// SignOn signs in and returns when the contact list has come.
func (c *Client) SignOn(t testing.TB) *Client {
	t.Helper()
	c.Connect(t)
	c.SignedOn(t)
	return c
}

// SignedOn returns when the client has signed in and has its contact list. A
// connection error ends the test.
func (c *Client) SignedOn(t testing.TB) {
	t.Helper()
	e := c.Await(t, "sign-in", func(e Event) bool { return e.Name() == "signed-on" || e.Name() == "connection-error" })
	if e.Name() != "signed-on" {
		c.Fatalf(t, "does not sign in: %s", e)
	}
	c.AwaitEvent(t, "contact-list-loaded")
}

// ConnectionError returns the error that ends, or prevents, the connection, once
// the client is ready to connect again.
func (c *Client) ConnectionError(t testing.TB) Event {
	t.Helper()
	e := c.AwaitEvent(t, "connection-error")
	c.AwaitEvent(t, "disconnected")
	return e
}

// Disconnect signs out and returns when the client has gone.
func (c *Client) Disconnect(t testing.TB) {
	t.Helper()
	c.must(t, "disconnect")
	c.AwaitEvent(t, "disconnected")
}

// Quit signs out and ends the client.
func (c *Client) Quit(t testing.TB) {
	t.Helper()
	c.must(t, "quit")
	c.until(t, "its end", func(int) bool { return c.over })
}

// Kill ends the client without a word to the server, as a crash does.
func (c *Client) Kill(t testing.TB) {
	t.Helper()
	_ = c.cmd.Process.Kill()
	c.until(t, "its end", func(int) bool { return c.over })
}

// Settled returns when the server has answered all that the client has asked.
//
// What a user does to the own presence and its access levels waits for that, as a
// user is slower than a server: the client works from what it knows, and takes a
// change that it makes before an answer back by itself, when the answer comes.
func (c *Client) Settled(t testing.TB) {
	t.Helper()
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	look := time.NewTicker(quiet)
	defer look.Stop()
	for {
		id := c.must(t, "outstanding")
		count := c.snapshot(id)[0]["count"]
		if count == "0" {
			return
		}
		select {
		case <-look.C:
		case <-limit.C:
			c.Fatalf(t, "has no answer to %s requests after %v", count, Patience)
		}
	}
}

// SetStatus chooses a status, with a note or without.
func (c *Client) SetStatus(t testing.TB, status, note string) {
	t.Helper()
	c.Settled(t)
	c.must(t, "set_status", "status", status, "note", note)
}

// Rest makes the user one who has not touched the machine for more than ten
// minutes, when the graphical client reports idleness; Wake ends that.
func (c *Client) Rest(t testing.TB) { t.Helper(); c.Settled(t); c.must(t, "idle", "seconds", "660") }

// Wake ends Rest.
func (c *Client) Wake(t testing.TB) { t.Helper(); c.Settled(t); c.must(t, "idle", "seconds", "0") }

// AddBuddy puts a contact into a group, which is made if need be, and returns when
// the client has told the server: before that it would make a new group once more
// for the next contact in it.
func (c *Client) AddBuddy(t testing.TB, who, group string) {
	t.Helper()
	who = "sip:" + strings.TrimPrefix(who, "sip:")
	c.forget(Is("contact-told", "who", who))
	c.must(t, "add_buddy", "who", who, "group", group)
	c.AwaitEvent(t, "contact-told", "who", who)
}

// RemoveBuddy takes a contact out of one of its groups.
func (c *Client) RemoveBuddy(t testing.TB, who, group string) {
	t.Helper()
	c.must(t, "remove_buddy", "who", who, "group", group)
}

// MoveBuddy moves a contact from a group to another, which is made if need be.
func (c *Client) MoveBuddy(t testing.TB, who, group, to string) {
	t.Helper()
	c.must(t, "move_buddy", "who", who, "group", group, "to", to)
}

// CopyBuddy puts a contact of a group into another existing one, too.
func (c *Client) CopyBuddy(t testing.TB, who, group, to string) {
	t.Helper()
	c.Menu(t, who, group, "Copy to", to)
}

// AliasBuddy gives a contact a name of the user's choice.
func (c *Client) AliasBuddy(t testing.TB, who, group, alias string) {
	t.Helper()
	c.must(t, "alias_buddy", "who", who, "group", group, "alias", alias)
}

// AddGroup makes a group. The plugin tells the server when its first contact comes.
func (c *Client) AddGroup(t testing.TB, group string) {
	t.Helper()
	c.must(t, "add_group", "group", group)
}

// RenameGroup gives a group another name.
func (c *Client) RenameGroup(t testing.TB, group, to string) {
	t.Helper()
	c.must(t, "rename_group", "group", group, "to", to)
}

// RemoveGroup removes a group after its contacts.
func (c *Client) RemoveGroup(t testing.TB, group string) {
	t.Helper()
	c.must(t, "remove_group", "group", group)
}

// Block keeps somebody from seeing the user and from sending messages.
func (c *Client) Block(t testing.TB, who string) {
	t.Helper()
	c.Settled(t)
	c.must(t, "block", "who", who)
}

// Unblock ends Block.
func (c *Client) Unblock(t testing.TB, who string) {
	t.Helper()
	c.Settled(t)
	c.must(t, "unblock", "who", who)
}

// Menu chooses an entry of the menu of a contact; path leads to it by labels.
func (c *Client) Menu(t testing.TB, who, group string, path ...string) {
	t.Helper()
	c.must(t, "menu", "who", who, "group", group, "path", strings.Join(path, "/"))
}

// SetAccessLevel gives a contact one of the plugin's access levels, by its label.
func (c *Client) SetAccessLevel(t testing.TB, who, level string) {
	t.Helper()
	c.Settled(t)
	c.Menu(t, who, "", "Access level", level)
}

// Send sends an instant message of plain text. What became of it is an im-failed
// event at the sender or an im-received event at the receiver.
func (c *Client) Send(t testing.TB, who, text string) {
	t.Helper()
	c.must(t, "send_im", "who", who, "text", text)
}

// Received takes the message from who with the text.
func (c *Client) Received(t testing.TB, who, text string) Event {
	t.Helper()
	return c.AwaitEvent(t, "im-received", "who", who, "text", text)
}

// Typing tells who that the user writes, or has stopped to.
func (c *Client) Typing(t testing.TB, who string, active bool) {
	t.Helper()
	state := "stopped"
	if active {
		state = "typing"
	}
	c.must(t, "typing", "who", who, "state", state)
}

// Close ends the conversation with who.
func (c *Client) Close(t testing.TB, who string) { t.Helper(); c.must(t, "close", "who", who) }

// Info asks for the contact card of who.
func (c *Client) Info(t testing.TB, who string) Event {
	t.Helper()
	c.must(t, "get_info", "who", who)
	return c.Await(t, "card of "+who, func(e Event) bool { return e.Name() == "user-info" && strings.Contains(e["who"], who) })
}

// Search looks in the address book for the fields given, surname, email, sipid,
// company, country, and returns the rows found.
func (c *Client) Search(t testing.TB, fields ...string) (rows []Event) {
	t.Helper()
	c.fill(t, "Contact search...", fields...)
	end := c.Await(t, "end of the search", func(e Event) bool { return e.Name() == "search-done" || e.Name() == "notify" })
	if end.Name() == "notify" { // nothing found
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, e := range c.events {
		if !c.taken[i] && e.Name() == "search-result" {
			c.taken[i] = true
			rows = append(rows, e)
		}
	}
	return rows
}
