// Command bench duels with peers: it starts a peer and Trivet one after the other
// on this machine, puts the same load on both over real sockets and prints what
// each did and one last line "ratio NAME VALUE goal G".
package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"time"
)

// duel is one comparison. run returns the value that stands in the last line, and
// what else has a goal.
type duel struct {
	name, unit string
	goal       goal
	run        func(lab) (float64, []side, error)
}

// side is a further value of a duel with a goal of its own.
type side struct {
	name  string
	value float64
	goal  goal
}

// goal is what a value has to reach, or not to exceed.
type goal struct {
	least, most float64 // 0: no bound
}

func (g goal) met(v float64) bool {
	return (g.least == 0 || v >= g.least) && (g.most == 0 || v <= g.most)
}

func (g goal) String() string {
	if g.most != 0 {
		return fmt.Sprintf("<=%g", g.most)
	}
	return fmt.Sprintf(">=%g", g.least)
}

// atLeast and atMost are the goals of duels.
func atLeast(v float64) goal { return goal{least: v} }
func atMost(v float64) goal  { return goal{most: v} }

// errMissed is the end of a duel that ran well and missed its goal.
var errMissed = errors.New("the goal is missed")

var duels = []duel{
	{"message-relay-tcp", "times kamailio per CPU second", atLeast(3), func(l lab) (float64, []side, error) { return l.relayDuel(false) }},
	{"message-relay-tls", "times kamailio per CPU second", atLeast(3), func(l lab) (float64, []side, error) { return l.relayDuel(true) }},
	{"presence-fanout-50", "times kamailio with its database, notifications per CPU second", atLeast(3), func(l lab) (float64, []side, error) { return l.presenceDuel(fanOut{20, 50}) }},
	{"presence-fanout-500", "times kamailio with its database, notifications per CPU second", atLeast(3), func(l lab) (float64, []side, error) { return l.presenceDuel(fanOut{2, 500}) }},
	{"registrations", "times kamailio with write-through per CPU second", atLeast(1), lab.registrationDuel},
	{"message-xmpp", "times the better of prosody and ejabberd per CPU second", atLeast(1), lab.xmppMessages},
	{"signin-xmpp", "times the better of prosody and ejabberd per CPU second", atLeast(1), lab.xmppSignIns},
	{"storm-full", "sign-ins per second with whole TLS handshakes", atLeast(150), func(l lab) (float64, []side, error) { return l.stormDuel(storm{}) }},
	{"storm-resumed", "sign-ins per second with resumed TLS sessions", atLeast(500), func(l lab) (float64, []side, error) {
		return l.stormDuel(storm{cache: tls.NewLRUClientSessionCache(64)})
	}},
	{"replicated-writes", "times etcd, durable 1 KiB writes per second on three servers, 64 writers, 32 groups", atLeast(1), lab.writesDuel},
	{"idle-tls", "KiB per signed-in TLS client", atMost(40), func(l lab) (float64, []side, error) { return l.idleDuel(20000) }},
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--list" {
		for _, d := range duels {
			fmt.Println(d.name)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "soak" {
		if err := soak(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == replicaCommand {
		if err := replicaServer(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bench/run NAME | soak [--minutes M] [--users N] [--report FILE] | --list")
		os.Exit(2)
	}
	for _, d := range duels {
		if d.name == os.Args[1] {
			if err := perform(d); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
				os.Exit(1)
			}
			return
		}
	}
	fmt.Fprintf(os.Stderr, "bench: no duel is called %q; bench/run --list names them\n", os.Args[1])
	os.Exit(2)
}

func perform(d duel) error {
	dir, err := os.MkdirTemp("", "trivet-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := lab{dir: dir, length: 15 * time.Second}
	l.machine()
	v, sides, err := d.run(l)
	if err != nil {
		return err
	}
	met := d.goal.met(v)
	for _, x := range sides {
		fmt.Printf("beside %s %.2f goal %v\n", x.name, x.value, x.goal)
		met = met && x.goal.met(x.value)
	}
	fmt.Printf("ratio %s %.2f goal %v (%s)\n", d.name, v, d.goal, d.unit)
	if !met {
		return errMissed
	}
	return nil
}
