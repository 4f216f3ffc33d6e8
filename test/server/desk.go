package server

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"trivet/link/sipclient"
	"trivet/uc"
	"trivet/wire/sip"
)

// Desk is a client of the product's sort: it names an epid, signs in with NTLM and
// signs what it sends. It answers nothing by itself.
type Desk struct {
	t      testing.TB
	client *sipclient.Client
	user   string

	mu      sync.Mutex // guards inbox
	inbox   []*sip.Message
	arrived chan struct{} // one element when inbox has grown
}

// Desk connects and signs user in.
func (s *Server) Desk(t testing.TB, user string) *Desk {
	t.Helper()
	d := &Desk{t: t, user: user, arrived: make(chan struct{}, 1)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	d.client, err = sipclient.Dial(ctx, sipclient.Config{Addr: s.TLS.String(), TLS: s.Trust(), User: uc.UserURI(user), Password: s.Password(user), Scheme: sipclient.NTLM, Handle: d.take})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	if _, err := d.client.Register(ctx, 600); err != nil {
		t.Fatalf("%s signs in: %v", user, err)
	}
	return d
}

func (d *Desk) take(req *sip.Message) *sip.Message {
	d.mu.Lock()
	d.inbox = append(d.inbox, req)
	d.mu.Unlock()
	select {
	case d.arrived <- struct{}{}:
	default:
	}
	return nil
}

// Close ends the connection.
func (d *Desk) Close() { d.client.Close() }

// Contact is where the server may reach the client.
func (d *Desk) Contact() string { return d.client.Contact() }

// Request makes a request as that of an Agent.
func (d *Desk) Request(method, uri, to string, extra ...string) *sip.Message {
	m := d.client.Request(method, uc.UserURI(uri))
	m.Set("To", to)
	for i, line := range extra {
		if line == "" {
			m.Body = []byte(strings.Join(extra[i+1:], "\r\n"))
			break
		}
		name, value, _ := strings.Cut(line, ": ")
		m.Set(name, value)
	}
	return m
}

// Do sends a request and returns its final response.
func (d *Desk) Do(m *sip.Message) *sip.Message {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := d.client.Do(ctx, m)
	if err != nil {
		d.t.Fatalf("%s of %s: %v", m.Method, d.user, err)
	}
	return res
}

// Send sends a message that has no answer.
func (d *Desk) Send(m *sip.Message) {
	d.t.Helper()
	if err := d.client.Respond(m); err != nil {
		d.t.Error(err)
	}
}

// Reply answers a request of the server.
func (d *Desk) Reply(req *sip.Message, status int, _ ...string) {
	d.t.Helper()
	d.Send(sip.NewResponse(req, status, ""))
}

// Inbox returns what came and was not taken.
func (d *Desk) Inbox() []*sip.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]*sip.Message(nil), d.inbox...)
}

// Await returns the first message in the inbox that match likes.
func (d *Desk) Await(what string, match func(*sip.Message) bool) *sip.Message {
	d.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		if m := d.pick(match); m != nil {
			return m
		}
		select {
		case <-d.arrived:
		case <-timer.C:
			d.t.Fatalf("%s waits for %s: nothing came but %v", d.user, what, d.Inbox())
		}
	}
}

// AwaitMethod takes a request off the inbox.
func (d *Desk) AwaitMethod(method string) *sip.Message {
	d.t.Helper()
	return d.Await(method, func(m *sip.Message) bool { return m.Method == method })
}

func (d *Desk) pick(match func(*sip.Message) bool) *sip.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, m := range d.inbox {
		if match(m) {
			d.inbox = append(d.inbox[:i:i], d.inbox[i+1:]...)
			return m
		}
	}
	return nil
}
