package replica

import (
	"encoding/binary"
	"errors"
)

// What an entry of the log carries is told by its first byte; an empty entry is
// the one a new leader begins its term with. Numbers are append-only.
const (
	kindCommand  = 1 // client 8 bytes, seq, low, command
	kindPosition = 2 // feed position, name: how far the primary's feed has come
)

var errEntry = errors.New("malformed log entry")

// command is a proposal as it lies in the log. All sequence numbers of the
// client below low are answered and will not be asked for again.
type command struct {
	id   ID
	low  uint64
	body []byte // slice of the entry
}

func (c command) encode() []byte {
	b := make([]byte, 0, 1+8+2*binary.MaxVarintLen64+len(c.body))
	b = append(b, kindCommand)
	b = binary.BigEndian.AppendUint64(b, c.id.Client)
	b = binary.AppendUvarint(b, c.id.Seq)
	b = binary.AppendUvarint(b, c.low)
	return append(b, c.body...)
}

func decodeCommand(b []byte) (command, error) {
	if len(b) < 9 || b[0] != kindCommand {
		return command{}, errEntry
	}
	r := reader{b: b[9:]}
	c := command{id: ID{Client: binary.BigEndian.Uint64(b[1:9])}}
	c.id.Seq, c.low = r.uvarint(), r.uvarint()
	c.body = r.b
	return c, r.err
}

// position is how far a feed has come.
type position struct {
	name  string
	index uint64
	gone  bool // the feed was forgotten; never in the log
}

func (p position) encode() []byte {
	b := binary.AppendUvarint([]byte{kindPosition}, p.index)
	return append(b, p.name...)
}

func decodePosition(b []byte) (position, error) {
	if len(b) < 2 || b[0] != kindPosition {
		return position{}, errEntry
	}
	r := reader{b: b[1:]}
	p := position{index: r.uvarint()}
	p.name = string(r.b)
	return p, r.err
}

// reader takes values off the front of b; after a failure it gives zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.err = nil, errEntry
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.b, r.err = nil, errEntry
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}
