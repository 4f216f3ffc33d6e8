package dirsync

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"trivet/fault"
)

// dialTime is how long a connection may take at most; a server that is switched
// off must not keep the next one waiting.
const dialTime = 10 * time.Second

// link is an open connection to one server.
type link struct {
	*ldap.Conn
	url  string
	stop func() bool // ends the watch over the context
}

// close ends the connection.
func (l *link) close() {
	l.stop()
	l.Conn.Close()
}

// dial connects to a server, over TLS unless the source says plain. The
// connection ends with ctx.
func (x *source) dial(ctx context.Context, server string) (*link, error) {
	const op = "dirsync.dial"
	u, err := url.Parse(server)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, op, "%q is no URL of a server", server)
	}
	trust, err := x.trust(u.Hostname())
	if err != nil {
		return nil, err
	}
	limit := min(x.Timeout, dialTime)
	nc, err := (&net.Dialer{Timeout: limit}).DialContext(ctx, "tcp", hostPort(u))
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, op, "%s cannot be reached", server).Because(err)
	}
	if err := nc.SetDeadline(time.Now().Add(limit)); err != nil {
		return nil, fault.Wrap(op, err)
	}
	l := &link{url: server, stop: context.AfterFunc(ctx, func() { nc.Close() })}
	if u.Scheme == "ldaps" {
		safe := tls.Client(nc, trust)
		err = safe.HandshakeContext(ctx)
		l.Conn = ldap.NewConn(safe, true)
	} else {
		l.Conn = ldap.NewConn(nc, false)
	}
	if err != nil {
		l.stop()
		nc.Close()
		return nil, fault.Newf(fault.Unavailable, op, "no TLS with %s; ca needs to have the authority of its certificate", server).Because(err)
	}
	l.Conn.SetTimeout(x.Timeout)
	l.Conn.Start()
	if u.Scheme == "ldap" && x.TLS == "starttls" {
		if err := l.StartTLS(trust); err != nil {
			l.close()
			return nil, fault.Newf(fault.Unavailable, op, "no TLS with %s; ca needs to have the authority of its certificate", server).Because(err)
		}
	}
	return l, fault.Wrap(op, nc.SetDeadline(time.Time{}))
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldap": "389", "ldaps": "636"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// trust is the TLS configuration for a server.
func (x *source) trust(host string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host, ClientSessionCache: x.sessions}
	if x.CA == "" {
		return c, nil
	}
	pem, err := os.ReadFile(x.file(x.CA))
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "dirsync.trust", "ca of the source %s: %s cannot be read", x.Name, x.CA).Because(err)
	}
	if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fault.Newf(fault.Invalid, "dirsync.trust", "ca of the source %s: %s has no certificate in PEM form", x.Name, x.CA)
	}
	return c, nil
}

// open connects and binds as the account of the source, or as nobody where the
// server is not one that may be given its password.
func (x *source) open(ctx context.Context, server string, trusted bool) (*link, error) {
	l, err := x.dial(ctx, server)
	if err != nil || x.BindDN == "" || !trusted {
		return l, err
	}
	password, err := x.password()
	if err == nil {
		err = l.Bind(x.BindDN, password)
	}
	if err != nil {
		l.close()
		if ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
			return nil, fault.Newf(fault.Unavailable, "dirsync.open", "%s refuses the account %s; check bind-dn and password-file", server, x.BindDN)
		}
		return nil, because(err, "%s does not let the account %s in", server, x.BindDN)
	}
	return l, nil
}

// password reads the password of the account. It may have been changed since the
// last time.
func (x *source) password() (string, error) {
	const op = "dirsync.password"
	b, err := os.ReadFile(x.file(x.PasswordFile))
	b = bytes.TrimRight(b, "\r\n")
	if err != nil || len(b) == 0 {
		return "", fault.Newf(fault.Invalid, op, "password-file of the source %s: %s cannot be read or is empty", x.Name, x.PasswordFile).Because(err)
	}
	return string(b), nil
}

// because gives the failure of an LDAP operation a sentence. Faults of ours stay.
func because(err error, format string, args ...any) error {
	if e, ok := err.(*fault.Error); ok {
		return e
	}
	return fault.Newf(fault.Unavailable, "dirsync.ldap", format, args...).Because(err)
}

// trusted finds the server of the settings that a URL means: of the same host, on
// the same port or both on the usual ones. Only these may be given passwords.
func (x *source) trusted(u *url.URL) (server string, ok bool) {
	for _, list := range [][]string{x.Servers, x.ReferralServers} {
		for _, s := range list {
			v, err := url.Parse(s)
			if err != nil || !strings.EqualFold(v.Hostname(), u.Hostname()) {
				continue
			}
			if hostPort(u) == hostPort(v) && u.Scheme == v.Scheme || usual(u) && usual(v) {
				return s, true
			}
		}
	}
	return "", false
}

func usual(u *url.URL) bool { return u.Port() == "" || u.Port() == "389" || u.Port() == "636" }
