package box

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"trivet/fault"
)

// awaitTime is how long "await" waits.
const awaitTime = 2 * time.Minute

// Commands explains what Do takes, a line each.
const Commands = `status                 the state of every server, and of the lines between them
kill NAME              end a server at once (SIGKILL)
stop NAME              stop a server in order (SIGTERM)
start NAME             start a server that has ended
restart NAME           stop and start
wipe NAME              destroy the data folder of a server that has ended
pause NAME             stop a server's time (SIGSTOP)
resume NAME            let it go on (SIGCONT)
cut A B                cut the line between two servers, both ways
cut A to B             hold only what A sends to B
slow A B 200ms         delay both ways; "slow A to B 200ms" one way
heal [A B]             undo cuts and delays, all or between two servers
await STATE NAME|all   wait until servers are ready, starting, silent, paused or ended
`

// Do carries out one command line and writes what it has to say to w.
// fault.Invalid explains a line that is none.
func (b *Box) Do(ctx context.Context, line string, w io.Writer) error {
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil
	}
	args := words[1:]
	switch verb := words[0]; {
	case verb == "status" && len(args) == 0:
		return b.Table(ctx, w)
	case verb == "cut", verb == "slow", verb == "heal":
		return b.doLine(verb, args)
	case verb == "await" && len(args) == 2:
		return b.doAwait(ctx, State(args[0]), args[1])
	case len(args) == 1:
		return b.doServer(ctx, verb, args[0])
	}
	return noCommand(line)
}

func noCommand(line string) error {
	return fault.New(fault.Invalid, "box.Do", "the commands are:\n"+Commands).About(line)
}

func (b *Box) doServer(ctx context.Context, verb, name string) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	switch verb {
	case "kill":
		return b.Kill(ctx, name)
	case "stop":
		return b.Stop(ctx, name)
	case "start":
		return b.Run(ctx, name)
	case "pause":
		return b.Pause(name)
	case "resume":
		return b.Resume(name)
	case "wipe":
		return b.Wipe(name)
	case "restart":
		if err := b.Stop(ctx, name); err != nil {
			return err
		}
		return b.Run(ctx, name)
	}
	return noCommand(verb + " " + name)
}

// doLine turns the valves between two servers.
func (b *Box) doLine(verb string, args []string) error {
	if verb == "heal" && len(args) == 0 {
		b.HealAll()
		return nil
	}
	turn := b.Heal
	switch verb {
	case "cut":
		turn = b.Cut
	case "slow":
		if len(args) == 0 {
			return noCommand(verb)
		}
		by, err := time.ParseDuration(args[len(args)-1])
		if err != nil || by <= 0 || by > time.Minute {
			return fault.New(fault.Invalid, "box.Do", "a delay is a time like 200ms, at most 1m").About(args[len(args)-1])
		}
		turn = func(from, to string) error { return b.Slow(from, to, by) }
		args = args[:len(args)-1]
	}
	switch {
	case len(args) == 3 && args[1] == "to":
		return turn(args[0], args[2])
	case len(args) == 2:
		if err := turn(args[0], args[1]); err != nil {
			return err
		}
		return turn(args[1], args[0])
	}
	return noCommand(verb + " " + strings.Join(args, " "))
}

func (b *Box) doAwait(ctx context.Context, s State, name string) error {
	switch s {
	case Ended, Paused, Silent, Starting, Ready:
	default:
		return noCommand("await " + string(s))
	}
	ctx, cancel := context.WithTimeout(ctx, awaitTime)
	defer cancel()
	if name != "all" {
		return b.Await(ctx, name, s)
	}
	for _, m := range b.machines {
		if err := b.Await(ctx, m.report(ctx).Name, s); err != nil {
			return err
		}
	}
	return nil
}

// Script carries out the lines of r, each printed with the time it took; lines
// that are empty or begin with # are left out. It stops at the first that fails.
func (b *Box) Script(ctx context.Context, r io.Reader, w io.Writer) error {
	in := bufio.NewScanner(io.LimitReader(r, 1<<20))
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(in.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		began := time.Now()
		if err := b.Do(ctx, line, w); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		fmt.Fprintf(w, "%8.3fs  %s\n", time.Since(began).Seconds(), line)
	}
	return in.Err()
}
