package siptrans

import "sync"

// Batch holds back the output that the messages of one read cause, so that each
// connection is written to once. A nil or closed Batch holds nothing back. A
// Batch may be used by several goroutines, and after its time: it is then closed,
// or serves another reader, which is as good.
type Batch struct {
	mu    sync.Mutex // guards the fields below; taken under Conn.omu
	open  bool
	dirty []*Conn
}

var batches = sync.Pool{New: func() any { return new(Batch) }}

// hold notes that c has output and reports whether it will be flushed later.
func (b *Batch) hold(c *Conn) bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open {
		b.dirty = append(b.dirty, c)
	}
	return b.open
}

func (b *Batch) begin() {
	b.mu.Lock()
	b.open = true
	b.mu.Unlock()
}

// flush closes the batch and writes what it held back.
func (b *Batch) flush() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.open = false
	dirty := b.dirty
	b.dirty = nil
	b.mu.Unlock()
	for _, c := range dirty {
		c.flush()
	}
	clear(dirty)
	b.mu.Lock()
	if b.dirty == nil {
		b.dirty = dirty[:0]
	}
	b.mu.Unlock()
}
