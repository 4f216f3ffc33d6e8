package poolstate

import (
	"encoding/json"
	"io"

	"trivet/fault"
)

// MaxCommand bounds an encoded command, MaxSnapshot a state, in bytes.
const (
	MaxCommand  = 2 << 20
	MaxSnapshot = 4 << 20
)

// commands makes an empty command of each kind. Kinds are append-only.
var commands = map[byte]func() Command{
	1: func() Command { return &Open{} }, 2: func() Command { return &Claim{} }, 3: func() Command { return &PutPlace{} },
	4: func() Command { return &Drain{} }, 5: func() Command { return &Publish{} }, 6: func() Command { return &PutPair{} },
	7: func() Command { return &Recovered{} }, 8: func() Command { return &PutUpgrade{} },
	9: func() Command { return &Dismiss{} },
}

// Encode is a command as it stands in the log.
func Encode(c Command) []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic("poolstate: a command cannot be written: " + err.Error()) // its fields are plain values
	}
	return append([]byte{c.kind()}, b...)
}

// Decode reads a command. One of a newer version's is fault.Unsupported, anything else
// that does not fit fault.Limit or fault.Invalid.
func Decode(b []byte) (Command, error) {
	const op = "poolstate.Decode"
	switch {
	case len(b) == 0:
		return nil, fault.New(fault.Invalid, op, "a command of the pool is empty")
	case len(b) > MaxCommand:
		return nil, fault.Newf(fault.Limit, op, "a command of the pool has %d bytes, %d are allowed", len(b), MaxCommand)
	case commands[b[0]] == nil:
		return nil, fault.Newf(fault.Unsupported, op, "command number %d of the pool is not known to this version", b[0])
	}
	c := commands[b[0]]()
	if err := json.Unmarshal(b[1:], c); err != nil {
		return nil, fault.New(fault.Invalid, op, "a command of the pool cannot be read").Because(err)
	}
	return c, nil
}

// Changed is the event of every command that changed the pool.
type Changed struct{ Pool *Pool }

// State is the machine. It belongs to the goroutine of its group.
type State struct{ pool *Pool }

// New is the state of a pool that was never opened.
func New() *State { return &State{&Pool{}} }

// Pool is the state now. It is never changed.
func (s *State) Pool() *Pool { return s.pool }

// Apply carries out a command. The result is the new *Pool, or the error of a refusal,
// which has changed nothing.
func (s *State) Apply(_ uint64, cmd []byte) (any, []any) {
	c, err := Decode(cmd)
	if err != nil {
		return err, nil
	}
	next := s.pool.clone()
	if err := c.apply(next); err != nil {
		return err, nil
	}
	s.pool = next
	return next, []any{Changed{next}}
}

// Snapshot returns a function that writes the state.
func (s *State) Snapshot() func(io.Writer) error {
	p := s.pool
	return func(w io.Writer) error { return json.NewEncoder(w).Encode(p) }
}

// Restore replaces the state by what Snapshot wrote. After an error it is as before.
func (s *State) Restore(r io.Reader) error {
	p := &Pool{}
	if err := json.NewDecoder(io.LimitReader(r, MaxSnapshot)).Decode(p); err != nil {
		return fault.New(fault.Invalid, "poolstate.Restore", "the state of the pool cannot be read").Because(err)
	}
	s.pool = p
	return nil
}

// Result sorts what a proposal returned.
func Result(v any, err error) (*Pool, error) {
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case *Pool:
		return v, nil
	case error:
		return nil, v
	}
	return nil, fault.New(fault.Internal, "poolstate.Result", "the pool answered with something else")
}
