package replica

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trivet/uc"
)

func TestMain(m *testing.M) {
	if os.Getenv(diskFaultEnv) != "" { // broken stores leave goroutines behind
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// ledger is a machine that remembers every command: its result is how many came
// before, its event the command itself. "quiet…" gives no event.
type ledger struct{ lines []string }

func (l *ledger) Apply(_ uint64, cmd []byte) (any, []any) {
	l.lines = append(l.lines, string(cmd))
	if len(cmd) >= 5 && string(cmd[:5]) == "quiet" {
		return len(l.lines) - 1, nil
	}
	return len(l.lines) - 1, []any{string(cmd)}
}

func (l *ledger) Snapshot() func(io.Writer) error {
	frozen := l.lines[:len(l.lines):len(l.lines)]
	return func(w io.Writer) error {
		for _, s := range frozen {
			if _, err := w.Write(append(binary.AppendUvarint(nil, uint64(len(s))), s...)); err != nil {
				return err
			}
		}
		return nil
	}
}

func (l *ledger) Restore(r io.Reader) error {
	l.lines = nil
	br := bufio.NewReader(r)
	for {
		n, err := binary.ReadUvarint(br)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(br, b); err != nil {
			return err
		}
		l.lines = append(l.lines, string(b))
	}
}

var _ Machine = (*ledger)(nil)

const patience = 20 * time.Second

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// await polls for a condition that other goroutines bring about.
func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// small is a configuration for tests: memory disk, quick ticks, small thresholds.
func small(fs vfs.FS) Config {
	c := Config{
		Dir: "data", FS: fs, TickInterval: 5 * time.Millisecond, SpaceInterval: 5 * time.Millisecond,
		SnapshotEntries: 50, CacheBytes: 2 << 10, ReserveBytes: 64 << 10, MinFreeBytes: 1 << 20,
	}
	if os.Getenv("REPLICA_LOG") != "" {
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return c
}

func open(t testing.TB, cfg Config) *Host {
	t.Helper()
	h, err := Open(soon(t), cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { closeHost(t, h) })
	return h
}

func closeHost(t testing.TB, h *Host) {
	t.Helper()
	if err := h.Close(soon(t)); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func start(t testing.TB, h *Host, id uc.GroupID) (*Group, *ledger) {
	t.Helper()
	return join(t, h, id, Alone(1))
}

// join starts a group that several servers hold.
func join(t testing.TB, h *Host, id uc.GroupID, first Members) (*Group, *ledger) {
	t.Helper()
	m := &ledger{}
	g, err := h.Start(soon(t), id, m, first)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	return g, m
}

func propose(t testing.TB, g *Group, cmd string) any {
	t.Helper()
	res, err := g.Propose(soon(t), []byte(cmd))
	if err != nil {
		t.Fatalf("Propose(%s): %v", cmd, err)
	}
	return res
}

func lines(t testing.TB, g *Group, m *ledger) []string {
	t.Helper()
	var out []string
	if err := g.Read(soon(t), func() { out = slices.Clone(m.lines) }); err != nil {
		t.Fatalf("Read: %v", err)
	}
	return out
}

func series(prefix string, from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("%s%d", prefix, i))
	}
	return out
}
