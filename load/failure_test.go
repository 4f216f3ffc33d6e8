package load

import (
	"bufio"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"trivet/test/peer/loopback"
	"trivet/wire/sip"
)

// stub is a server that answers each request as a function says: nil is silence.
type stub struct {
	t      *testing.T
	ln     net.Listener
	answer func(req *sip.Message, nth int) *sip.Message // nth request of its method
	mu     sync.Mutex                                   // guards the fields below
	seen   map[string]int
	times  map[string][]time.Time
	conns  []net.Conn
}

// hang, as the status of an answer, ends the connection instead.
const hang = 599

func startStub(t *testing.T, answer func(req *sip.Message, nth int) *sip.Message) *stub {
	t.Helper()
	ln, err := net.Listen("tcp", loopback.Addr(t).String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{t: t, ln: ln, answer: answer, seen: map[string]int{}, times: map[string][]time.Time{}}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			go s.serve(c)
		}
	}()
	t.Cleanup(func() { ln.Close() })
	return s
}

func (s *stub) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	var buf []byte
	for {
		skip, size, err := sip.Frame(buf, sip.DefaultLimits)
		if err != nil {
			return
		}
		if buf = buf[skip:]; size == 0 || len(buf) < size {
			chunk := make([]byte, 8<<10)
			n, err := in.Read(chunk)
			if err != nil {
				return
			}
			buf = append(buf, chunk[:n]...)
			continue
		}
		m, err := sip.Parse(buf[:size])
		if buf = buf[size:]; err != nil || !m.IsRequest() {
			continue
		}
		what := strings.TrimSpace(m.Method + " " + m.Event())
		s.mu.Lock()
		s.seen[what]++
		nth := s.seen[what]
		s.times[what] = append(s.times[what], time.Now())
		s.mu.Unlock()
		res := s.answer(m, nth)
		switch {
		case res == nil:
			continue
		case res.Status == hang:
			return
		}
		if to := res.Get("To"); !strings.Contains(to, "tag=") {
			res.Set("To", to+";tag=s"+strconv.Itoa(nth))
		}
		if _, err := c.Write(res.Append(nil)); err != nil {
			return
		}
	}
}

// welcome answers like a server on which everything works.
func welcome(req *sip.Message) *sip.Message {
	res := sip.NewResponse(req, 200, "")
	if req.Method == "REGISTER" {
		res.Add("Expires", "7200")
	}
	return res
}

var twoPeople = []Person{{SipAddress: "sip:a@x.test", Password: "p"}, {SipAddress: "sip:b@x.test", Password: "p"}}

// idleWeights switch off what comes by chance.
func idleWeights() map[Act]float64 {
	return map[Act]float64{Publish: 0, Talk: 0, PollCard: 0, PollClick: 0, PollMail: 0, PollRest: 0, Search: 0, Short: 0, Conference: 0}
}

