package frontend

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trivet/kit/conf"
	"trivet/kit/log"
)

// probeWithin asks the server for a sign of life, with little patience.
func probeWithin(t *testing.T, s *server, d time.Duration) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return s.probe(ctx)
}

// TestProbe: a server that works passes, one with a group or a listener that is
// stuck does not, and one that refuses because it is full does.
func TestProbe(t *testing.T) {
	t.Parallel()
	s, stop := run(t, t.TempDir())
	good := func(what string) {
		t.Helper()
		if text, err := probeWithin(t, s, time.Minute); err != nil || !strings.HasPrefix(text, "serving sip.example.test") {
			t.Errorf("%s: %q %v", what, text, err)
		}
	}
	bad := func(what, want string) {
		t.Helper()
		if _, err := probeWithin(t, s, 300*time.Millisecond); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	good("a server that works")

	stuck, release := make(chan struct{}), make(chan struct{})
	s.life.Go("stuck reader", func(ctx context.Context) error {
		return s.groups.all[2].raft.Read(ctx, func() { close(stuck); <-release })
	})
	<-stuck
	bad("a stuck group", "routing group 3 does not answer")
	close(release)
	good("the group goes on")

	tcp := s.sipTCP
	s.sipTCP = netip.AddrPort{}
	good("TLS alone")
	s.sipTLS = netip.AddrPort{}
	good("neither TCP nor TLS")

	for what, answer := range map[string]func(net.Conn){"a stuck listener": nil, "a server that is full": func(c net.Conn) { c.Close() }} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s.sipTCP = netip.MustParseAddrPort(ln.Addr().String())
		if answer == nil {
			bad(what, "SIP layer does not answer")
		} else {
			s.life.Go("full server", func(context.Context) error {
				for c, err := ln.Accept(); err == nil; c, err = ln.Accept() {
					answer(c)
				}
				return nil
			})
			good(what)
		}
		ln.Close()
	}
	bad("no listener", "SIP layer does not answer") // the closed one's port
	s.sipTCP = tcp
	stop()
}

// TestServiceManager: what systemd hears from the start to the end.
func TestServiceManager(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "2000000")
	t.Setenv("WATCHDOG_PID", "")
	set, err := conf.Load(t.TempDir(), map[string]string{"sip.tls": "0", "sip.tcp": "0", "https": "0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	var out bytes.Buffer
	go func() { ended <- Run(ctx, set, log.Discard(), &out) }()
	heard := func(want string) (all string) {
		t.Helper()
		b := make([]byte, 4096)
		for !strings.Contains(all, want) {
			c.SetReadDeadline(time.Now().Add(time.Minute))
			n, err := c.Read(b)
			if err != nil {
				t.Fatalf("%q is not said after %q: %v", want, all, err)
			}
			all += string(b[:n]) + "\n"
		}
		return all
	}
	if said := heard("READY=1"); !strings.Contains(said, "STATUS=starting: routing groups") || strings.Contains(said, "WATCHDOG") {
		t.Errorf("before it was ready it said %q", said)
	}
	heard("WATCHDOG=1\nSTATUS=serving sip.example.test: 0 endpoints of 0 users")
	heard("WATCHDOG=1")
	cancel()
	heard("STOPPING=1")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
