package httpd

import (
	"context"
	"net"
	"sync"
)

// Conn is the memory of one connection: what a service knows of it from one
// request to the next.
type Conn struct {
	mu     sync.Mutex // guards the field below
	values map[any]any
}

type connKey struct{}

func withConn(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, &Conn{})
}

// ConnOf returns the connection of a request's context; a fresh one when the
// request came without.
func ConnOf(ctx context.Context) *Conn {
	if c, ok := ctx.Value(connKey{}).(*Conn); ok {
		return c
	}
	return &Conn{}
}

// Value returns what SetValue stored, nil if nothing.
func (c *Conn) Value(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.values[key]
}

// SetValue stores v under key; nil forgets it.
func (c *Conn) SetValue(key, v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v == nil {
		delete(c.values, key)
		return
	}
	if c.values == nil {
		c.values = map[any]any{}
	}
	c.values[key] = v
}
