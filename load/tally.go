package load

import (
	"bytes"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// tally counts what became of one kind of act. Every act that was planned is in
// the end one of: skipped, answered, refused, unanswered, lost, or open.
type tally struct {
	planned    atomic.Int64 // came due by the schedule or by the protocol
	skipped    atomic.Int64 // could not be tried: not signed in, nobody to talk to, told to wait
	sent       atomic.Int64
	late       atomic.Int64 // sent later than lateAfter behind its time, by the generator
	answered   atomic.Int64 // 2xx
	unanswered atomic.Int64 // no final answer in time
	lost       atomic.Int64 // the connection ended first
	open       atomic.Int64 // no answer yet when the run ended
	latency    Histogram    // from the intended time to the answer, of the answered; of the open their age at the end

	mu     sync.Mutex // guards status
	status map[int]int64
}

// lateAfter is how much later than intended something may be sent before it
// counts as late.
const lateAfter = 50 * time.Millisecond

func (t *tally) refused(status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.status == nil {
		t.status = map[int]int64{}
	}
	t.status[status]++
}

// refusals are the failures by status.
func (t *tally) refusals() map[int]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.status)
}

// failed counts everything that was sent and did not succeed.
func (t *tally) failed() int64 {
	n := t.unanswered.Load() + t.lost.Load()
	for _, k := range t.refusals() {
		n += k
	}
	return n
}

// stillOpen counts an act that the end of the run cut short. Its age is the least
// that its answer would have taken.
func (t *tally) stillOpen(age time.Duration) {
	t.open.Add(1)
	t.latency.Add(age)
}

// counters are what is counted beside the acts.
type counters struct {
	connected   atomic.Int64 // connections made
	unconnected atomic.Int64 // attempts that failed
	dropped     atomic.Int64 // connections that ended unasked
	told        atomic.Int64 // answers with Retry-After
	stale       atomic.Int64 // publications repeated after 409
	forged      atomic.Int64 // signatures of the server that are wrong
	checked     atomic.Int64 // signatures of the server that were checked
	strange     atomic.Int64 // messages that fit nothing
	signedIn    atomic.Int64 // endpoints now
	requests    atomic.Int64 // sent, of all kinds, ACK and answers not counted
	answers     atomic.Int64 // sent to requests of the server
	resumed     atomic.Int64 // TLS handshakes that resumed a session
	notified    atomic.Int64 // NOTIFY and BENOTIFY that came
	bytesIn     atomic.Int64
	delivered   atomic.Int64 // MESSAGE that came
	spread      Histogram    // from the intended time of a publication to each notification of it

	mu       sync.Mutex // guards examples
	examples []string
}

// maxExamples is how many refusals are kept word by word.
const maxExamples = 20

// example keeps what a refusal said, for the report.
func (c *counters) example(e *endpoint, a Act, m *message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.examples) == maxExamples {
		return
	}
	line, _, _ := bytes.Cut(m.head, []byte("\r\n"))
	c.examples = append(c.examples, fmt.Sprintf("%s of %s: %s %s%s", e.run.nameOf(a), e.user.address, line, m.get("ms-diagnostics"), m.get("Warning")))
}
