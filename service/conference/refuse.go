package conference

import (
	"errors"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

// ms-diagnostics numbers, [MS-OCER] 7.4.
const (
	diagFrom           = 3000 // bad From in the request
	diagTo             = 3001
	diagTarget         = 3002 // invalid target user
	diagEntity         = 3003 // invalid conference
	diagNotImplemented = 3004
	diagAddUser        = 3007
	diagEndpoint       = 3009
	diagConference     = 3012 // invalid conference address
	diagForbidden      = 3014 // failed authorization
	diagRole           = 3016
)

// reasons are the C3P reasons of kinds of fault.
var reasons = map[fault.Kind]string{
	fault.Invalid: cccp.RequestMalformed, fault.Forbidden: cccp.NotAllowed, fault.NotFound: cccp.ConferenceDoesntExist,
	fault.Exists: cccp.ConferenceExists, fault.Limit: cccp.MaxConferences, fault.Unsupported: cccp.NotImplemented,
}

// refuse answers a C3P request that failed: the status and ms-diagnostics of the
// fault, and the C3P failure in the body. What is not the asker's fault is the
// table's to answer.
func (s *Service) refuse(r *sipmux.Request, q *cccp.Request, err error) (*sip.Message, error) {
	var f *fault.Error
	if !errors.As(err, &f) {
		return nil, err
	}
	reason, known := reasons[f.Kind]
	if !known {
		return nil, err
	}
	if f.Diag == diagTarget {
		reason = cccp.UserDoesntExist
	}
	res := s.refusal(r, f)
	res.Add("Content-Type", cccp.Type)
	out := cccp.Response{ID: q.ID, From: q.To, To: q.From, Command: q.Command, Code: cccp.Failure, Reason: reason, Text: f.Text}
	res.Body = out.Append(nil)
	return res, nil
}

// refusal is the answer for a fault, with the status that clients of conferences expect.
func (s *Service) refusal(r *sipmux.Request, f *fault.Error) *sip.Message {
	status, diag := sipmux.Status(f.Kind), f.Diag
	if errors.Is(f, errFull) {
		status = 486
	}
	if diag == 0 {
		diag = diagEntity
	}
	res := r.Reply(status, "")
	res.Add("ms-diagnostics", sipmux.Diagnostics(diag, f.Text, string(s.cfg.FQDN)))
	return res
}

// success answers a C3P request.
func success(r *sipmux.Request, q *cccp.Request, body []byte) *sip.Message {
	res := r.Reply(200, "")
	res.Add("Content-Type", cccp.Type)
	out := cccp.Response{ID: q.ID, From: q.To, To: q.From, Command: q.Command, Code: cccp.Success, Body: body}
	res.Body = out.Append(nil)
	return res
}

// errFull is the cause of a refusal that a free place would mend: 486.
var errFull = errors.New("the conference is full")

func noConference(op, id string) error {
	return fault.New(fault.NotFound, op, "there is no such conference, or it has ended").About(id).Diagnosed(diagConference)
}

func notAllowed(op, text string) error {
	return fault.New(fault.Forbidden, op, text).Diagnosed(diagForbidden)
}
