package load

import (
	"strings"
	"testing"
	"time"

	"trivet/wire/sip"
)

// A server that takes notes and tells nobody has failed.
func TestNotesThatDoNotComeFailTheRun(t *testing.T) {
	t.Parallel()
	s := startStub(t, func(req *sip.Message, _ int) *sip.Message { return welcome(req) })
	rep := playStub(t, s, 6*time.Second, func(c *Config) {
		c.Weight[Publish], c.Speed, c.Contacts = 1, 7200, 1
		c.Model.row(KeepAlive).Count = 0
	})
	if rep.Notes.Expected == 0 || rep.Notes.Came != 0 || !strings.Contains(strings.Join(rep.Why, ";"), "notifications of notes") {
		t.Errorf("%+v, judged %v", rep.Notes, rep.Why)
	}
}

// A note counts once for each watcher, with whatever else it comes; what is older
// than the subscription does not count.
func TestNoteIsNewOncePerWatcher(t *testing.T) {
	t.Parallel()
	r, err := New(Config{Model: Lync2013(), People: twoPeople, Server: "127.0.0.1:5060", Scheme: NTLM, Speed: 1, Endpoints: 1})
	if err != nil {
		t.Fatal(err)
	}
	r.began = time.Now()
	e, about := &r.endpoints[0], &r.users[1]
	e.watching.Store(int64(time.Second))
	r.accepted(about, 2*time.Second)
	for _, c := range []struct {
		due  time.Duration
		want int64
	}{{time.Millisecond, 0}, {0, 0}, {2 * time.Second, 1}, {2 * time.Second, 1}, {time.Second, 1}, {3 * time.Second, 2}} {
		e.toldNotes([]byte(`<category name="state"/><category name="note">` + r.noteText(about, c.due) + "</category>" + r.noteText(&r.users[0], 9*time.Second)))
		if n := r.count.spread.Count(); n != c.want {
			t.Errorf("after the note of %v %d came, want %d", c.due, n, c.want)
		}
	}
	if expected, came := r.notes.sum(time.Hour); expected != 1 || came != 1 {
		t.Errorf("%d expected, %d came", expected, came)
	}
	if expected, _ := r.notes.sum(0); expected != 0 {
		t.Errorf("%d are expected of a note that was taken later", expected)
	}
}
