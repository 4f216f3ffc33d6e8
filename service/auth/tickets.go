package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/uc"
	"trivet/wire/soap"
)

const (
	skew        = 5 * time.Minute // clocks of clients and servers may differ
	sealTicket  = "web ticket key"
	maxRequests = 1 << 16 // signed requests remembered until their ticket ends
)

// issue makes the ticket of a user who has proved who he is.
func (s *Service) issue(u directory.User, r soap.TicketRequest) soap.TicketResponse {
	now := s.cfg.Clock.Now().UTC().Truncate(time.Second)
	id := make([]byte, 16)
	rand.Read(id)
	a := soap.Assertion{ID: "_" + hex.EncodeToString(id), Issuer: s.cfg.Server, User: u.SipAddress.Bare(), Audience: r.AppliesTo, NotBefore: now, NotAfter: now.Add(s.cfg.TicketLife)}
	out := soap.TicketResponse{Context: r.Context, AppliesTo: r.AppliesTo, Created: a.NotBefore, Expires: a.NotAfter}
	if r.Entropy != nil {
		out.Entropy = make([]byte, 32)
		rand.Read(out.Entropy)
		a.SealedKey = s.keys.seal(sealTicket, a.ID, soap.ProofKey(r.Entropy, out.Entropy))
	}
	out.Assertion = a.Append(nil, s.sign)
	return out
}

// ticket checks signature, time and audience of an assertion, and that its user
// may still sign in. path is the service it is shown to.
func (s *Service) ticket(ctx context.Context, x *soap.Element, path string) (soap.Assertion, directory.User, error) {
	const op = "auth.ticket"
	var u directory.User
	a, err := soap.OpenAssertion(x, s.sign)
	if err != nil {
		return a, u, fault.Wrap(op, err)
	}
	now := s.cfg.Clock.Now()
	switch {
	case now.Before(a.NotBefore.Add(-skew)):
		return a, u, fault.New(fault.Unauthenticated, op, "the web ticket is not valid yet; the clocks of the servers differ").Diagnosed(soap.DiagInvalidTicket)
	case !now.Before(a.NotAfter):
		return a, u, fault.New(fault.Unauthenticated, op, "the web ticket has expired; get a new one").Diagnosed(soap.DiagExpiredTicket)
	case !s.ours(a.Audience, path):
		return a, u, fault.New(fault.Unauthenticated, op, "the web ticket is for another service").About(a.Audience).Diagnosed(soap.DiagInvalidTicket)
	}
	addr, err := uc.ParseUserURI(a.User)
	if err != nil {
		return a, u, fault.Wrap(op, err)
	}
	u, err = s.cfg.Directory.ByAddress(ctx, addr)
	if fault.Is(err, fault.NotFound) {
		return a, u, fault.New(fault.Unauthenticated, op, "the user of the web ticket does not exist any more").Diagnosed(soap.DiagInvalidTicket)
	}
	if err != nil {
		return a, u, fault.Wrap(op, err)
	}
	return a, u, MaySignIn(u)
}

// ours says whether an audience is an HTTPS address of this pool and, unless path
// is empty, at or below path, in any case.
func (s *Service) ours(audience, path string) bool {
	u, err := url.Parse(audience)
	if err != nil || u.Scheme != "https" || !s.hosts[strings.ToLower(u.Hostname())] {
		return false
	}
	have, want := strings.ToLower(u.Path), strings.ToLower(path)
	return want == "" || have == want || strings.HasPrefix(have, want+"/")
}

// Bearer finds the user of a request that shows a web ticket in the header
// X-MS-WebTicket ([MS-OCAUTHWS] 2.2.2): "opaque=" and the assertion in base64.
// path is the service's own. Other services use it as well.
func (s *Service) Bearer(r *http.Request, path string) (uc.UserURI, error) {
	const op = "auth.Bearer"
	v, ok := strings.CutPrefix(strings.TrimSpace(r.Header.Get("X-MS-WebTicket")), "opaque=")
	if !ok || len(v) > soap.MaxDocument {
		return "", fault.New(fault.Unauthenticated, op, "the request needs a web ticket in the header X-MS-WebTicket").Diagnosed(soap.DiagNoToken)
	}
	doc, err := base64.StdEncoding.DecodeString(strings.Trim(v, `"`))
	if err != nil {
		return "", fault.New(fault.Unauthenticated, op, "the web ticket is not base64").Diagnosed(soap.DiagInvalidTicket)
	}
	x, err := soap.Parse(doc)
	if err != nil {
		return "", fault.New(fault.Unauthenticated, op, "the web ticket is not an XML element").Diagnosed(soap.DiagInvalidTicket).Because(err)
	}
	_, u, err := s.ticket(r.Context(), x, path)
	return u.SipAddress, fault.Wrap(op, err)
}

// BearerEnvelope finds the user of a SOAP request with a web ticket in its
// Security header and no signature (ports named …WebTicketBearer).
func (s *Service) BearerEnvelope(ctx context.Context, e *soap.Envelope, path string) (uc.UserURI, error) {
	sec, err := soap.ParseSecurity(e)
	if err != nil {
		return "", err
	}
	_, u, err := s.ticket(ctx, sec.Assertion, path)
	return u.SipAddress, err
}

// signed finds the user of a SOAP request that is signed with its ticket's key,
// and takes each request once.
func (s *Service) signed(ctx context.Context, e *soap.Envelope, path string) (directory.User, error) {
	const op = "auth.signed"
	sec, err := soap.ParseSecurity(e)
	if err != nil {
		return directory.User{}, err
	}
	a, u, err := s.ticket(ctx, sec.Assertion, path)
	if err != nil {
		return u, err
	}
	if a.SealedKey == nil {
		return u, fault.New(fault.Unauthenticated, op, "the web ticket has no key; ask for one with Entropy").Diagnosed(soap.DiagInvalidTicket)
	}
	key, err := s.keys.open(sealTicket, a.ID, a.SealedKey)
	if err != nil {
		return u, fault.New(fault.Unauthenticated, op, "the key of the web ticket does not open").Diagnosed(soap.DiagInvalidTicket).Because(err)
	}
	now := s.cfg.Clock.Now()
	if err := sec.VerifyProof(key, soap.Window{Now: now, Skew: skew, MaxLife: 25 * time.Hour}); err != nil {
		return u, err
	}
	if e.MessageID == "" {
		return u, fault.New(fault.Invalid, op, "the header must have a wsa:MessageID")
	}
	return u, s.replays.first(a.ID, e.MessageID, now, a.NotAfter)
}

// replays remembers the signed requests of tickets that are still valid.
type replays struct {
	mu   sync.Mutex                      // guards seen
	seen map[[sha256.Size]byte]time.Time // until when
}

func newReplays() *replays { return &replays{seen: map[[sha256.Size]byte]time.Time{}} }

// first notes a request and refuses one it has seen.
func (r *replays) first(ticket, message string, now, until time.Time) error {
	const op = "auth.replays"
	id := sha256.Sum256([]byte(ticket + "\x00" + message))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[id].After(now) {
		return fault.New(fault.Unauthenticated, op, "this request was sent before; send it with a MessageID of its own").Diagnosed(soap.DiagInvalidTicket)
	}
	if len(r.seen) >= maxRequests {
		for k, t := range r.seen {
			if !t.After(now) {
				delete(r.seen, k)
			}
		}
	}
	if len(r.seen) >= maxRequests {
		e := fault.New(fault.Overload, op, "too many certificate requests at once; try again later")
		e.RetryAfter = time.Minute
		return e
	}
	r.seen[id] = until
	return nil
}
