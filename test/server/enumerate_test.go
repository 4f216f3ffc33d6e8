package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"trivet/link/sipclient"
	"trivet/uc"
	"trivet/wire/sip"
)

// suspects are logins that must not be told apart by those who do not know the
// password: each way in is tried with each, in turn.
type suspects struct{ unknown, wrong, disabled, bare string }

func (x suspects) all() []string { return []string{x.unknown, x.wrong, x.disabled, x.bare} }

func (s *Server) suspects(t *testing.T) suspects {
	t.Helper()
	x := suspects{"nobody@" + domain, strings.TrimPrefix(alice, "sip:"), "closed@" + domain, "naked@" + domain}
	s.Cmdlet(t, "Set-CsUser", map[string]any{"Identity": s.NewUser(t, "closed"), "Enabled": false})
	s.Cmdlet(t, "Disable-CsUser", map[string]any{"Identity": s.NewUser(t, "naked")})
	return x
}

// sample is what one login was answered, and how long each time took.
type sample struct {
	content string
	took    []time.Duration
}

// indistinct compares the samples of all logins: the same content, and no login
// faster than another so often that a network would not hide it (a row read more,
// some 10 µs, shows as 0.2 on loopback, a query more as 0.4).
func indistinct(t *testing.T, way string, samples map[string]*sample, base string) {
	t.Helper()
	for login, x := range samples {
		t.Logf("%-12s %-20s median %v of %d", way, login, median(x.took), len(x.took))
		if x.content != samples[base].content {
			t.Errorf("%s: %s is answered\n%s\nbut %s\n%s", way, login, x.content, base, samples[base].content)
		}
		if len(x.took) < 20 { // too few for chances
			if far(x.took, samples[base].took) {
				t.Errorf("%s: %s (%v) and %s (%v) differ in time", way, login, x.took, base, samples[base].took)
			}
			continue
		}
		n, m := float64(len(x.took)), float64(len(samples[base].took))
		spread := math.Sqrt((n + m + 1) / (12 * n * m))
		if off := faster(x.took, samples[base].took) - 0.5; math.Abs(off) > max(5*spread, 0.3) {
			t.Errorf("%s: %s (%v) and %s (%v) differ in time: %.2f", way, login, median(x.took), base, median(samples[base].took), off)
		}
	}
}

// far reports whether the fastest answers are not of one size: a step that is left
// out, such as the password hash, shows by far, and does so however many are taken.
func far(a, b []time.Duration) bool {
	x, y := slices.Min(a), slices.Min(b)
	return x > 4*y || y > 4*x
}

// settled reports whether no login is far from another any more.
func settled(samples map[string]*sample) bool {
	for _, a := range samples {
		for _, b := range samples {
			if far(a.took, b.took) {
				return false
			}
		}
	}
	return true
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// faster is the chance that one of a took less time than one of b.
func faster(a, b []time.Duration) float64 {
	n := 0.0
	for _, x := range a {
		for _, y := range b {
			switch {
			case x < y:
				n++
			case x == y:
				n += 0.5
			}
		}
	}
	return n / float64(len(a)*len(b))
}

// plainAnswer is a response without what differs each time.
func plainAnswer(m *sip.Message) string {
	out := fmt.Sprintln(m.Status, m.Reason)
	for _, h := range m.Headers {
		switch strings.ToLower(h.Name) {
		case "via", "from", "to", "call-id", "cseq":
			continue
		}
		value := h.Value
		if i := strings.Index(value, `nonce="`); i >= 0 {
			value = value[:i]
		}
		out += h.Name + ": " + value + "\n"
	}
	return out + string(m.Body)
}

func TestEnumeration(t *testing.T) {
	s := Start(t)
	x := s.suspects(t)
	t.Run("Digest", func(t *testing.T) { s.enumerateDigest(t, x) })
	t.Run("NTLM", func(t *testing.T) { s.enumerateNTLM(t, x) })
	body := []byte(`{"Parameters":{}}`)
	t.Run("management", func(t *testing.T) { s.enumerateWeb(t, x, "/api/cmdlet/Get-CsUser", "application/json", body) })
	t.Run("web ticket", func(t *testing.T) { s.enumerateWeb(t, x, "/WebTicket/WebTicketService.svc/Auth", "text/xml", body) })
}

func (s *Server) enumerateDigest(t *testing.T, x suspects) {
	samples := map[string]*sample{}
	for round := range 75 {
		a := s.DialFrom(t, "tcp", freshSource()) // two rounds fit into what one source may fail
		for range 2 {
			for i := range x.all() {
				login := x.all()[(i+round)%len(x.all())]
				a.User, a.Login = "sip:"+login, login
				ask := a.Request("REGISTER", "sip:"+domain, "<"+a.User+">", "Contact: "+a.Contact())
				challenge := a.Do(ask)
				a.Password = "wrong"
				if !a.answer(ask, challenge) {
					t.Fatalf("no Digest in\n%s", challenge)
				}
				a.Password = ""
				begin := time.Now()
				res := a.Do(ask)
				took := time.Since(begin)
				note(samples, login, plainAnswer(res), took)
			}
		}
		a.Close()
	}
	indistinct(t, "Digest", samples, x.wrong)
}

func note(samples map[string]*sample, login, content string, took time.Duration) {
	if samples[login] == nil {
		samples[login] = &sample{content: content}
	}
	samples[login].took = append(samples[login].took, took)
}

func (s *Server) enumerateNTLM(t *testing.T, x suspects) {
	samples := map[string]*sample{}
	for round := range 40 {
		from := From{freshSource()}.tcp()
		for i := range x.all() {
			login := x.all()[(i+round)%len(x.all())]
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			c, err := sipclient.Dial(ctx, sipclient.Config{Addr: s.TLS.String(), From: from, TLS: s.Trust(), User: uc.UserURI("sip:" + login), Login: login, Password: "wrong", Scheme: sipclient.NTLM})
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			res, err := c.Do(ctx, c.Request("REGISTER", uc.UserURI("sip:"+login)))
			took := time.Since(begin)
			content := fmt.Sprint(err)
			if err == nil {
				content = plainAnswer(res)
			}
			note(samples, login, content, took)
			c.Close()
			cancel()
		}
	}
	indistinct(t, "NTLM", samples, x.wrong)
}

func (s *Server) enumerateWeb(t *testing.T, x suspects, path, kind string, body []byte) {
	samples := map[string]*sample{}
	for round := 0; round < 3 || round < 19 && !settled(samples); round++ {
		tr := &http.Transport{TLSClientConfig: s.Trust(), DialContext: (&net.Dialer{LocalAddr: From{freshSource()}.tcp()}).DialContext}
		for i := range x.all() {
			login := x.all()[(i+round)%len(x.all())]
			req, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+s.HTTPS.String()+path, bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", kind)
			req.SetBasicAuth(login, "wrong")
			begin := time.Now()
			res, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(res.Body)
			took := time.Since(begin)
			res.Body.Close()
			res.Header.Del("Date")
			note(samples, login, fmt.Sprint(res.Status, res.Header, string(text), err), took)
		}
		tr.CloseIdleConnections()
	}
	indistinct(t, path, samples, x.wrong)
}
