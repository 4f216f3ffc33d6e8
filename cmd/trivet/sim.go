package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"trivet/fault"
	"trivet/sim"
)

// simFlags are the flags of "trivet sim".
type simFlags struct {
	seed    uint64
	seeds   int
	jobs    int
	servers int
	chaos   time.Duration
	only    []string
	nemeses bool
	tables  bool
	show    bool
	part    int // of --jobs; 0: the whole
}

func (p program) simCommand() *cobra.Command {
	var f simFlags
	cmd := &cobra.Command{
		Use: "sim", GroupID: "server", Args: cobra.NoArgs,
		Short: "Run pools in a simulation, from seeds",
		Long: "Runs whole pools on one thread from a seed: servers, disks, clocks, the network, the database and people, with nemeses that\n" +
			"do harm to all of them, and looks whether what must hold does. A seed that fails is shown with what it broke, and fails\n" +
			"in the same way whenever it is repeated: trivet sim --seed N --show tells what happens. Exit status 1 when one failed.",
	}
	fl := cmd.Flags()
	fl.Uint64Var(&f.seed, "seed", 1, "the first seed")
	fl.IntVar(&f.seeds, "seeds", 1, "how many, one after the other")
	fl.IntVar(&f.jobs, "jobs", runtime.NumCPU(), "processes that share them")
	fl.IntVar(&f.servers, "servers", 0, "Front Ends of each pool (default by the seed, 2 to 12)")
	fl.DurationVar(&f.chaos, "chaos", 12*time.Second, "how long nemeses are at work in a run, in its own time")
	fl.StringArrayVar(&f.only, "only", nil, "let only this nemesis be at work; may be repeated")
	fl.BoolVar(&f.nemeses, "nemeses", false, "list the nemeses, and end")
	fl.BoolVar(&f.tables, "tables", false, "instead: every state of servers and witness of pools of 2 to 12, compared with the table of quorum")
	fl.BoolVar(&f.show, "show", false, "tell what happens, line by line; with one seed")
	fl.IntVar(&f.part, "part", 0, "be this one of the processes")
	_ = fl.MarkHidden("part")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return p.sim(cmd.Context(), f) }
	return cmd
}

func (p program) sim(ctx context.Context, f simFlags) error {
	const op = "trivet sim"
	switch {
	case f.nemeses:
		for _, name := range sim.Names() {
			fmt.Fprintln(p.out, name)
		}
		return nil
	case f.seeds < 1 || f.jobs < 1:
		return fault.New(fault.Invalid, op, "--seeds and --jobs are 1 or more")
	case f.show && f.seeds > 1:
		return fault.New(fault.Invalid, op, "--show tells of one seed; leave --seeds out")
	case f.show:
		r, err := sim.Run(f.options(f.seed, p.out))
		fmt.Fprintf(p.out, "seed %d: %d servers, %s of their time, trace %016x\n", r.Seed, r.Servers, r.Time.Truncate(time.Millisecond), r.Trace)
		return failedSeed(f.seed, err)
	case f.part > 0:
		return p.simPart(ctx, f)
	}
	return p.simAll(ctx, f)
}

func (f simFlags) options(seed uint64, log io.Writer) sim.Options {
	return sim.Options{Seed: seed, Servers: f.servers, Chaos: f.chaos, Only: f.only, Log: log}
}

func failedSeed(seed uint64, err error) error {
	if err == nil {
		return nil
	}
	return fault.Newf(fault.Internal, "trivet sim", "seed %d failed", seed).Because(err)
}

// simLine is what a process says of its share: what failed, and at last the sums.
type simLine struct {
	Failed string     `json:"failed,omitempty"`
	Done   int        `json:"done,omitempty"`
	Sum    sim.Counts `json:"sum,omitzero"`
}

