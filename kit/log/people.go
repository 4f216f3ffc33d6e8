package log

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// people writes "15:04:05.000 INF message  key=value key="two words"".
type people struct {
	out    *output
	level  slog.Leveler
	colour bool
	prefix string // of open groups, "a.b."
	fixed  []byte // attributes of With, already written
}

// output serialises whole lines; it is shared by all handlers derived from one.
type output struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (h *people) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *people) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.prefix += name + "."
	return &c
}

func (h *people) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.fixed = append([]byte(nil), h.fixed...)
	for _, a := range attrs {
		c.fixed = c.attr(c.fixed, c.prefix, a)
	}
	return &c
}

func (h *people) Handle(_ context.Context, r slog.Record) error {
	b := make([]byte, 0, 256)
	if !r.Time.IsZero() {
		b = h.paint(b, dim, r.Time.Format("15:04:05.000"))
		b = append(b, ' ')
	}
	name, colour := levelText(r.Level)
	b = h.paint(b, colour, name)
	b = append(b, ' ')
	b = append(b, oneLine(r.Message)...)
	b = append(b, h.fixed...)
	r.Attrs(func(a slog.Attr) bool { b = h.attr(b, h.prefix, a); return true })
	b = append(b, '\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(b)
	return err
}

// attr appends " key=value", or the members of a group each for itself.
func (h *people) attr(b []byte, prefix string, a slog.Attr) []byte {
	a.Value = a.Value.Resolve()
	a = redact(a)
	if a.Equal(slog.Attr{}) {
		return b
	}
	if a.Value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, m := range a.Value.Group() {
			b = h.attr(b, prefix, m)
		}
		return b
	}
	b = append(b, ' ')
	b = h.paint(b, dim, prefix+a.Key+"=")
	if a.Value.Kind() == slog.KindTime {
		return a.Value.Time().AppendFormat(b, time.RFC3339Nano)
	}
	return append(b, quoted(a.Value.String())...)
}

// ANSI colours.
const dim, red, yellow, green, blue = "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[34m"

func (h *people) paint(b []byte, colour, text string) []byte {
	if !h.colour {
		return append(b, text...)
	}
	return append(append(append(b, colour...), text...), "\x1b[0m"...)
}

func levelText(l slog.Level) (name, colour string) {
	switch {
	case l < slog.LevelInfo:
		return "DBG", blue
	case l < slog.LevelWarn:
		return "INF", green
	case l < slog.LevelError:
		return "WRN", yellow
	default:
		return "ERR", red
	}
}

// quoted returns s, in quotes when it would not read as one word. Control
// characters never reach the terminal.
func quoted(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || r == 0x7f || !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// oneLine returns s, escaped when it has control characters.
func oneLine(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		q := strconv.Quote(s)
		return q[1 : len(q)-1]
	}
	return s
}
