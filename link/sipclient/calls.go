package sipclient

import (
	"context"
	"strconv"

	"trivet/fault"
	"trivet/uc"
	"trivet/wire/sip"
)

// Register signs in for so many seconds; 0 signs out. Refusals are faults, see
// Refused.
func (c *Client) Register(ctx context.Context, seconds int) (*sip.Message, error) {
	m := c.Request("REGISTER", c.cfg.User)
	m.RequestURI = "sip:" + c.cfg.User.Domain()
	m.Set("Call-ID", c.callID)
	m.Add("Contact", c.Contact()+`;+sip.instance="<urn:uuid:`+instance(c.epid)+`>"`)
	m.Add("Expires", strconv.Itoa(seconds))
	return c.expect(ctx, m)
}

// instance is a UUID made of an epid of twelve digits.
func instance(epid string) string { return "00000000-0000-4000-8000-" + epid }

// Publish sends a presence document (RFC 3903).
func (c *Client) Publish(ctx context.Context, contentType, body string) (*sip.Message, error) {
	m := c.Request("PUBLISH", c.cfg.User)
	m.Add("Event", "presence")
	m.Add("Expires", "600")
	m.Add("Content-Type", contentType)
	m.Body = []byte(body)
	return c.expect(ctx, m)
}

// Subscribe subscribes to somebody's presence (RFC 3856).
func (c *Client) Subscribe(ctx context.Context, to uc.UserURI, accept string) (*sip.Message, error) {
	m := c.Request("SUBSCRIBE", to)
	m.Add("Event", "presence")
	m.Add("Expires", "600")
	m.Add("Accept", accept)
	m.Add("Contact", c.Contact())
	return c.expect(ctx, m)
}

// Message sends an instant message in page mode (RFC 3428).
func (c *Client) Message(ctx context.Context, to uc.UserURI, text string) (*sip.Message, error) {
	m := c.Request("MESSAGE", to)
	m.Add("Content-Type", "text/plain;charset=UTF-8")
	m.Body = []byte(text)
	return c.expect(ctx, m)
}

// expect is Do for requests that are to succeed.
func (c *Client) expect(ctx context.Context, m *sip.Message) (*sip.Message, error) {
	res, err := c.Do(ctx, m)
	if err != nil {
		return nil, err
	}
	if res.Status > 299 {
		return res, Refused(m.Method, res)
	}
	return res, nil
}

// kinds of refusals by status; others are Unavailable.
var kinds = map[int]fault.Kind{
	400: fault.Invalid, 401: fault.Unauthenticated, 403: fault.Forbidden, 404: fault.NotFound, 405: fault.Unsupported, 407: fault.Unauthenticated,
	408: fault.Timeout, 415: fault.Unsupported, 480: fault.Unavailable, 489: fault.Unsupported, 500: fault.Internal, 501: fault.Unsupported,
	503: fault.Unavailable, 504: fault.Timeout,
}

// Refused is the fault for a response that refuses a request: its Text has
// status and reason, its Subject the text of ms-diagnostics, if any ([MS-OCER]).
func Refused(method string, res *sip.Message) error {
	kind, ok := kinds[res.Status]
	if !ok {
		kind = fault.Unavailable
	}
	diag := res.Get("ms-diagnostics")
	if diag == "" {
		diag = res.Get("ms-diagnostics-public")
	}
	return fault.Newf(kind, "sipclient", "the server answered %s with %d %s", method, res.Status, res.Reason).About(diag)
}
