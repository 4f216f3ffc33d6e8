package siptrans

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"trivet/wire/sip"
)

func TestBranch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		conn, tx, salt := rapid.Uint64().Draw(t, "conn"), rapid.Uint32().Draw(t, "tx"), rapid.Uint32().Draw(t, "salt")
		s := string(appendBranch([]byte(cookie), conn, tx, salt))
		if c, x, r, ok := parseBranch(s); !ok || c != conn || x != tx || r != salt {
			t.Fatalf("%s is read as %d, %d, %d, %v", s, c, x, r, ok)
		}
	})
}

func TestReadVia(t *testing.T) {
	for _, c := range []struct {
		in   string
		want topVia
	}{
		{"SIP/2.0/TLS a.b:5061;branch=z9hG4bK1", topVia{"a.b:5061", "z9hG4bK1", false}},
		{"SIP / 2.0 / udp  [::1]:5060 ; rport ; Branch = x , SIP/2.0/TCP z;branch=no", topVia{"[::1]:5060", "x", true}},
		{"SIP/2.0/tls 10.0.0.1:4711", topVia{"10.0.0.1:4711", "", false}},
	} {
		if got := readVia(c.in); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.in, got, c.want)
		}
	}
}

// TestWheel hangs alarms up, moves and removes them, and compares with what a
// plain list says.
func TestWheel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &wheel{tick: 10 * time.Millisecond}
		due := map[int]time.Duration{}
		alarms := map[int]*alarm{}
		now := time.Duration(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, 9).Draw(t, "alarm")
			if alarms[i] == nil {
				alarms[i] = &alarm{}
				alarms[i].ring = func(time.Duration) {
					if at, ok := due[i]; !ok || at > now {
						t.Fatalf("alarm %d rings at %v, due %v", i, now, at)
					}
					delete(due, i)
				}
			}
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				at := now + time.Duration(rapid.IntRange(1, 30000).Draw(t, "in"))*time.Millisecond
				w.set(alarms[i], at)
				due[i] = at
			case 1:
				w.set(alarms[i], 0)
				delete(due, i)
			case 2:
				now += time.Duration(rapid.IntRange(1, 20000).Draw(t, "wait")) * time.Millisecond
				for _, a := range w.turn(now, nil) {
					a.ring(now)
				}
				for i, at := range due {
					if at+w.tick < now {
						t.Fatalf("alarm %d, due %v, has not rung at %v", i, at, now)
					}
				}
			}
		}
	})
}

// TestWheelsTurn lets the layer's own goroutine ring, in made-up time.
func TestWheelsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{})
		rang := make(chan time.Duration, 1)
		l.wheel(1).set(&alarm{ring: func(now time.Duration) { rang <- now }}, l.now()+32*time.Second)
		if at := <-rang; at < 32*time.Second || at > 32*time.Second+100*time.Millisecond {
			t.Errorf("rang at %v, want 32 s", at)
		}
		l.Close(t.Context())
	})
}

func FuzzCutFrame(f *testing.F) {
	f.Add([]byte("\x81\x85abcdhello"))
	f.Add([]byte("\x88\x80abcd\x81\xfe\x00\x80"))
	f.Add([]byte("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, n, err := cutFrame(b, 1000)
		if n < 0 || n > len(b) || err != nil && n != 0 || len(fr.payload) > 1000 {
			t.Errorf("n %d of %d, payload %d, %v", n, len(b), len(fr.payload), err)
		}
	})
}

func FuzzSalvage(f *testing.F) {
	f.Add([]byte(request("MESSAGE", "alice", "bob", "x", 1, "Bad Header: 1\r\n", "hi")))
	f.Add([]byte("\r\n\r\nINVITE"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := salvage(b, sip.DefaultLimits)
		if answerable(m) {
			refusal(m, 400, "why").Append(nil)
		}
		readVia(m.Get("Via"))
		tagOf(m.Get("To"))
		uriOf(m.Get("From"))
		declared(b)
	})
}
