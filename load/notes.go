package load

import (
	"bytes"
	"strconv"
	"sync"
	"time"
)

// leastNotes is the share of the expected notifications of notes that must come.
const leastNotes = 0.95

// noteTime is how long before the end of a run a note must have been accepted for
// its notifications to be expected.
const noteTime = 2 * time.Second

// note names a published note: whose it is, and when it was to be published.
type note struct {
	user int32
	due  time.Duration
}

// owed is what a note leads to.
type owed struct {
	accepted time.Duration // by the server; 0: not yet
	expected int64         // endpoints that watched then
	came     int64         // of them that were told
}

// notes counts the notifications of notes. Safe for concurrent use.
type notes struct {
	mu   sync.Mutex // guards list
	list map[note]*owed
}

func (n *notes) with(key note, f func(o *owed)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.list[key]
	if o == nil {
		o = new(owed)
		n.list[key] = o
	}
	f(o)
}

// sum adds up the notes that were accepted before the time.
func (n *notes) sum(before time.Duration) (expected, came int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, o := range n.list {
		if o.accepted > 0 && o.accepted <= before {
			expected += o.expected
			came += min(o.came, o.expected)
		}
	}
	return expected, came
}

// noteText is what a note says: whose it is and when it was due. The first
// publication of a session, with due 0, is none of those that are followed.
func (r *Run) noteText(u *user, due time.Duration) string {
	return r.mark + strconv.Itoa(int(u.number)) + " " + strconv.FormatInt(int64(due), 10) + "."
}

// readNote reads the note at the beginning of b, behind the mark.
func readNote(b []byte) (note, bool) {
	b, _, _ = bytes.Cut(b[:min(len(b), 64)], []byte("."))
	who, when, _ := bytes.Cut(b, []byte(" "))
	n, bad := strconv.ParseInt(string(who), 10, 32)
	due, wrong := strconv.ParseInt(string(when), 10, 64)
	return note{int32(n), time.Duration(due)}, bad == nil && wrong == nil && due > 0
}

// accepted notes that the server took a note: all endpoints that have watched its
// user since before it was due have to be told.
func (r *Run) accepted(u *user, due time.Duration) {
	watching := int64(0)
	for _, o := range r.offsets {
		w := &r.users[(int(u.number)-int(o)+len(r.users))%len(r.users)]
		for i := w.first; i < w.first+w.endpoints; i++ {
			if since := r.endpoints[i].watching.Load(); since > 0 && since <= int64(due) {
				watching++
			}
		}
	}
	r.notes.with(note{u.number, due}, func(o *owed) { o.accepted, o.expected = r.now(), watching })
}

// toldNotes looks for notes in a notification. One that the endpoint knows already, or
// that is older than its subscription, is not new: a watcher is told everything
// again with whatever changes. e.mu is held.
func (e *endpoint) toldNotes(body []byte) {
	r := e.run
	for {
		_, after, ok := bytes.Cut(body, []byte(r.mark))
		if !ok {
			return
		}
		body = after
		n, ok := readNote(body)
		if !ok {
			continue
		}
		place, ok := r.places[int32((int(n.user)-int(e.user.number)+len(r.users))%len(r.users))]
		if since := e.watching.Load(); !ok || since == 0 || int64(n.due) < since {
			continue
		}
		if e.heard == nil {
			e.heard = make([]time.Duration, len(r.offsets))
		}
		if n.due <= e.heard[place] {
			continue
		}
		e.heard[place] = n.due
		r.count.spread.Add(r.now() - n.due)
		r.notes.with(n, func(o *owed) { o.came++ })
	}
}