// simPart does the share of one process, and tells the others' parent.
func (p program) simPart(ctx context.Context, f simFlags) error {
	out := json.NewEncoder(p.out)
	var line simLine
	if f.tables {
		for n := 2; n <= 12 && ctx.Err() == nil; n++ {
			done, err := sim.Tables(n, func(state int) bool { return state%f.jobs == f.part-1 })
			line.Done += done
			if err != nil {
				_ = out.Encode(simLine{Failed: err.Error()})
			}
		}
		return out.Encode(line)
	}
	for i := f.part - 1; i < f.seeds && ctx.Err() == nil; i += f.jobs {
		seed := f.seed + uint64(i)
		r, err := sim.Run(f.options(seed, nil))
		if fault.Is(err, fault.Invalid) {
			return err
		}
		if err != nil {
			_ = out.Encode(simLine{Failed: fmt.Sprintf("seed %d: %v", seed, err)})
		}
		line.Done++
		line.Sum.Add(r.Counts)
	}
	return out.Encode(line)
}

// simAll shares the work among processes, since one runs one pool at a time, and sums up.
func (p program) simAll(ctx context.Context, f simFlags) error {
	const op = "trivet sim"
	if err := sim.Check(f.options(f.seed, nil)); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fault.Wrap(op, err)
	}
	began := time.Now()
	var (
		mu     sync.Mutex // guards all
		all    simLine
		failed int
		wg     sync.WaitGroup
		broken error
	)
	for part := 1; part <= f.jobs; part++ {
		args := []string{"sim", "--part", strconv.Itoa(part), "--jobs", strconv.Itoa(f.jobs), "--seed", strconv.FormatUint(f.seed, 10),
			"--seeds", strconv.Itoa(f.seeds), "--servers", strconv.Itoa(f.servers), "--chaos", f.chaos.String(), fmt.Sprintf("--tables=%v", f.tables)}
		for _, name := range f.only {
			args = append(args, "--only", name)
		}
		child := exec.CommandContext(ctx, self, args...)
		child.Stderr = p.err
		from, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			return fault.Wrap(op, err)
		}
		wg.Go(func() {
			lines := bufio.NewScanner(from)
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				var l simLine
				if json.Unmarshal(lines.Bytes(), &l) != nil {
					continue
				}
				mu.Lock()
				if l.Failed != "" {
					failed++
					fmt.Fprintln(p.out, l.Failed)
				}
				all.Done += l.Done
				all.Sum.Add(l.Sum)
				mu.Unlock()
			}
			if err := child.Wait(); err != nil {
				mu.Lock()
				defer mu.Unlock()
				broken = err
			}
		})
	}
	wg.Wait()
	p.simSum(f, all, failed, time.Since(began))
	switch {
	case broken != nil:
		return fault.New(fault.Internal, op, "a process of the simulation ended early").Because(broken)
	case failed > 0:
		return fault.Newf(fault.Internal, op, "%d of %d failed", failed, all.Done)
	}
	return nil
}

// simSum says what there was.
func (p program) simSum(f simFlags, all simLine, failed int, took time.Duration) {
	if f.tables {
		fmt.Fprintf(p.out, "%d states of servers and witness, %d unlike the table, in %s\n", all.Done, failed, took.Truncate(time.Second))
		return
	}
	c := all.Sum
	fmt.Fprintf(p.out, "%d seeds from %d on, %d failed, in %s (%.1f a second)\n", all.Done, f.seed, failed, took.Truncate(time.Second), float64(all.Done)/took.Seconds())
	fmt.Fprintf(p.out, "%d messages, %d writes promised, %d reads, %d elections, %d snapshots sent, %d groups recovered (%d promises lost with all who had them)\n",
		c.Messages, c.Writes, c.Reads, c.Elections, c.Snapshots, c.Recoveries, c.Lost)
	for _, name := range slices.Sorted(maps.Keys(c.Nemeses)) {
		fmt.Fprintf(p.out, "%8d  %s\n", c.Nemeses[name], name)
	}
}
