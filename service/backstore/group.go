package backstore

import (
	"context"
	"hash/fnv"
	"math"
	"slices"
	"sync"
	"time"

	"trivet/fault"
	"trivet/rule/groupstate"
	"trivet/store/backend"
	"trivet/uc"
)

// noFloor is the floor of a server that has not seen any change.
const noFloor = math.MaxUint64

// groupCopy is the copy of one group.
type groupCopy struct {
	group Group

	mu      sync.Mutex            // guards the fields below
	changed map[uc.UserURI]uint64 // who changed, and the entry that did it last
	floor   uint64                // every change behind this entry is in changed
	pos     backend.Position      // of the copy, as far as known
	term    uint64                // in which this server is primary and knows pos; 0 for not
	whole   bool                  // changed is not enough
	reached time.Time             // when the copy was complete
	asked   time.Time             // when the database was asked for pos

	hashes map[uc.UserURI]uint64 // of what was written; the writing goroutine's alone
}

func (c *groupCopy) observe(index uint64, events []any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floor = min(c.floor, index-1)
	for _, e := range events {
		changedUsers(e, func(u uc.UserURI) { c.changed[u] = index })
	}
	if len(c.changed) > maxChanged {
		clear(c.changed)
		c.floor, c.whole = index, true
	}
}

// needsPosition: a primary has to know where the copy is before it writes; the others
// ask now and then, to forget what is in the copy.
func (c *groupCopy) needsPosition(now time.Time) bool {
	term, primary := c.group.Primary()
	c.mu.Lock()
	defer c.mu.Unlock()
	if primary {
		return c.term != term
	}
	c.term = 0
	return now.Sub(c.asked) >= idle
}

// learn takes the position from the database.
func (c *groupCopy) learn(pos backend.Position, known bool, now time.Time) {
	term, primary := c.group.Primary()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = now
	if primary && c.term == term {
		return
	}
	c.pos = pos
	for u, index := range c.changed {
		if known && index <= pos.Index {
			delete(c.changed, u)
		}
	}
	if !primary {
		c.whole = false // decided when it becomes primary
		return
	}
	c.term, c.reached = term, pos.At
	c.whole = !known || pos.Index < c.floor
	clear(c.hashes)
}

// forward writes what changed, and returns how many users it wrote.
func (c *groupCopy) forward(ctx context.Context, to Copies, now time.Time) (int, error) {
	c.mu.Lock()
	if c.term == 0 || !c.whole && len(c.changed) == 0 && now.Sub(c.pos.At) < idle {
		if c.term != 0 && !c.whole && len(c.changed) == 0 {
			c.reached = now
		}
		c.mu.Unlock()
		return 0, nil
	}
	whole, names := c.whole, make([]uc.UserURI, 0, len(c.changed))
	for u := range c.changed {
		names = append(names, u)
	}
	c.mu.Unlock()

	var records []*groupstate.Record
	var gone []uc.UserURI
	at := backend.Position{Term: c.term, At: now}
	err := c.group.View(ctx, func(index uint64, s *groupstate.State) {
		at.Index = index
		if whole {
			for u := range s.Users() {
				records = append(records, u.Record())
			}
			return
		}
		for _, name := range names {
			if u := s.User(name); u != nil {
				records = append(records, u.Record())
			} else {
				gone = append(gone, name)
			}
		}
	})
	if err != nil {
		return 0, notLeading(err)
	}
	if at.Index < c.pos.Index && !whole { // the group was recovered from an older copy
		c.mark()
		return 0, nil
	}
	if whole {
		if gone, err = c.vanished(ctx, to, records); err != nil {
			return 0, err
		}
	} else {
		records = c.news(records)
	}
	return c.write(ctx, to, at, records, gone)
}

// notLeading hides that another server has become the primary: it goes on there.
func notLeading(err error) error {
	if fault.Is(err, fault.NotPrimary) || fault.Is(err, fault.NoQuorum) || fault.Is(err, fault.Timeout) || fault.Is(err, fault.Unavailable) {
		return nil
	}
	return err
}

func (c *groupCopy) mark() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole = true
}

// vanished lists who is in the copy and not among the users of the group.
func (c *groupCopy) vanished(ctx context.Context, to Copies, records []*groupstate.Record) ([]uc.UserURI, error) {
	there, err := to.Members(ctx, c.group.ID())
	if err != nil {
		return nil, err
	}
	have := make(map[uc.UserURI]bool, len(records))
	for _, r := range records {
		have[r.User] = true
	}
	return slices.DeleteFunc(there, func(u uc.UserURI) bool { return have[u] }), nil
}

// news leaves out who is as written already: most presence ends with its endpoint and is
// not in the copy.
func (c *groupCopy) news(records []*groupstate.Record) []*groupstate.Record {
	return slices.DeleteFunc(records, func(r *groupstate.Record) bool {
		h, known := c.hashes[r.User]
		return known && h == hash(r)
	})
}

func hash(r *groupstate.Record) uint64 {
	h := fnv.New64a()
	h.Write(r.Export())
	return h.Sum64()
}

// write writes the users in batches; with the last the copy is at position at.
func (c *groupCopy) write(ctx context.Context, to Copies, at backend.Position, records []*groupstate.Record, gone []uc.UserURI) (written int, err error) {
	for {
		part := records[:min(len(records), batchUsers)]
		records = records[len(part):]
		b := backend.Batch{Group: c.group.ID(), Position: at, Partial: len(records) > 0, Users: part}
		if !b.Partial {
			b.Gone = gone
		}
		if err := to.Put(ctx, b); err != nil {
			if fault.Is(err, fault.Stale) { // ask again where the copy is
				c.mu.Lock()
				c.term = 0
				c.mu.Unlock()
			}
			return written, err
		}
		written += len(part)
		for _, r := range part {
			c.hashes[r.User] = hash(r)
		}
		if !b.Partial {
			break
		}
	}
	for _, u := range gone {
		delete(c.hashes, u)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for u, index := range c.changed {
		if index <= at.Index {
			delete(c.changed, u)
		}
	}
	if c.floor == noFloor {
		c.floor = at.Index
	}
	if c.floor <= at.Index {
		c.whole = false
	}
	c.pos, c.reached = at, at.At
	return written, nil
}

func (c *groupCopy) status(now time.Time) (Status, bool) {
	_, primary := c.group.Primary()
	c.mu.Lock()
	defer c.mu.Unlock()
	return Status{Group: c.group.ID(), Position: c.pos, Age: max(0, now.Sub(c.reached)), Waiting: len(c.changed), Whole: c.whole || c.term == 0}, primary
}
