package siptrans

import "sync"

// Buffers are borrowed while data flows and given back before waiting.
const (
	chunkSize  = 16 << 10
	keepBuffer = 64 << 10 // larger output buffers are left to the collector
)

var (
	chunks  = sync.Pool{New: func() any { b := make([]byte, chunkSize); return &b }}
	outputs = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}
)

func borrowChunk() *[]byte  { return chunks.Get().(*[]byte) }
func returnChunk(b *[]byte) { chunks.Put(b) }
func borrowOutput() *[]byte { return outputs.Get().(*[]byte) }
func returnOutput(b *[]byte) {
	if cap(*b) <= keepBuffer {
		*b = (*b)[:0]
		outputs.Put(b)
	}
}
