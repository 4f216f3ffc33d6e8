// Package mirroring decides for a mirrored pair of database servers which of them is the
// principal. The Front Ends are the witness of the pair: the leader of the pool group
// asks Next what is to be done, does it, and asks again.
//
// Two things hold at any time. First, the pool says Synchronized only while the principal
// waits with every commit for the mirror; so when the pool has the mirror promoted,
// everything acknowledged is on it, and the old principal, wherever it still runs, can
// acknowledge nothing more. Second, what could break the first is written down by the
// pool before it is done to a server.
package mirroring

// Side is a server of the pair as the topology names it; the names stay when the
// mirror becomes the principal.
type Side uint8

// The sides. Either is whichever takes writes.
const (
	Either Side = iota
	Primary
	Mirror
)

// String is the product's word.
func (s Side) String() string { return [...]string{"Either", "Primary", "Mirror"}[s%3] }

// Other is the other server of the pair.
func (s Side) Other() Side {
	switch s {
	case Primary:
		return Mirror
	case Mirror:
		return Primary
	}
	return Either
}

// Pair is what the pool remembers of its Back End, in the state of the pool group. The
// zero Pair is that of a new pool: the primary is the principal, alone.
type Pair struct {
	// OnMirror: the server called Mirror is the principal.
	OnMirror bool
	// Synchronized: everything acknowledged is on both servers, so the one that is
	// not the principal may become it.
	Synchronized bool
}

// Principal is the server that takes writes.
func (p Pair) Principal() Side {
	if p.OnMirror {
		return Mirror
	}
	return Primary
}

// Server is what one server says of itself.
type Server struct {
	Side    Side
	Reached bool
	Why     error // why it was not reached
	// Principal reports that it takes writes.
	Principal bool
	// Attached: as principal, the other server receives its log just now; as mirror, it
	// receives the log of the principal.
	Attached bool
	// Waiting: as principal, commits wait for the mirror.
	Waiting bool
	// Synchronized: as principal, it waits, and the mirror has all of its log.
	Synchronized bool
}

// View is what is known at a moment.
type View struct {
	Pair      Pair
	Members   int    // running Front Ends of the pool
	Lost      int    // those of them that have not reached the principal for a while
	Principal Server // what the leader itself sees of both
	Mirror    Server // the one that is not the principal
	// Detached: the principal has not had its mirror for a while.
	Detached bool
}

// Action is the next thing to do.
type Action uint8

// The actions. Those that begin with Mark are written down by the pool, the others done
// to a server.
const (
	Nothing          Action = iota
	MarkAlone               // the mirror does not have everything any more
	MarkSynchronized        // the mirror has everything
	MarkFailover            // the mirror is the principal from now on, alone
	Wait                    // the principal waits with commits for the mirror
	StopWaiting             // the principal goes on without the mirror
	Promote                 // the principal still believes to be the mirror
)

// String is the action in a log.
func (a Action) String() string {
	names := [...]string{"nothing", "mark alone", "mark synchronized", "mark failover", "wait for the mirror", "stop waiting", "promote"}
	if int(a) < len(names) {
		return names[a]
	}
	return "unknown"
}

// Next says what is to be done.
func Next(v View) Action {
	p := v.Principal
	switch {
	case 2*v.Lost > v.Members: // what one Front End does not reach may be its own fault
		if v.Pair.Synchronized && v.Mirror.Reached && !v.Mirror.Principal {
			return MarkFailover
		}
		return Nothing
	case !p.Reached:
		return Nothing
	case !p.Principal:
		return Promote
	case p.Attached:
		return attached(v)
	case v.Pair.Synchronized && (v.Detached || !p.Waiting):
		return MarkAlone
	case !v.Pair.Synchronized && p.Waiting && v.Detached:
		return StopWaiting
	}
	return Nothing
}

// attached is Next for a principal whose mirror receives its log.
func attached(v View) Action {
	switch p := v.Principal; {
	case !p.Waiting && v.Pair.Synchronized: // somebody changed the server's settings
		return MarkAlone
	case !p.Waiting:
		return Wait
	case p.Synchronized && !v.Pair.Synchronized:
		return MarkSynchronized
	}
	return Nothing
}

// After is the pair when an action that begins with Mark is written down.
func (p Pair) After(a Action) Pair {
	switch a {
	case MarkAlone:
		p.Synchronized = false
	case MarkSynchronized:
		p.Synchronized = true
	case MarkFailover:
		p.OnMirror, p.Synchronized = !p.OnMirror, false
	}
	return p
}
