// Package sipstub is a SIP server in a hundred lines on the real transport,
// route table and authentication: it registers, passes messages on and tells
// watchers what was published, and keeps nothing. Tests of SIP clients talk to
// it.
package sipstub

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/kit/log"
	"trivet/link/sipauth"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/uc"
	"trivet/wire/ntlm"
	"trivet/wire/sip"
)

// FQDN is the stub's name.
const FQDN = "sip.example.test"

// Stub is a running server.
type Stub struct {
	Addr  string
	layer *siptrans.Layer

	mu        sync.Mutex // guards the fields below
	passwords map[uc.UserURI]string
	at        map[uc.UserURI]*siptrans.Conn
	watchers  map[uc.UserURI][]*sipmux.Request // SUBSCRIBEs by whom they watch
	Deaf      bool                             // drop messages instead of delivering them
}

// Start serves users (address to password) on a free port until t ends; over
// TCP, or TLS with conf.
func Start(t *testing.T, users map[uc.UserURI]string, conf *tls.Config) *Stub {
	t.Helper()
	s := &Stub{passwords: users, at: map[uc.UserURI]*siptrans.Conn{}, watchers: map[uc.UserURI][]*sipmux.Request{}}
	policy := sipauth.Policy{UseNtlm: true, UseDigest: true, DigestMD5: true}
	auth := sipauth.New(sipauth.Config{Accounts: s, Policy: func() sipauth.Policy { return policy }, FQDN: FQDN, Clock: clock.Real{}, Log: log.Discard()})
	mux, err := sipmux.New(sipmux.Config{Auth: auth, FQDN: FQDN, Routes: []sipmux.Route{
		{Method: "REGISTER", Who: sipmux.User, Doc: "signs in", Serve: s.register},
		{Method: "MESSAGE", Who: sipmux.User, Doc: "passes on", Serve: s.message},
		{Method: "SUBSCRIBE", Event: "presence", Who: sipmux.User, Doc: "watches", Serve: s.subscribe},
		{Method: "PUBLISH", Event: "presence", Who: sipmux.User, Doc: "tells", Serve: s.publish},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.layer = siptrans.New(siptrans.Config{Handler: mux})
	network := "tcp"
	if conf != nil {
		network = "tls"
	}
	addr, err := s.layer.Listen(t.Context(), siptrans.Listener{Network: network, Addr: "127.0.0.1:0", TLS: conf})
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = addr.String()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.layer.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *Stub) register(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seconds, _ := r.Expires(); seconds == 0 {
		delete(s.at, r.User)
	} else {
		s.at[r.User] = r.Conn
	}
	res := r.Reply(200, "")
	res.Add("Expires", r.Get("Expires"))
	return res, nil
}

func (s *Stub) message(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
	to, err := uc.ParseUserURI(r.RequestURI)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	c, deaf := s.at[to], s.Deaf
	s.mu.Unlock()
	if c == nil {
		return nil, fault.New(fault.NotFound, "sipstub", "nobody is there").Diagnosed(1003)
	}
	if !deaf {
		s.layer.Request(c, s.request("MESSAGE", r.User, to, r.ContentType(), r.Body), func(*sip.Message, error) {})
	}
	return r.Reply(200, ""), nil
}

func (s *Stub) subscribe(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
	whom, err := uc.ParseUserURI(r.RequestURI)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[whom] = append(s.watchers[whom], r)
	res := r.Reply(200, "")
	res.Add("Expires", "600")
	return res, nil
}

func (s *Stub) publish(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watchers[r.User] {
		n := s.request("NOTIFY", r.User, w.User, r.ContentType(), r.Body)
		n.Add("Event", "presence")
		n.Add("Subscription-State", "active")
		s.layer.Request(w.Conn, n, func(*sip.Message, error) {})
	}
	return r.Reply(200, ""), nil
}

func (s *Stub) request(method string, from, to uc.UserURI, contentType string, body []byte) *sip.Message {
	m := sip.NewRequest(method, string(to))
	m.Add("Max-Forwards", "70")
	m.Add("From", "<"+string(from)+">;tag=1")
	m.Add("To", "<"+string(to)+">")
	m.Add("Call-ID", "stub-"+time.Now().Format(time.RFC3339Nano))
	m.Add("CSeq", "1 "+method)
	m.Add("Content-Type", contentType)
	m.Body = append([]byte(nil), body...)
	return m
}

var _ sipauth.Accounts = (*Stub)(nil)

// ByLogin implements sipauth.Accounts.
func (s *Stub) ByLogin(_ context.Context, login string) (sipauth.Account, error) {
	user, err := uc.ParseUserURI(login)
	if err != nil {
		return sipauth.Account{}, fault.New(fault.NotFound, "sipstub", "nobody")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	password, ok := s.passwords[user]
	if !ok {
		return sipauth.Account{}, fault.New(fault.NotFound, "sipstub", "nobody")
	}
	text := []byte(strings.Join([]string{login, sipauth.DefaultRealm, password}, ":"))
	sha, md := sha256.Sum256(text), md5.Sum(text)
	return sipauth.Account{
		User: user, HasNTHash: true, NTHash: ntlm.NewHash(password),
		HA1SHA256: hex.EncodeToString(sha[:]), HA1MD5: hex.EncodeToString(md[:]),
	}, nil
}

// ByPrincipal implements sipauth.Accounts.
func (s *Stub) ByPrincipal(ctx context.Context, principal string) (sipauth.Account, error) {
	return s.ByLogin(ctx, principal)
}

// ByCertificate implements sipauth.Accounts.
func (s *Stub) ByCertificate(context.Context, [32]byte) (sipauth.Account, error) {
	return sipauth.Account{}, fault.New(fault.NotFound, "sipstub", "nobody")
}

// Gate implements sipauth.Accounts.
func (s *Stub) Gate(context.Context, uc.UserURI) error { return nil }
