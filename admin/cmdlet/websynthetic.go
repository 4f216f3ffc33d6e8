package cmdlet

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"trivet/fault"
	"trivet/kit/log"
	"trivet/rule/directory"
	"trivet/wire/soap"
)

// WebTarget are the parameters that synthetic transactions of web services share.
type WebTarget struct {
	TargetFqdn     string     `param:"pos=1" help:"Server or pool, host or host:port; without it port 8443 of this computer"`
	UserSipAddress string     `param:"required" help:"The user to sign in"`
	UserCredential log.Secret `help:"user:password, or the password alone; - reads it from standard input; without it a terminal asks"`
}

// webPort is where the web services listen unless -TargetFqdn says.
const webPort = "8443"

// firstByte is how long a server may take before it says anything.
const firstByte = 10 * time.Second

// errNoWeb is the cause of a failure where something listens and no web server does.
var errNoWeb = errors.New("no web server")

// most is the largest answer that is read.
const most = 64 << 20

// webUser is a user of the web services.
type webUser struct {
	base            string // "https://host:port"
	login, password string
	address         string // "alice@example.test"
	client          *http.Client
}

// measureWeb runs a synthetic transaction of web services and writes its row; see
// measure.
func (c *Call) measureWeb(ctx context.Context, p WebTarget, path string, run func(ctx context.Context, u *webUser) error) error {
	u, err := c.webUser(p)
	if err != nil {
		return err
	}
	defer u.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	start := c.Clock.Now()
	err = run(ctx, u)
	row := resultRow{TargetFqdn: or(p.TargetFqdn, "127.0.0.1"), TargetUri: u.base + path, Result: "Success", Latency: latency(c.Clock.Now().Sub(start))}
	if err != nil {
		row.Result, row.Error, row.Diagnosis = "Failure", err.Error(), diagnosis(err)
		if errors.Is(err, errNoWeb) {
			row.Diagnosis = "This may be the SIP port or another service; the web services of Trivet have port " + webPort + " unless the setting https says otherwise."
		}
		var f *fault.Error
		if errors.As(err, &f) && f.Text != "" {
			row.Error = f.Text
		}
	}
	c.Write(row)
	return err
}

func (c *Call) webUser(p WebTarget) (*webUser, error) {
	user, err := directory.Address(p.UserSipAddress)
	if err != nil {
		return nil, wrong("UserSipAddress", "needs an address like sip:alice@example.test, not %q", clip(p.UserSipAddress))
	}
	if p.UserCredential == "" {
		return nil, wrong("UserCredential", "is missing; give user:password")
	}
	host, port, err := net.SplitHostPort(p.TargetFqdn)
	if err != nil {
		host, port = or(strings.Trim(p.TargetFqdn, "[]"), "127.0.0.1"), webPort
	}
	u := &webUser{base: "https://" + net.JoinHostPort(host, port), address: user.Bare()}
	var both bool
	if u.login, u.password, both = strings.Cut(string(p.UserCredential), ":"); !both {
		u.login, u.password = u.address, string(p.UserCredential)
	}
	u.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: c.Roots, ServerName: host, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: firstByte, ResponseHeaderTimeout: firstByte,
	}}
	return u, nil
}

// ticket gets a web ticket for a service of the server.
func (u *webUser) ticket(ctx context.Context, path string) ([]byte, error) {
	const op = "cmdlet.ticket"
	body := soap.TicketRequest{AppliesTo: u.base + path, Claim: "sip:" + u.address}.Append(nil)
	res, err := u.send(ctx, "/WebTicket/WebTicketService.svc/Auth", "", body, func(r *http.Request) {
		r.SetBasicAuth(u.login, u.password)
		r.Header.Set("SOAPAction", `"`+soap.ActionIssue+`"`)
	})
	if err != nil {
		return nil, err
	}
	if res.status == http.StatusUnauthorized {
		return nil, fault.New(fault.Unauthenticated, op, "the web ticket service refused the user name and the password")
	}
	t, err := soap.ParseTicketResponse(res.body)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	return t.Assertion, nil
}

// answer is what a web service answered.
type answer struct {
	status int
	body   []byte
}

// send posts a SOAP body, with a header, or gets when there is none.
func (u *webUser) send(ctx context.Context, path, header string, body []byte, add func(*http.Request)) (answer, error) {
	const op = "cmdlet.send"
	method, doc := http.MethodGet, []byte(nil)
	if body != nil {
		method = http.MethodPost
		doc = append([]byte(`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header>`+header+`</s:Header><s:Body>`), body...)
		doc = append(doc, `</s:Body></s:Envelope>`...)
	}
	r, err := http.NewRequestWithContext(ctx, method, u.base+path, bytes.NewReader(doc))
	if err != nil {
		return answer{}, fault.Wrap(op, err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "text/xml; charset=utf-8")
	}
	add(r)
	res, err := u.client.Do(r)
	if err != nil {
		return answer{}, unreachable(op, err)
	}
	defer res.Body.Close()
	a := answer{status: res.StatusCode}
	if a.body, err = io.ReadAll(io.LimitReader(res.Body, most)); err != nil {
		return a, unreachable(op, err)
	}
	return a, nil
}

func unreachable(op string, err error) error {
	var e *url.Error
	var record tls.RecordHeaderError
	switch text := err.Error(); {
	case strings.Contains(text, "timeout awaiting response headers"), strings.Contains(text, "TLS handshake timeout"):
		return fault.Newf(fault.Timeout, op, "something listens there and does not answer HTTPS within %v", firstByte).Because(errNoWeb)
	case strings.Contains(text, "malformed HTTP"), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.As(err, &record):
		return fault.New(fault.Unavailable, op, "something listens there and does not speak HTTPS").Because(errors.Join(errNoWeb, err))
	}
	if errors.As(err, &e) && e.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return fault.New(fault.Timeout, op, "the server did not answer in time").Because(err)
	}
	return fault.New(fault.Unavailable, op, "the web services cannot be reached").Because(err)
}

// security is the header of a request with a web ticket.
func security(ticket []byte) string {
	return `<wsse:Security xmlns:wsse="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd">` + string(ticket) + `</wsse:Security>`
}

// shown puts a web ticket into the header of a request without SOAP.
func shown(ticket []byte) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("X-MS-WebTicket", "opaque="+base64.StdEncoding.EncodeToString(ticket))
	}
}

const (
	bookQueryPath = "/GroupExpansion/service.svc"
	bookFilesPath = "/abs/handler"
	maxAge        = 30 * 24 * time.Hour
)
