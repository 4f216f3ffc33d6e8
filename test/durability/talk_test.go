package durability

import (
	"fmt"
	"sync"
	"testing"

	"trivet/fault"
	"trivet/link/sipclient"
	"trivet/uc"
	"trivet/wire/sip"
)

// talk is one user who writes to another without a pause.
type talk struct {
	*server
	teller, listener *client
	sent             int
	total            int // messages accepted

	mu       sync.Mutex // guards received
	received map[string]bool
}

func newTalk(s *server) *talk {
	return &talk{server: s, teller: newClient("teller", nil), listener: newClient("listener", nil), received: map[string]bool{}}
}

// handle takes what the listener gets.
func (k *talk) handle(req *sip.Message) *sip.Message {
	if req.Method == "MESSAGE" {
		k.mu.Lock()
		k.received[string(req.Body)] = true
		k.mu.Unlock()
	}
	return sip.NewResponse(req, 200, "")
}

// message writes a text that was never written before.
func (k *talk) message(to uc.UserURI) *sip.Message {
	k.sent++
	m := k.teller.conn.Request("MESSAGE", to)
	m.Add("Content-Type", "text/plain;charset=UTF-8")
	m.Body = fmt.Appendf(nil, "message %d", k.sent)
	return m
}

// refused writes to the listener, who has not come back since the restart.
func (k *talk) refused(t *testing.T) {
	if _, err := k.teller.connect(t.Context(), k.at(5060), nil); err != nil {
		t.Fatal(err)
	}
	refused(t, k.teller.conn, k.message(k.listener.user))
}

// refused sends a message that nobody is there to take.
func refused(t *testing.T, from *sipclient.Client, m *sip.Message) {
	t.Helper()
	res, err := from.Do(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if res.Status != 480 {
		t.Errorf("a message to somebody without a connection is answered with %d %s, want 480", res.Status, res.Reason)
	}
}

func (k *talk) comeBack(t *testing.T) {
	if _, err := k.listener.connect(t.Context(), k.at(5060), k.handle); err != nil {
		t.Error(err)
		return
	}
	if _, err := k.listener.ask(t.Context(), k.listener.register(k.listener.conn.Contact()+`;+sip.instance="<`+instance(0)+`>";expires=3600`)); err != nil {
		t.Error(err)
	}
}

// work writes until the server dies. What was accepted was received.
func (k *talk) work(t *testing.T, died *lives) {
	for {
		m := k.message(k.listener.user)
		res, err := k.teller.ask(t.Context(), m)
		if err != nil {
			if !died.now() || !fault.Is(err, fault.Unavailable) {
				t.Errorf("%s: %v", m.Body, err)
			}
			return
		}
		k.mu.Lock()
		got := k.received[string(m.Body)]
		k.mu.Unlock()
		if k.total++; !got {
			t.Errorf("%s was accepted with %d and not received", m.Body, res.Status)
		}
	}
}

func (k *talk) hangUp() {
	k.teller.hangUp()
	k.listener.hangUp()
}
