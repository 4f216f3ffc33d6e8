package siptrans

import "sync/atomic"

// Methods are the names of the method counters; the last one stands for all others.
var Methods = [...]string{"REGISTER", "INVITE", "ACK", "BYE", "CANCEL", "MESSAGE", "SUBSCRIBE", "NOTIFY",
	"BENOTIFY", "SERVICE", "INFO", "OPTIONS", "PUBLISH", "REFER", "UPDATE", "PRACK", "NEGOTIATE", "other"}

// Transports are the names of the transport counters.
var Transports = [...]string{"udp", "tcp", "tls", "ws", "wss"}

type counters struct {
	conns      [len(Transports)]atomic.Int64
	accepted   [len(Transports)]atomic.Uint64
	requestIn  [len(Methods)]atomic.Uint64
	requestOut [len(Methods)]atomic.Uint64
	replyIn    [7]atomic.Uint64
	replyOut   [7]atomic.Uint64
	broken     atomic.Uint64
	stray      atomic.Uint64
	absorbed   atomic.Uint64
	refused    atomic.Uint64
	slow       [len(SlowReasons)]atomic.Uint64
	rejected   [len(Rejections)]atomic.Uint64
	open       atomic.Int64 // server transactions without a final response
	pending    atomic.Int64 // client transactions without a final response
	inWork     atomic.Int64
}

// Stats is a reading of the counters.
type Stats struct {
	Connections [len(Transports)]int64  // open now, in the order of Transports
	Accepted    [len(Transports)]uint64 // since the start
	RequestsIn  [len(Methods)]uint64    // in the order of Methods
	RequestsOut [len(Methods)]uint64
	RepliesIn   [7]uint64 // by hundreds: [2] counts 2xx
	RepliesOut  [7]uint64
	Malformed   uint64                   // messages that could not be read
	Stray       uint64                   // responses that match no transaction
	Absorbed    uint64                   // retransmissions that did not reach a handler
	SlowReaders uint64                   // connections closed because their output queue was full or stalled
	Overload    uint64                   // requests refused with 503
	Rejected    uint64                   // connections refused
	SlowBy      [len(SlowReasons)]uint64 // SlowReaders in the order of SlowReasons
	RejectedBy  [len(Rejections)]uint64  // Rejected in the order of Rejections
	Open        int64                    // requests without a final response
	Pending     int64                    // our own requests without a final response
	InWork      int64                    // requests in handlers or waiting for one
	Strangers   int64                    // those of them that came from who has not signed in
	AtGate      int64                    // those of them that wait until the processors are less busy
	Held        int64                    // bytes of half-received messages of strangers, beyond what is free
	Owed        int64                    // bytes of output that wait for slow readers
}

func (l *Layer) methodIn(m string)  { l.stats.requestIn[methodIndex(m)].Add(1) }
func (l *Layer) methodOut(m string) { l.stats.requestOut[methodIndex(m)].Add(1) }

func methodIndex(m string) int {
	for i := range len(Methods) - 1 {
		if Methods[i] == m {
			return i
		}
	}
	return len(Methods) - 1
}

// class is the index of a status code in the reply counters.
func class(status int) int { return min(max(status/100, 0), 6) }

// Stats reads the counters; they are not read at one instant.
func (l *Layer) Stats() Stats {
	c := &l.stats
	s := Stats{
		Malformed: c.broken.Load(), Stray: c.stray.Load(), Absorbed: c.absorbed.Load(),
		Overload: c.refused.Load(), Open: c.open.Load(), Pending: c.pending.Load(), InWork: c.inWork.Load(),
	}
	for i := range s.SlowBy {
		s.SlowBy[i] = c.slow[i].Load()
		s.SlowReaders += s.SlowBy[i]
	}
	for i := range s.RejectedBy {
		s.RejectedBy[i] = c.rejected[i].Load()
		s.Rejected += s.RejectedBy[i]
	}
	h := l.sources.strangers()
	s.Strangers, s.Held, s.AtGate, s.Owed = int64(h.work), int64(h.bytes), int64(l.gate.waiting()), l.owed.Load()
	for i := range Transports {
		s.Connections[i], s.Accepted[i] = c.conns[i].Load(), c.accepted[i].Load()
	}
	for i := range Methods {
		s.RequestsIn[i], s.RequestsOut[i] = c.requestIn[i].Load(), c.requestOut[i].Load()
	}
	for i := range s.RepliesIn {
		s.RepliesIn[i], s.RepliesOut[i] = c.replyIn[i].Load(), c.replyOut[i].Load()
	}
	return s
}
