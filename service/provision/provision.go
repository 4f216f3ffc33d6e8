// Package provision tells Lync clients their settings in band: the
// vnd-microsoft-provisioning-v2 event of [MS-SIPREGE] 3.5. The answer comes in the
// 200 of the SUBSCRIBE; there is no dialog to keep, because the client asks with
// Expires: 0 and asks again when it signs in.
package provision

import (
	"context"
	"strconv"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/uc"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

// Event is the package.
const Event = "vnd-microsoft-provisioning-v2"

// Policy answers what the settings of a group are for a user; ok is false for a
// group that the deployment does not have.
type Policy func(user uc.UserURI, group string) (g presdoc.ProvisionGroup, ok bool)

// Service answers provisioning requests.
type Service struct {
	policy  Policy
	contact string
}

// New makes the service. contact is the value of our Contact header.
func New(policy Policy, contact string) *Service { return &Service{policy, contact} }

// Routes are the requests this service answers.
func (s *Service) Routes() []sipmux.Route {
	return []sipmux.Route{{
		Method: "SUBSCRIBE", Event: Event, Who: sipmux.User, Quick: true,
		Doc: "in-band settings of the user, answered at once ([MS-SIPREGE] 3.5)", Serve: s.subscribe,
	}}
}

func (s *Service) subscribe(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
	to, err := uc.ParseUserURI(addr(r))
	if err != nil || to != r.User {
		return nil, fault.New(fault.Forbidden, "provision.subscribe", "settings can be asked for oneself only").Diagnosed(4004)
	}
	var names []string
	if len(r.Body) > 0 {
		if names, err = presdoc.ParseProvisioningRequest(r.Body); err != nil {
			return nil, err
		}
	}
	var groups []presdoc.ProvisionGroup
	for _, name := range names {
		if g, ok := s.policy(r.User, name); ok {
			groups = append(groups, g)
		}
	}
	res := r.Reply(200, "")
	res.Add("Contact", s.contact)
	res.Add("Event", Event)
	res.Add("Expires", "0")
	res.Add("subscription-state", "terminated;expires=0")
	n, _, _ := r.CSeq()
	res.Add("ms-piggyback-cseq", strconv.Itoa(int(n)))
	res.Add("Content-Type", presdoc.TypeProvisioning)
	res.Body = presdoc.AppendProvisioning(nil, groups)
	return res, nil
}

func addr(r *sipmux.Request) string {
	to, err := r.To()
	if err != nil {
		return ""
	}
	return to.URI
}
