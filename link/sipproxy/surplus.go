package sipproxy

import (
	"slices"
	"strconv"

	"trivet/link/siptrans"
	"trivet/wire/sip"
)

// hangUp acknowledges a 2xx that the caller cannot take and hangs up in its name,
// RFC 3261 13.2.2.4 and 15.1.1. res is the response as it came.
func (p *Proxy) hangUp(t *siptrans.ClientTx, req, res *sip.Message) {
	num, _, err := res.CSeq()
	if err != nil {
		return
	}
	p.cfg.Layer.Forward(nil, t.Conn(), p.within(req, res, "ACK", num))
	p.cfg.Layer.Request(t.Conn(), p.within(req, res, "BYE", num+1), func(*sip.Message, error) {})
}

// within makes a request of the caller in the dialog that res began.
func (p *Proxy) within(req, res *sip.Message, method string, num uint32) *sip.Message {
	uri := req.RequestURI
	if contacts, err := res.Contacts(); err == nil && len(contacts) > 0 {
		uri = contacts[0].URI
	}
	m := sip.NewRequest(method, uri)
	m.Add("Max-Forwards", defaultHops)
	m.Add("From", res.Get("From"))
	m.Add("To", res.Get("To"))
	m.Add("Call-ID", res.CallID())
	m.Add("CSeq", strconv.FormatUint(uint64(num), 10)+" "+method)
	for _, r := range p.behind(res) {
		m.Add("Route", r)
	}
	return m
}

// behind is the part of the route set between us and the callee: the Record-Route
// values above ours, nearest first.
func (p *Proxy) behind(res *sip.Message) (out []string) {
	for line := range res.All("Record-Route") {
		for item := range sip.Split(line) {
			if _, _, ours := p.open(userOf(item)); ours {
				slices.Reverse(out)
				return out
			}
			out = append(out, item)
		}
	}
	return nil
}
