package auth

import (
	"net/http"
	"strings"

	"trivet/fault"
	"trivet/rule/directory"
)

// login proves the user of an HTTP request by its Authorization header. The answer
// carries status and headers for a failure: 401 with the schemes on offer, or the
// next step of one.
func (s *Service) login(r *http.Request) (directory.User, answer, error) {
	const op = "auth.login"
	scheme, rest, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	for _, m := range s.methods() {
		if strings.EqualFold(scheme, m.scheme) {
			return m.prove(s, r, strings.TrimSpace(rest))
		}
	}
	return directory.User{}, s.challenge(), fault.New(fault.Unauthenticated, op, "log in to get a web ticket")
}

// method is a scheme of HTTP login, RFC 9110 11.
type method struct {
	scheme string
	offer  string
	prove  func(s *Service, r *http.Request, credentials string) (directory.User, answer, error)
}

// methods lists what is offered now, strongest first.
func (s *Service) methods() []method {
	var out []method
	if s.cfg.Keytab != nil && s.cfg.Keytab() != nil {
		out = append(out, method{"Negotiate", "Negotiate", (*Service).proveNegotiate})
	}
	if s.cfg.NTLM != nil && s.cfg.NTLM() {
		out = append(out, method{"NTLM", "NTLM", (*Service).proveNTLM})
	}
	return append(out, method{"Basic", `Basic realm="` + s.cfg.Realm + `", charset="UTF-8"`, (*Service).proveBasic})
}

func (s *Service) challenge() answer {
	a := answer{status: http.StatusUnauthorized, header: http.Header{}}
	for _, m := range s.methods() {
		a.header.Add("WWW-Authenticate", m.offer)
	}
	return a
}

func (s *Service) proveBasic(r *http.Request, _ string) (directory.User, answer, error) {
	name, password, ok := r.BasicAuth()
	if !ok {
		return directory.User{}, s.challenge(), fault.New(fault.Unauthenticated, "auth.proveBasic", "the credentials of Basic must be base64 of name:password")
	}
	u, err := s.Password(r.Context(), source(r), name, password)
	return s.loggedIn(u, err)
}

// loggedIn adds the challenge to a failed proof.
func (s *Service) loggedIn(u directory.User, err error) (directory.User, answer, error) {
	if fault.Is(err, fault.Unauthenticated) {
		return u, s.challenge(), err
	}
	return u, answer{}, err
}
