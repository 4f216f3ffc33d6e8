package auth

import (
	"net/http"

	"trivet/fault"
	"trivet/wire/soap"
)

// describeProv serves the description of the certificate provisioning service.
func (s *Service) describeProv(w http.ResponseWriter, r *http.Request) {
	d := soap.Description{Service: "CertProvisioningService", Namespace: "http://schemas.microsoft.com/OCS/AuthWebServices/", Ports: []soap.Port{
		{Name: "CertProvisioningServiceWebTicketProof_SHA1", Location: s.base(r) + provProof, Proof: soap.Signed, Issuer: s.base(r) + TicketPath},
	}}
	answer{body: d.Append(nil)}.write(w, http.StatusOK)
}

// serveProv issues a certificate for the key of a user's device ([MS-OCAUTHWS]
// 3.3, GetAndPublishCert).
func (s *Service) serveProv(r *http.Request, body []byte) (answer, error) {
	const op = "auth.serveProv"
	e, err := soap.ParseEnvelope(body)
	if err != nil {
		return answer{}, err
	}
	u, err := s.signed(r.Context(), e, ProvPath)
	if err != nil {
		return answer{}, err
	}
	req, err := soap.ParsePublishRequest(e)
	if err != nil {
		return answer{}, err
	}
	if !sameUser(req.Entity, u) {
		return answer{}, fault.New(fault.Forbidden, op, "Entity names another user than the web ticket").About(req.Entity)
	}
	der, record, err := s.cfg.Certificates.IssueClient(r.Context(), req.PKCS10, u.SipAddress, req.DeviceID)
	if err != nil {
		return answer{}, err
	}
	s.cfg.Log.Info("client certificate issued", "user", u.SipAddress, "device", record.Device, "serial", record.Serial, "until", record.Expires)
	return answer{body: soap.PublishResponse{DeviceID: req.DeviceID, Entity: req.Entity, Certificate: der, RequestID: req.RequestID}.Append(nil)}, nil
}
