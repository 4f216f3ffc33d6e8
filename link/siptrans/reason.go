package siptrans

// reason is why a connection was refused or closed, for the counters.
type reason uint8

// In the order of Rejections.
const (
	tooMany reason = iota
	tooManyStrangers
	shakeFailed
	overBudget
	overdue
	overHold
)

// Rejections are the names of the counters of connections refused: as many are
// open as may be; their address has as many strangers as it may; the handshake
// failed; more than Config.Budget was sent before signing in; no sign-in, or the
// rest of a message, came in time; strangers hold as many bytes as they may; an
// address of UDP gave way to another.
var Rejections = [...]string{"connections", "strangers", "handshake", "budget", "deadline", "bytes", "peers"}

const overPeers = overHold + 1

// slowness is why a slow reader was dropped.
type slowness uint8

// In the order of SlowReasons.
const (
	queueFull slowness = iota
	stalled
	crowdedOut
)

// SlowReasons are the names of the counters of slow readers: more than
// Config.Queue waited; nothing was taken for Config.Stall; all connections
// together owed more than Config.OutputHold.
var SlowReasons = [...]string{"queue", "stall", "total"}

func (l *Layer) reject(why reason) { l.stats.rejected[why].Add(1) }

// slowTexts are SlowReasons in words.
var slowTexts = [len(SlowReasons)]string{
	"the output queue is full, the peer does not read", "the peer does not read",
	"all connections together owe too much, and the peer does not read",
}
