package conference

import (
	"context"
	"strings"

	"trivet/link/sipmux"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

// options tells what a conference, or the focus factory, can do (RFC 3261 11). The
// Contact of a conference has isfocus (RFC 4579 5.1).
func (s *Service) options(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	a, ok := parse(r.RequestURI)
	if !ok {
		return nil, noConference("conference.options", r.RequestURI)
	}
	res := r.Reply(200, "")
	if a.kind == factoryKind {
		res.Add("Allow", "SERVICE, OPTIONS")
		res.Add("Accept", cccp.Type)
		return res, nil
	}
	if _, err := s.look(ctx, a.place); err != nil {
		return nil, err
	}
	res.Add("Contact", "<"+clone(r.RequestURI)+">;isfocus")
	res.Add("Allow", allowed)
	res.Add("Allow-Events", Event)
	res.Add("Accept", "application/sdp, "+cccp.Type+", "+strings.Join(accepts, ", "))
	return res, nil
}
