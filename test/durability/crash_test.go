package durability

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trivet/uc"
)

var seed = flag.Uint64("seed", 0, "seed of the crashes; 0: a new one")

const (
	rounds  = 50
	clients = 12
	// So many of them are in one routing group, whose log gets long enough for a
	// snapshot to take its place.
	crowd = 10
	// A server lives until so many changes are acknowledged, and a moment more.
	leastOfRound, mostOfRound = 201, 360
	mostMoment                = 3 * time.Millisecond
	earlyDeath                = 5 // every so many rounds a server dies while it starts
	patientLife               = 4 // one in so many lasts until a cmdlet has succeeded, too
)

// lives knows whether the server has been killed.
type lives struct{ dead atomic.Bool }

func (l *lives) now() bool { return l.dead.Load() }

// saga is a server that is killed again and again, and who is there to see it.
type saga struct {
	*server
	dice    *rand.Rand
	clients []*client
	talk    *talk
	people  *people

	acknowledged int // changes, over all rounds
	busy         time.Duration
	ready        []time.Duration // from the start of a process to ready
	seen         map[outcome]int
}

// TestNothingAcknowledgedIsLost kills the server while twelve users change what
// they have, two chat and an administrator works. After each restart every user
// finds exactly what was acknowledged, with or without the one change that was
// under way; a message that was accepted had been received; a message to somebody
// who has not come back is refused.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("to repeat: go test ./test/durability -run %s -seed %d", t.Name(), *seed)
	s := newSaga(t)
	for round := 1; round <= rounds+1; round++ {
		if !t.Run(fmt.Sprintf("round %02d", round), func(t *testing.T) { s.round(t, round > rounds) }) {
			t.FailNow()
		}
	}
	if s.acknowledged < 10_000 {
		t.Errorf("%d changes were acknowledged, want 10,000 or more", s.acknowledged)
	}
	if s.people.total == 0 || s.talk.total == 0 {
		t.Errorf("%d cmdlets and %d messages were acknowledged, want some", s.people.total, s.talk.total)
	}
	if files, err := filepath.Glob(filepath.Join(s.data, "groups", "*", "*", "*.snap")); len(files) == 0 {
		t.Errorf("no snapshot was taken, %v", err)
	}
	slices.Sort(s.ready)
	t.Logf("%d kills, %d changes acknowledged, none lost; %.0f changes/s; of %d under way %d were carried out",
		rounds, s.acknowledged, float64(s.acknowledged)/s.busy.Seconds(), s.seen[absent]+s.seen[present], s.seen[present])
	t.Logf("%d messages accepted and received; %d cmdlets acknowledged", s.talk.total, s.people.total)
	t.Logf("from start to ready: median %v, longest %v", s.ready[len(s.ready)/2].Round(time.Millisecond), s.ready[len(s.ready)-1].Round(time.Millisecond))
}

func newSaga(t *testing.T) *saga {
	var names []string
	s := &saga{dice: rand.New(rand.NewPCG(*seed, 0)), seen: map[outcome]int{}, people: &people{}}
	for i := range clients {
		name := fmt.Sprintf("user%02d", i)
		names = append(names, name)
		s.clients = append(s.clients, newClient(name, rand.New(rand.NewPCG(*seed, uint64(i+1)))))
	}
	for _, c := range s.clients {
		for _, o := range s.clients {
			if o != c {
				c.others = append(c.others, o.user)
			}
		}
	}
	s.server = emptyServer(t)
	s.populate(t, 1, names[:crowd]...)
	s.populate(t, groups, append(names[crowd:], "teller", "listener")...)
	s.talk = newTalk(s.server)
	s.people.server, s.people.dice = s.server, rand.New(rand.NewPCG(*seed, 1000))
	return s
}

// round is one life of the server: start, check, load, death. The last one ends
// in peace.
func (s *saga) round(t *testing.T, last bool) {
	if len(s.ready)%earlyDeath == earlyDeath-1 { // dies before it is ready, perhaps
		s.start(t)
		<-time.After(time.Duration(s.dice.Int64N(int64(s.ready[len(s.ready)-1]))))
		s.process.Kill()
	}
	s.ready = append(s.ready, s.run(t))
	s.talk.refused(t)
	s.check(t)
	s.people.check(t)
	if t.Failed() {
		return
	}
	if last {
		s.checkAsked(t)
	} else {
		s.load(t)
	}
	for _, c := range s.clients {
		c.hangUp()
	}
	s.talk.hangUp()
}

// check has all clients come back at once.
func (s *saga) check(t *testing.T) {
	var wg sync.WaitGroup
	seen := make([]outcome, len(s.clients))
	for i, c := range s.clients {
		wg.Go(func() { seen[i] = c.comeBack(t, s.at(5060)) })
	}
	wg.Go(func() { s.talk.comeBack(t) })
	wg.Wait()
	for _, o := range seen {
		s.seen[o]++
	}
}

// load has everybody work until enough is acknowledged, and kills the server.
func (s *saga) load(t *testing.T) {
	died := &lives{}
	enough, managed := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(managed) })
	if s.dice.IntN(patientLife) > 0 {
		once()
	}
	target := int64(leastOfRound + s.dice.IntN(mostOfRound-leastOfRound))
	moment := time.Duration(s.dice.Int64N(int64(mostMoment)))
	var count atomic.Int64
	done := func() {
		if count.Add(1) == target {
			close(enough)
		}
	}
	begin := time.Now()
	var wg sync.WaitGroup
	for _, c := range s.clients {
		wg.Go(func() { c.work(t, died, done) })
	}
	wg.Go(func() { s.talk.work(t, died) })
	wg.Go(func() { s.people.work(t, died, once) })
	limit := time.After(2 * patience)
	for _, c := range []chan struct{}{enough, managed} {
		select {
		case <-c:
		case <-limit:
			t.Errorf("%d of %d changes in %v", count.Load(), target, 2*patience)
		}
	}
	<-time.After(moment)
	died.dead.Store(true)
	s.process.Kill()
	s.busy += time.Since(begin)
	wg.Wait()
	s.acknowledged += int(count.Load())
}

// checkAsked waits until everybody who was added is asked about it, or has added
// the other too: the notes of the last life are still on their way.
func (s *saga) checkAsked(t *testing.T) {
	for _, c := range s.clients {
		await(t, fmt.Sprintf("%s to be asked about everybody who added him", c.user), func() bool {
			asked, err := c.askedBy(t.Context())
			return err == nil && !slices.ContainsFunc(s.clients, func(o *client) bool {
				return o.added[c.user] && !c.added[o.user] && !slices.Contains(asked, o.user)
			})
		})
		asked, err := c.askedBy(t.Context())
		if err != nil || slices.ContainsFunc(asked, func(u uc.UserURI) bool { return !s.mayHaveAdded(u, c.user) }) || len(slices.Compact(slices.Clone(asked))) != len(asked) {
			t.Errorf("%s is asked about %v, %v", c.user, asked, err)
		}
	}
}

func (s *saga) mayHaveAdded(who, whom uc.UserURI) bool {
	return slices.ContainsFunc(s.clients, func(c *client) bool { return c.user == who && c.added[whom] })
}

// await waits for a condition.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit, look := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}