func playStub(t *testing.T, s *stub, length time.Duration, change func(*Config)) *Report {
	t.Helper()
	cfg := Config{Model: Lync2013(), People: twoPeople, Server: s.ln.Addr().String(), Scheme: NTLM, Seed: 1, Ramp: 100 * time.Millisecond, Length: length,
		Speed: 1, Endpoints: 1, Weight: idleWeights(), MaxErrors: 0}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := r.Play(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// A server that is too busy says when to come back; the endpoint comes then, not
// before, and the first attempt stays a failure.
func TestRetryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	s := startStub(t, func(req *sip.Message, nth int) *sip.Message {
		if req.Method == "REGISTER" && nth <= 2 {
			res := sip.NewResponse(req, 503, "")
			res.Add("Retry-After", "8")
			return res
		}
		return welcome(req)
	})
	rep := playStub(t, s, 14*time.Second, nil)
	if a := rep.act(t, "sign-in"); a.Refused[503] != 2 || a.Answered != 0 || rep.Counts.ToldToWait != 2 || rep.Counts.Dropped != 0 {
		t.Errorf("%+v %+v", a, rep.Counts)
	}
	if a := rep.act(t, "sign-in again"); a.Answered != 2 {
		t.Errorf("%+v", a)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.times["REGISTER registration"]; len(at) < 4 || at[2].Sub(at[0]) < 7*time.Second {
		t.Errorf("REGISTER came at %v", at)
	}
	if !rep.Failed || len(rep.Refusals) != 2 {
		t.Errorf("the run is judged %v, refusals %v", rep.Why, rep.Refusals)
	}
}

// Silence, refusals and lost connections are three things.
func TestFailuresAreToldApart(t *testing.T) {
	t.Parallel()
	s := startStub(t, func(req *sip.Message, nth int) *sip.Message {
		switch event := req.Event(); {
		case event == "vnd-microsoft-roaming-contacts":
			return nil
		case event == "vnd-microsoft-provisioning-v2":
			return sip.NewResponse(req, 500, "")
		case event == "vnd-microsoft-roaming-self" && nth == 1:
			return &sip.Message{Status: hang}
		}
		return welcome(req)
	})
	rep := playStub(t, s, 10*time.Second, func(c *Config) { c.Patience = 2 * time.Second })
	if a := rep.act(t, "sign-in"); a.Answered != 2 {
		t.Errorf("sign-in: %+v", a)
	}
	if a := rep.act(t, "signed in wholly"); a.Answered != 0 || a.refused() != 2 || a.Refused[500] != 2 || a.Lost != 1 {
		t.Errorf("signed in wholly: %+v", a)
	}
	if a := rep.act(t, "sign-in again"); a.Answered != 1 || rep.Counts.Dropped != 1 || rep.Counts.Connections != 3 {
		t.Errorf("sign-in again: %+v %+v", a, rep.Counts)
	}
	if a := rep.act(t, "own presence"); a.Lost != 1 {
		t.Errorf("own presence: %+v", a)
	}
	if a := rep.act(t, "contact list"); a.Lost != 1 || a.Unanswered != 2 || a.Answered != 0 {
		t.Errorf("contact list: %+v", a)
	}
	if a := rep.act(t, "provisioning"); a.Refused[500] < 2 {
		t.Errorf("provisioning: %+v", a)
	}
}

// A part of a sign-in that is silent makes it none; keep-alives do not hide it.
func TestSilentStepIsNoSignIn(t *testing.T) {
	t.Parallel()
	s := startStub(t, func(req *sip.Message, _ int) *sip.Message {
		if req.Event() == "vnd-microsoft-roaming-contacts" {
			return nil
		}
		return welcome(req)
	})
	rep := playStub(t, s, 6*time.Second, func(c *Config) { c.Patience, c.Speed, c.MaxErrors = time.Second, 6000, 0.2 })
	if a := rep.act(t, "signed in wholly"); a.Answered != 0 || a.Refused[unheard] != 2 {
		t.Errorf("signed in wholly: %+v", a)
	}
	if a := rep.act(t, "keep-alive"); a.Sent < 20 || !rep.Failed {
		t.Errorf("%d keep-alives make the run good: %v", a.Sent, rep.Why)
	}
}

// Only 405 and 501 before the first success say that a server has no search; then
// nobody searches any more, and the run has failed unless that is allowed.
func TestMissingSearch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name            string
		status, first   int // what a search is answered with, after so many successes
		allow, off, bad bool
	}{
		{"405", 405, 0, false, true, true}, {"501 allowed", 501, 0, true, true, false},
		{"404", 404, 0, true, false, true}, {"405 later", 405, 1, true, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			searches := 0
			var mu sync.Mutex
			s := startStub(t, func(req *sip.Message, _ int) *sip.Message {
				if req.Method != "SERVICE" || !strings.Contains(string(req.Body), "directorySearch") {
					return welcome(req)
				}
				mu.Lock()
				defer mu.Unlock()
				if searches++; searches <= c.first {
					return welcome(req)
				}
				return sip.NewResponse(req, c.status, "")
			})
			rep := playStub(t, s, 4*time.Second, func(cfg *Config) {
				cfg.Weight[Search], cfg.Speed, cfg.AllowMissing = 1, 3600, c.allow
				cfg.Model.row(KeepAlive).Count = 0
			})
			a := rep.act(t, "search")
			if off := len(rep.Missing) == 1; off != c.off || rep.Failed != c.bad || !off && a.Refused[c.status] < 2 || off && a.refused() > 0 {
				t.Errorf("missing %v, judged %v, %+v", rep.Missing, rep.Why, a)
			}
		})
	}
}

