package sipclient_test

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/fault"
	"trivet/link/sipclient"
	"trivet/test/sipstub"
	"trivet/uc"
	"trivet/wire/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	alice = uc.UserURI("sip:alice@example.test")
	bob   = uc.UserURI("sip:bob@example.test")
)

func dial(t *testing.T, s *sipstub.Stub, cfg sipclient.Config) *sipclient.Client {
	t.Helper()
	cfg.Addr = s.Addr
	c, err := sipclient.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestSignInAndMessage(t *testing.T) {
	s := sipstub.Start(t, map[uc.UserURI]string{alice: "correct", bob: "horse"}, nil)
	for _, scheme := range []sipclient.Scheme{sipclient.Auto, sipclient.Digest, sipclient.NTLM} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		got := make(chan string, 1)
		a := dial(t, s, sipclient.Config{User: alice, Password: "correct", Scheme: scheme})
		b := dial(t, s, sipclient.Config{User: bob, Password: "horse", Scheme: scheme, Handle: func(req *sip.Message) *sip.Message {
			got <- string(req.Body)
			return sip.NewResponse(req, 200, "")
		}})
		for _, c := range []*sipclient.Client{a, b} {
			if _, err := c.Register(ctx, 600); err != nil {
				t.Fatalf("%s: %v", scheme, err)
			}
		}
		for _, text := range []string{"grüße 🙂", "second"} {
			if _, err := a.Message(ctx, bob, text); err != nil {
				t.Fatalf("%s: %v", scheme, err)
			}
			select {
			case m := <-got:
				if m != text {
					t.Errorf("%s: got %q", scheme, m)
				}
			case <-ctx.Done():
				t.Fatalf("%s: the message did not come", scheme)
			}
		}
		if _, err := b.Register(ctx, 0); err != nil {
			t.Errorf("%s: sign-out: %v", scheme, err)
		}
		cancel()
	}
}

func TestWrongPassword(t *testing.T) {
	s := sipstub.Start(t, map[uc.UserURI]string{alice: "correct"}, nil)
	for _, scheme := range []sipclient.Scheme{sipclient.Digest, sipclient.NTLM} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		c := dial(t, s, sipclient.Config{User: alice, Password: "wrong", Scheme: scheme})
		if _, err := c.Register(ctx, 600); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v, want fault.Unauthenticated", scheme, err)
		}
		cancel()
	}
}

func TestServerThatGoesAwayOrSaysNothing(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan net.Conn, 2)
	go func() {
		defer close(conns)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns <- c
		}
	}()
	c, err := sipclient.Dial(t.Context(), sipclient.Config{Addr: ln.Addr().String(), User: alice})
	if err != nil {
		t.Fatal(err)
	}
	server := <-conns
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Register(ctx, 1); !fault.Is(err, fault.Timeout) {
		t.Errorf("silence: %v, want fault.Timeout", err)
	}
	server.Close()
	if _, err := c.Register(t.Context(), 1); !fault.Is(err, fault.Unavailable) {
		t.Errorf("closed: %v, want fault.Unavailable", err)
	}
	c.Close()
	addr := ln.Addr().String()
	ln.Close()
	for range conns {
	}
	if _, err := sipclient.Dial(t.Context(), sipclient.Config{Addr: addr, User: alice}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("nobody listens: %v, want fault.Unavailable", err)
	}
}
