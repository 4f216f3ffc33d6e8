package sipauth

import (
	"context"
	"net"
	"testing"
	"time"

	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/ntlm"
	"trivet/wire/sip"
)

// wire is a client's TCP connection.
type wire struct {
	*testing.T
	net.Conn
	in sipagent.Stream
}

// ask sends m and returns the first message that comes.
func (w *wire) ask(m *sip.Message) *sip.Message {
	w.Helper()
	if _, err := w.Write(m.Append(nil)); err != nil {
		w.Fatal(err)
	}
	if err := w.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		w.Fatal(err)
	}
	res, err := w.in.Next()
	if err != nil {
		w.Fatal(err)
	}
	return res
}

// over runs a server whose every answer names the user it sees.
func over(t *testing.T, s *site) *wire {
	echo := func(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
		res := r.Reply(200, "")
		res.Add("X-User", string(r.User))
		return res, nil
	}
	addr := listen(t, s, []sipmux.Route{
		{Method: "REGISTER", Who: sipmux.User, Doc: "test", Serve: echo},
		{Method: "MESSAGE", Who: sipmux.User, Doc: "test", Serve: echo},
		{Method: "NOTIFY", Who: sipmux.Server, Doc: "test", Serve: echo},
	})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &wire{T: t, Conn: conn, in: sipagent.Stream{From: conn}}
}

// listen serves the routes until the test ends and returns the address.
func listen(t *testing.T, s *site, routes []sipmux.Route) string {
	mux, err := sipmux.New(sipmux.Config{Auth: s.auth, FQDN: fqdn, Routes: routes})
	if err != nil {
		t.Fatal(err)
	}
	layer := siptrans.New(siptrans.Config{Handler: mux})
	addr, err := layer.Listen(t.Context(), siptrans.Listener{Network: "tcp", Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := layer.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return addr.String()
}

// sequence numbers requests so that each is a transaction of its own.
func sequence(m *sip.Message, n string) *sip.Message {
	m.Set("CSeq", n+" "+m.Method)
	m.Set("Via", "SIP/2.0/TCP 192.0.2.7:40718;branch=z9hG4bK"+n)
	return m
}

func TestThroughTheMux(t *testing.T) {
	s := newSite(t)
	w := over(t, s)
	c := &lyncClient{scheme: "NTLM", target: fqdn, user: alice, version: 4}
	if res := w.ask(sequence(request("REGISTER", alice, ""), "1")); res.Status != 401 {
		t.Fatalf("unsigned REGISTER: %d", res.Status)
	}
	ch := c.next(t, w.ask(sequence(request("REGISTER", alice, c.line("", []byte{})), "2")))
	msg, session, err := ntlm.Client{User: "alice", Domain: "CONTOSO", Hash: ntlm.NewHash("secret"), Key: ntlm.Key{9}}.Respond(ch)
	if err != nil {
		t.Fatal(err)
	}
	c.sign = func(text []byte) []byte { sig := session.Sign(text); return sig[:] }
	signed := func(method, n string, user uc.UserURI, data []byte) *sip.Message {
		return c.seal(sequence(request(method, user, ""), n), data)
	}
	for _, tc := range []struct {
		m      *sip.Message
		status int
	}{
		{signed("REGISTER", "3", alice, msg), 200},
		{signed("MESSAGE", "4", alice, nil), 200},
		{signed("MESSAGE", "5", bob, nil), 403},
		{signed("NOTIFY", "6", alice, nil), 403},
	} {
		res := w.ask(tc.m)
		if res.Status != tc.status || tc.status == 200 && res.Get("X-User") != string(alice) {
			t.Fatalf("%s: %d, user %q", tc.m.Get("CSeq"), res.Status, res.Get("X-User"))
		}
		_, seal, sig := readInfo(t, res.Get("Authentication-Info"))
		if !session.Verify(AppendText(nil, seal, res), sig) {
			t.Errorf("%s: our signature is wrong", tc.m.Get("CSeq"))
		}
	}
	s.acc.disable(alice)
	if s.auth.DropUser(alice) != 1 {
		t.Error("alice is not listed")
	}
	if _, err := w.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
	if len(s.auth.users) != 0 {
		t.Error("a user is left on the list")
	}
}
