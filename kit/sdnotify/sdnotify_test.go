package sdnotify_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"trivet/kit/log"
	"trivet/kit/sdnotify"
)

// listen stands in for the service manager and returns what it hears next.
func listen(t *testing.T) func() string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return func() string {
		t.Helper()
		b := make([]byte, 4096)
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("the service manager hears nothing: %v", err)
		}
		return string(b[:n])
	}
}

func TestNoManager(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	m := sdnotify.Open(log.Discard())
	if m != nil {
		t.Fatalf("a manager without $NOTIFY_SOCKET: %v", m)
	}
	m.Status("x")
	m.Ready("x")
	m.Stopping()
	if err := m.Watch(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestStates(t *testing.T) {
	heard := listen(t)
	m := sdnotify.Open(log.Discard())
	m.Status("two\nlines\nREADY=1")
	m.Ready("serving")
	m.Stopping()
	for _, want := range []string{"STATUS=starting", "STATUS=two lines READY=1", "READY=1\nSTATUS=serving", "STOPPING=1\nSTATUS=stopping"} {
		if got := heard(); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "none"))
	m := sdnotify.Open(log.Discard())
	m.Ready("serving") // does not wait and does not fail
	m.Stopping()
}

// TestWatch: signs of life as long as the probe succeeds, none while it fails or
// does not come back in time, and again when it does.
func TestWatch(t *testing.T) {
	heard := listen(t)
	t.Setenv("WATCHDOG_USEC", "400000")
	t.Setenv("WATCHDOG_PID", "")
	m := sdnotify.Open(log.Discard())
	heard() // starting
	var n atomic.Int32
	probe := func(ctx context.Context) (string, error) {
		switch n.Add(1) {
		case 2:
			return "", errors.New("routing group 3 does not answer")
		case 3:
			<-ctx.Done()
			return "", ctx.Err()
		}
		return "2 users", nil
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	begin := time.Now()
	go func() { ended <- m.Watch(ctx, probe) }()
	for _, want := range []string{
		"WATCHDOG=1\nSTATUS=2 users", "STATUS=not healthy: routing group 3 does not answer", "STATUS=not healthy: context deadline exceeded", "WATCHDOG=1\nSTATUS=2 users",
	} {
		if got := heard(); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	if took := time.Since(begin); took < 300*time.Millisecond { // half of the watchdog's time, then the probe's quarter
		t.Errorf("the signs came within %v", took)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
