package sim

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"trivet/fault"
	"trivet/rule/quorum"
	"trivet/uc"
)

// Options of a run. The zero Options with a Seed are a run as the seed has it.
type Options struct {
	Seed    uint64
	Servers int           // Front Ends; 0: by the seed, 2 to 12
	Chaos   time.Duration // how long nemeses are at work; 0: 12 s
	Only    []string      // names of nemeses, all others are left out; nil: all
	Log     io.Writer     // what happens, line by line; nil: nobody looks on
}

// Counts say how much there was in a run.
type Counts struct {
	Events, Messages, Answers, Writes, Reads, Elections, Snapshots, Recoveries int
	Lost                                                                       int // promises that a recovery took back
	Nemeses                                                                    map[string]int
}

// Add adds those of another run.
func (c *Counts) Add(o Counts) {
	c.Events, c.Messages, c.Answers = c.Events+o.Events, c.Messages+o.Messages, c.Answers+o.Answers
	c.Writes, c.Reads, c.Elections = c.Writes+o.Writes, c.Reads+o.Reads, c.Elections+o.Elections
	c.Snapshots, c.Recoveries, c.Lost = c.Snapshots+o.Snapshots, c.Recoveries+o.Recoveries, c.Lost+o.Lost
	if c.Nemeses == nil {
		c.Nemeses = map[string]int{}
	}
	for name, n := range o.Nemeses {
		c.Nemeses[name] += n
	}
}

// Result of a run.
type Result struct {
	Seed    uint64
	Servers int
	Trace   uint64        // hash of everything that happened
	Time    time.Duration // that passed in the run
	Counts  Counts
}

// Names are those of all nemeses.
func Names() (list []string) {
	for _, n := range nemeses {
		list = append(list, n.name)
	}
	return list
}

func (o *Options) nemeses() []nemesis {
	if len(o.Only) == 0 {
		return nemeses
	}
	return slices.DeleteFunc(slices.Clone(nemeses), func(n nemesis) bool { return !slices.Contains(o.Only, n.name) })
}

// Check says what is wrong with options.
func Check(o Options) error { return o.check() }

func (o *Options) check() error {
	const op = "sim.Run"
	switch {
	case o.Servers != 0 && (o.Servers < 2 || o.Servers > quorum.MaxFrontEnds):
		return fault.Newf(fault.Invalid, op, "a run has 2 to %d servers", quorum.MaxFrontEnds)
	case o.Chaos < 0 || o.Chaos > time.Hour:
		return fault.New(fault.Invalid, op, "nemeses are at work for up to an hour")
	}
	for _, name := range o.Only {
		if !slices.Contains(Names(), name) {
			return fault.Newf(fault.Invalid, op, "there is no nemesis %q; there are: %s", name, strings.Join(Names(), "; "))
		}
	}
	return nil
}

// healing is how long a pool may take to be whole once everything is mended.
const healing = 90 * time.Second

// Run lets a pool live through what the seed has for it. The error is a *Violation, or
// says what is wrong with the options.
func Run(o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	w := newWorld(o)
	defer replaceRandom(w.chance)()
	w.people = w.crowd()
	w.begin()
	w.run(w.chance.between(4*time.Second, 8*time.Second))
	w.harm.next()
	w.run(w.now + w.opts.Chaos)
	w.harm.stop()
	w.settle()
	if w.failed == nil && w.chance.percent(25) {
		w.run(w.now + 6*time.Second) // whatever was begun has ended by then
		w.await("quiet", healing, w.judge.ill)
		w.tables()
	}
	return Result{Seed: o.Seed, Servers: w.opts.Servers, Trace: uint64(w.trace), Time: w.now, Counts: w.counts}, w.failed
}

// sizes are the pools of runs, small ones more often.
var sizes = []int{2, 2, 3, 3, 3, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 12}

func newWorld(o Options) *world {
	w := &world{opts: o, chance: newChance(o.Seed), domains: map[uc.ServerFQDN]int{}}
	if w.opts.Servers == 0 {
		w.opts.Servers = pick(w.chance, sizes)
	}
	if w.opts.Chaos == 0 {
		w.opts.Chaos = 12 * time.Second
	}
	w.net, w.book, w.judge, w.harm = newNetwork(w), newBook(w), newJudge(w), newHarm(w)
	w.groups = 1 + w.chance.IntN(3)
	if w.opts.Servers == 2 || w.chance.percent(60) { // a pool of two without a witness cannot lose anything
		w.base = newBackEnd(w)
	}
	for i := range w.opts.Servers {
		s := &server{w: w, name: uc.ServerFQDN(fmt.Sprintf("fe%d", i+1)), disk: newDisk(), watch: watch{w: w, rate: 1}}
		w.servers = append(w.servers, s)
		w.topology = append(w.topology, s.name)
		w.domains[s.name] = i + 1
	}
	return w
}

func (w *world) crowd() (list []*person) {
	for i := range 2 + w.chance.IntN(3) {
		list = append(list, &person{w: w, n: i})
	}
	return list
}

// begin has everybody start.
func (w *world) begin() {
	w.say("a pool of %d, %d routing groups, database: %v", w.opts.Servers, w.groups, w.base != nil)
	for _, s := range w.servers {
		w.after(w.chance.between(0, 2*time.Second), s.start)
	}
	for _, p := range w.people {
		w.after(w.chance.between(0, time.Second), p.act)
	}
}

// settle waits for the pool to be whole, with people still at it, and looks at it once
// they are quiet.
func (w *world) settle() {
	healed := w.now
	w.await("whole again", healing, func() string {
		if w.now > healed+20*time.Second { // somebody looks after it
			w.harm.recover()
		}
		return w.judge.ill()
	})
	for _, p := range w.people {
		p.quiet = true
	}
	w.await("quiet", healing, func() string {
		for _, p := range w.people {
			if p.op != nil {
				return fmt.Sprintf("person %d waits", p.n)
			}
		}
		return w.judge.ill()
	})
	if w.failed == nil {
		w.judge.agree()
	}
}

// await lets time pass until a reason to wait is gone.
func (w *world) await(what string, limit time.Duration, reason func() string) {
	until := w.now + limit
	why := "nothing was looked at"
	for w.failed == nil && w.now < until {
		w.run(w.now + time.Second)
		if why = reason(); why == "" {
			return
		}
	}
	w.violated("the pool is "+what, "after %v: %s", limit, why)
}
