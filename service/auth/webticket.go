package auth

import (
	"net/http"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/uc"
	"trivet/wire/soap"
)

// describeTickets serves the description of the web ticket service.
func (s *Service) describeTickets(w http.ResponseWriter, r *http.Request) {
	d := soap.Description{Service: "WebTicketService", Namespace: "urn:component:Microsoft.Rtc.WebAuthentication.2010", Ports: []soap.Port{
		{Name: "WebTicketServiceWinNegotiate", Location: s.base(r) + ticketLogin},
	}}
	answer{body: d.Append(nil)}.write(w, http.StatusOK)
}

// serveTicket issues a web ticket to whoever logs in by HTTP ([MS-OCAUTHWS] 3.2).
func (s *Service) serveTicket(r *http.Request, body []byte) (answer, error) {
	const op = "auth.serveTicket"
	u, a, err := s.login(r)
	if err != nil {
		return a, err
	}
	e, err := soap.ParseEnvelope(body)
	if err != nil {
		return a, err
	}
	req, err := soap.ParseTicketRequest(e)
	if err != nil {
		return a, err
	}
	if !s.ours(req.AppliesTo, "") {
		return a, fault.New(fault.Invalid, op, "AppliesTo must be the HTTPS address of a service of this pool").About(req.AppliesTo)
	}
	if req.Claim != "" && !sameUser(req.Claim, u) {
		return a, fault.New(fault.Unauthenticated, op, "the claim names another user than the one who logged in").About(req.Claim)
	}
	a.body = s.issue(u, req).Append(nil)
	return a, nil
}

// Base is "https://host:port", without a path, as the client of r knows the web
// services of this pool.
func (s *Service) Base(r *http.Request) string { return s.base(r) }

// WebBase is Base for whoever has not asked yet.
func (s *Service) WebBase() string { return "https://" + s.cfg.WebHost }

// Issuer is where the client of r gets web tickets.
func (s *Service) Issuer(r *http.Request) string { return s.base(r) + TicketPath }

func sameUser(name string, u directory.User) bool {
	addr, err := uc.ParseUserURI(name)
	return err == nil && addr == u.SipAddress
}
