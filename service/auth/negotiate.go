package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"

	"trivet/fault"
	"trivet/rule/directory"
)

const (
	maxNegotiate   = 64 << 10                                     // bytes; a ticket of a domain controller carries many groups
	negotiateDone  = "Negotiate oRQwEqADCgEAoQsGCSqGSIb3EgECAg==" // NegTokenResp: accept-completed, Kerberos (RFC 4178 4.2.2)
	kerberosReplay = 2 * skew
)

// proveNegotiate is Negotiate (RFC 4559) with a Kerberos token, inside SPNEGO or
// bare. The ticket must be for HTTP/<a name of the web services>.
func (s *Service) proveNegotiate(r *http.Request, credentials string) (directory.User, answer, error) {
	const op = "auth.proveNegotiate"
	var nobody directory.User
	if len(credentials) > 2*maxNegotiate {
		return nobody, s.challenge(), fault.New(fault.Limit, op, "the Negotiate token is too long")
	}
	token, err := base64.StdEncoding.DecodeString(credentials)
	if err != nil {
		return nobody, s.challenge(), fault.New(fault.Invalid, op, "the credentials of Negotiate must be base64")
	}
	addr, now := source(r), s.cfg.Clock.Now()
	if err := s.cfg.Brake.Check(addr, "", now); err != nil {
		return nobody, answer{}, fault.Wrap(op, err)
	}
	principal, err := s.openKerberos(s.cfg.Keytab(), token)
	if err != nil {
		s.cfg.Brake.Failed(addr, "", now)
		return nobody, s.challenge(), err
	}
	sum := sha256.Sum256(token)
	if err := s.replays.first("negotiate", hex.EncodeToString(sum[:]), now, now.Add(kerberosReplay)); err != nil {
		return nobody, s.challenge(), err
	}
	u, err := s.findPrincipal(r.Context(), principal)
	if fault.Is(err, fault.NotFound) {
		err = refused(op)
	}
	if err == nil {
		err = MaySignIn(u)
	}
	if err != nil {
		return s.loggedIn(u, err)
	}
	return u, answer{header: http.Header{"Www-Authenticate": {negotiateDone}}}, nil
}

// openKerberos verifies an AP-REQ (RFC 4120 3.2) and returns the client's
// principal. A panic of the library's parsers is a refusal.
func (s *Service) openKerberos(kt *keytab.Keytab, token []byte) (principal string, err error) {
	const op = "auth.openKerberos"
	defer func() {
		if v := recover(); v != nil {
			principal, err = "", fault.Newf(fault.Unauthenticated, op, "the Kerberos token cannot be read: %v", v)
		}
	}()
	req, err := apReq(token)
	if err != nil {
		return "", err
	}
	service := req.Ticket.SName.NameString
	if len(service) != 2 || !strings.EqualFold(service[0], "HTTP") || !s.hosts[strings.ToLower(service[1])] {
		return "", fault.New(fault.Unauthenticated, op, "the Kerberos ticket is not for HTTP on this pool")
	}
	ok, err := req.Verify(kt, skew, types.HostAddress{}, nil)
	if err != nil || !ok {
		return "", fault.New(fault.Unauthenticated, op, "the Kerberos ticket was refused").Because(err)
	}
	client := &req.Ticket.DecryptedEncPart
	if !client.CName.Equal(req.Authenticator.CName) || !strings.EqualFold(client.CRealm, req.Authenticator.CRealm) {
		return "", fault.New(fault.Unauthenticated, op, "ticket and authenticator name different clients")
	}
	return client.CName.PrincipalNameString() + "@" + client.CRealm, nil
}

func apReq(token []byte) (*messages.APReq, error) {
	var outer spnego.SPNEGOToken
	if err := outer.Unmarshal(token); err == nil && outer.Init {
		token = outer.NegTokenInit.MechTokenBytes
	}
	var inner spnego.KRB5Token
	if err := inner.Unmarshal(token); err != nil || !inner.IsAPReq() {
		return nil, fault.New(fault.Unauthenticated, "auth.apReq", "the Negotiate token has no Kerberos AP-REQ; NTLM has a scheme of its own").Because(err)
	}
	return &inner.APReq, nil
}
