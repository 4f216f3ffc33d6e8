// Package log makes the program's logger: lines for people (coloured only on a
// terminal) or JSON objects for machines, in both cases without secrets. A value
// of type Secret never shows what it holds, and an attribute whose name says that
// it is a secret is redacted whatever its type.
//
// The handlers are safe for concurrent use; one record is one Write.
package log

import (
	"io"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/term"

	"trivet/fault"
)

// Options say what a logger looks like. The zero value is lines for people at
// level info, coloured when the writer is a terminal.
type Options struct {
	JSON  bool
	Level slog.Leveler // nil = info
	Plain bool         // never colour
}

// New makes a logger that writes to w.
func New(w io.Writer, o Options) *slog.Logger {
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	if o.JSON {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: o.Level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { return redact(a) }}))
	}
	return slog.New(&people{out: &output{w: w}, level: o.Level, colour: !o.Plain && onTerminal(w)})
}

// Discard is a logger that drops everything.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// ParseLevel reads debug, info, warn or error, in any case.
func ParseLevel(s string) (slog.Level, error) {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(l.String(), s) {
			return l, nil
		}
	}
	return 0, fault.Newf(fault.Invalid, "log.ParseLevel", "a log level is debug, info, warn or error, not %q", s)
}

// onTerminal reports whether w is a terminal whose owner did not ask for plain
// text (https://no-color.org).
func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && term.IsTerminal(int(f.Fd()))
}
