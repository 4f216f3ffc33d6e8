// Package client runs cmdlets from the shell: it finds the server, sends what
// was asked, asks back where the administrator has to confirm, and prints the
// result as a table, as a list or as JSON.
//
// A Session is used by one goroutine.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/link/httpd"
)

// Target says which server to ask.
type Target struct {
	Data     string // the data folder, for its socket and its root certificate
	Server   string // "https://host:port"; empty = the socket in Data
	User     string
	Password string
	CA       string // PEM file of further authorities to trust
}

// SocketName is the management socket in the data folder.
const SocketName = "admin.sock"

// ErrNotReached is the cause of every failure to reach the server.
var ErrNotReached = errors.New("not reached")

// Reply is the server's answer; rows are kept as they came, so that their
// properties keep their order.
type Reply struct {
	Rows     []json.RawMessage
	Plans    []string
	Warnings []string
}

// conn is a way to a server.
type conn struct {
	base   string
	shown  string // the server's name for people
	client *http.Client
	target Target
}

func dial(t Target) (*conn, error) {
	if t.Server != "" {
		return dialRemote(t)
	}
	path, err := httpd.SocketPath(filepath.Join(t.Data, SocketName))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	return &conn{base: "http://local", shown: path, client: &http.Client{Transport: transport, Timeout: patience}, target: t}, nil
}

// patience is how long a cmdlet may take.
const patience = 5 * time.Minute

func dialRemote(t Target) (*conn, error) {
	const op = "client.dial"
	address := t.Server
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fault.Newf(fault.Invalid, op, "--server needs an address like https://sip.example.test:8443, not %q", t.Server).About("server")
	}
	roots, err := Trusted(t)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	return &conn{base: "https://" + u.Host, shown: u.Host, client: &http.Client{Transport: transport, Timeout: patience}, target: t}, nil
}

// Trusted is the system's authorities, the one in the data folder and those of
// --ca.
func Trusted(t Target) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if t.Data != "" {
		if pem, err := os.ReadFile(filepath.Join(t.Data, "ca.pem")); err == nil {
			roots.AppendCertsFromPEM(pem)
		}
	}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil || !roots.AppendCertsFromPEM(pem) {
			return nil, fault.Newf(fault.Invalid, "client.dial", "--ca needs a PEM file with certificates, and %s is none", t.CA).About("ca").Because(err)
		}
	}
	return roots, nil
}

// call runs one cmdlet.
func (c *conn) call(ctx context.Context, name string, g cmdlet.Given, whatIf bool) (Reply, error) {
	const op = "client.call"
	asked := map[string]any{"Parameters": g.Values, "WhatIf": whatIf}
	if g.Force {
		asked["Force"] = true
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return Reply{}, fault.Wrap(op, err)
	}
	req, err := http.NewRequestWithContext(ctx, "POST", c.base+"/api/cmdlet/"+url.PathEscape(name), bytes.NewReader(body))
	if err != nil {
		return Reply{}, fault.Wrap(op, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.target.Server != "" {
		req.SetBasicAuth(c.target.User, c.target.Password)
	}
	connected := false
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}))
	res, err := c.client.Do(req)
	switch {
	case err != nil && connected:
		return Reply{}, c.cutShort(err)
	case err != nil:
		return Reply{}, c.unreached(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return Reply{}, c.cutShort(err)
	}
	if res.StatusCode != http.StatusOK {
		return Reply{}, c.problem(res, b)
	}
	var reply Reply
	if err := json.Unmarshal(b, &reply); err != nil {
		return Reply{}, fault.Newf(fault.Unavailable, op, "%s did not answer like a Trivet server", c.shown).Because(errors.Join(ErrNotReached, err))
	}
	return reply, nil
}

// cutShort is about a connection that ended, or took too long, after the server may
// have begun. It is no ErrNotReached.
func (c *conn) cutShort(err error) error {
	return fault.Newf(fault.Unavailable, "client.call", "the connection to %s ended before the answer (%v); it is not known whether it was done", c.shown, reason(err))
}

// unreached is about a server to which nothing was sent.
func (c *conn) unreached(err error) error {
	const op = "client.call"
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return fault.Newf(fault.Unavailable, op, "%s has a certificate of an authority that is not trusted here; name its file with --ca", c.shown).Because(ErrNotReached)
	case c.target.Server == "" && errors.Is(err, fs.ErrPermission):
		return fault.Newf(fault.Unavailable, op, "the data folder %s belongs to another user; run this as that user, or name a server with --server", c.target.Data).Because(ErrNotReached)
	case c.target.Server == "" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)):
		return fault.Newf(fault.Unavailable, op, "no server runs in %s; start it with trivet run, or name another folder with --data or a server with --server", c.target.Data).Because(ErrNotReached)
	}
	return fault.Newf(fault.Unavailable, op, "%s does not answer (%v)", c.shown, reason(err)).Because(ErrNotReached)
}

// reason is the innermost text of a network error.
func reason(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// problem makes a fault of a problem document.
func (c *conn) problem(res *http.Response, body []byte) error {
	const op = "client.call"
	var p struct{ Detail, Kind, Subject string }
	if json.Unmarshal(body, &p) != nil || p.Kind == "" {
		return fault.Newf(fault.Unavailable, op, "%s did not answer like a Trivet server (%s)", c.shown, res.Status).Because(ErrNotReached)
	}
	for k := fault.Internal; k <= fault.Gone; k++ {
		if k.String() == strings.ToLower(p.Kind) {
			return fault.New(k, op, p.Detail).About(p.Subject)
		}
	}
	return fault.New(fault.Unavailable, op, p.Detail)
}