// What waits for its answer when the run ends is open, not lost, and counts as
// having taken as long as it has waited.
func TestOpenAtTheEnd(t *testing.T) {
	t.Parallel()
	s := startStub(t, func(req *sip.Message, _ int) *sip.Message {
		if req.Event() == "vnd-microsoft-roaming-contacts" {
			return nil
		}
		return welcome(req)
	})
	rep := playStub(t, s, 3*time.Second, func(c *Config) { c.MaxP99 = time.Second })
	for _, name := range []string{"contact list", "signed in wholly"} {
		if a := rep.act(t, name); a.Open != 2 || a.Lost != 0 || a.Latency.Count != 2 || a.Latency.P50 < 2500 || a.Planned != 2 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	var text strings.Builder
	rep.Print(&text)
	if !strings.Contains(strings.Join(rep.Why, ";"), "99th percentile of what was answered with success, or was open") || !strings.Contains(text.String(), "open  ") {
		t.Errorf("judged %v\n%s", rep.Why, text.String())
	}
}

// The generator does not wait for a server that stands still: what was to be sent
// meanwhile is sent, and the latency counts from then.
func TestStallIsNotHidden(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var once sync.Once
	s := startStub(t, func(req *sip.Message, nth int) *sip.Message {
		if req.Method == "SUBSCRIBE" && req.Event() == "presence" {
			<-release
		}
		return welcome(req)
	})
	go func() {
		timer := time.NewTimer(3 * time.Second)
		defer timer.Stop()
		<-timer.C
		once.Do(func() { close(release) })
	}()
	rep := playStub(t, s, 5*time.Second, func(c *Config) {
		c.Weight[PollMail], c.Speed, c.Contacts = 1, 3600, 1
		c.Model.Rows = append([]Row(nil), c.Model.Rows...)
		c.Model.row(KeepAlive).Count = 0
	})
	a := rep.act(t, "poll: mail")
	if a.Sent < 100 || a.Late > a.Sent/10 {
		t.Errorf("%d polls were sent, %d late, while the server stood still", a.Sent, a.Late)
	}
	if a.Latency.P90 < 1500 { // those of 3 s out of 5 waited, each till the end of the stall
		t.Errorf("nine in ten polls took less than %.0f ms, though the server stood still for most of the time", a.Latency.P90)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	s := startStub(t, nil)
	s.ln.Close()
	rep := playStub(t, s, time.Second, nil)
	if a := rep.act(t, "sign-in"); a.Lost != 2 || rep.Counts.Unconnected < 2 || !rep.Failed {
		t.Errorf("%+v %+v", a, rep.Counts)
	}
}

func FuzzCut(f *testing.F) {
	f.Add([]byte("\r\n\r\nSIP/2.0 200 OK\r\nVia: SIP/2.0/TCP h;branch=z9hG4bKl1-2-3\r\nContent-Length: 2\r\n\r\nabSIP/2.0"))
	f.Add([]byte("BENOTIFY sip:a SIP/2.0\r\nTo: <sip:a>;tag=x;epid=1\r\ncontent-length: 0\r\n\r\n"))
	f.Add([]byte("X\r\nContent-Length: 99999999999\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for {
			m, rest, err := cut(b)
			if err != nil || m.head == nil {
				return
			}
			if len(rest) >= len(b) || len(m.head)+2+len(m.body) != len(m.raw) {
				t.Fatalf("%q leaves %q", b, rest)
			}
			m.all("To", func(v []byte) { uri(v); param(v, "tag"); quoted(v, "gruu") })
			numberOf(param(m.get("Via"), "branch"))
			b = rest
		}
	})
}
