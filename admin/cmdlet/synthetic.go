package cmdlet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
	"trivet/link/sipclient"
	"trivet/rule/directory"
	"trivet/wire/sip"
)

// resultRow is the outcome of a synthetic transaction.
type resultRow struct {
	TargetFqdn string
	TargetUri  string
	Result     string // "Success" or "Failure"
	Latency    string // hh:mm:ss.fffffff
	Error      string
	Diagnosis  string
}

var resultTable = []string{"TargetFqdn", "Result", "Latency", "Error", "Diagnosis"}

// target is where a synthetic transaction goes and how it signs in.
type target struct {
	host, addr, uri string
	tls             *tls.Config
	scheme          sipclient.Scheme
	now             func() time.Time
}

// patience is how long one synthetic transaction may take.
const patience = 30 * time.Second

// aim reads -TargetFqdn, -TargetUri, -RegistrarPort and -Authentication. The
// default is this computer.
func (c *Call) aim(p *Target) (target, error) {
	host, port, transport := p.TargetFqdn, "", "tls"
	if p.TargetUri != "" {
		u, err := parseTarget(p.TargetUri)
		if err != nil || u.User != "" {
			return target{}, wrong("TargetUri", "needs the form sip:host:port;transport=tls or host:port, not %q", clip(p.TargetUri))
		}
		host = u.Host
		if u.Port != 0 {
			port = strconv.Itoa(u.Port)
		}
		if t := strings.ToLower(u.Params.Value("transport")); t != "" {
			transport = t
		}
	} else if h, n, err := net.SplitHostPort(host); err == nil {
		host, port = h, n
	}
	if transport != "tls" && transport != "tcp" {
		return target{}, wrong("TargetUri", "needs transport=tls or transport=tcp, not %q", clip(transport))
	}
	if p.RegistrarPort > 0 {
		port = strconv.Itoa(p.RegistrarPort)
	}
	if port == "" {
		port = map[string]string{"tls": "5061", "tcp": "5060"}[transport]
	}
	host = or(strings.Trim(host, "[]"), "127.0.0.1")
	t := target{host: or(p.TargetFqdn, host), addr: net.JoinHostPort(host, port), scheme: schemes[p.Authentication], now: c.Clock.Now}
	t.uri = "sip:" + t.addr + ";transport=" + transport
	if transport == "tls" {
		t.tls = &tls.Config{RootCAs: c.Roots, ServerName: host, MinVersion: tls.VersionTLS12}
	}
	return t, nil
}

func parseTarget(s string) (sip.URI, error) {
	if !strings.HasPrefix(strings.ToLower(s), "sip:") {
		s = "sip:" + s
	}
	return sip.ParseURI(s)
}

var schemes = map[string]sipclient.Scheme{"Auto": sipclient.Auto, "Digest": sipclient.Digest, "Ntlm": sipclient.NTLM}

// client is a signed-in user of a synthetic transaction.
type client = *sipclient.Client

var xmlEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

// escape makes text safe in XML.
func escape(s string) string { return xmlEscaper.Replace(s) }

// Target are the parameters all synthetic transactions share.
type Target struct {
	TargetFqdn     string `param:"pos=1" help:"Server or pool, host or host:port; without it this computer"`
	TargetUri      string `help:"Instead: sip:host:port;transport=tls|tcp"`
	RegistrarPort  int    `help:"Port; without it 5061"`
	Authentication string `default:"Auto" values:"Auto|Ntlm|Digest" help:"How to sign in"`
}

// dial connects as a user. The credential is "login:password", or the password
// alone.
func (t target) dial(ctx context.Context, p party, handle func(*sip.Message) *sip.Message) (*sipclient.Client, error) {
	user, err := directory.Address(p.address)
	if err != nil {
		return nil, wrong(p.param+"SipAddress", "needs an address like sip:alice@example.test, not %q", clip(p.address))
	}
	if p.credential == "" {
		return nil, wrong(p.param+"Credential", "is missing; give user:password")
	}
	login, password, both := strings.Cut(string(p.credential), ":")
	if !both {
		login, password = "", login
	}
	return sipclient.Dial(ctx, sipclient.Config{
		Addr: t.addr, TLS: t.tls, User: user, Login: login, Password: password, Scheme: t.scheme, Now: t.now, Handle: handle,
	})
}

// measure runs a synthetic transaction and writes its row. A failure is a row and
// an error; wrong parameters are only an error.
func (c *Call) measure(ctx context.Context, p Target, run func(ctx context.Context, t target) error) error {
	t, err := c.aim(&p)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	start := c.Clock.Now()
	err = run(ctx, t)
	var f *fault.Error
	if errors.As(err, &f) && f.Op == "cmdlet.Bind" {
		return err
	}
	row := resultRow{TargetFqdn: t.host, TargetUri: t.uri, Result: "Success", Latency: latency(c.Clock.Now().Sub(start))}
	if err != nil {
		row.Result, row.Error, row.Diagnosis = "Failure", err.Error(), diagnosis(err)
		if f != nil && f.Text != "" {
			row.Error = f.Text
		}
	}
	c.Write(row)
	return err
}

// latency is a time as the product prints it, in units of 100 ns.
func latency(d time.Duration) string {
	s := int64(d / time.Second)
	return fmt.Sprintf("%02d:%02d:%02d.%07d", s/3600, s/60%60, s%60, int64(d%time.Second)/100)
}

// advice says what to look at first, by the kind of failure.
var advice = map[fault.Kind]string{
	fault.Unauthenticated: "Check the password and whether the user is enabled (Get-CsUser); wrong, unknown and disabled look the same from outside.",
	fault.Forbidden:       "The server knows the user and refuses; see whether the user is enabled and what the policy allows.",
	fault.NotFound:        "The server does not know the address; check its spelling and domain (Get-CsUser).",
	fault.Timeout:         "The server accepted the connection and did not answer in time; see its log and Get-CsService.",
	fault.Unavailable:     "Check that the server runs, its address and port, the firewall, and that its certificate has this name and a trusted authority.",
	fault.Unsupported:     "The server does not support this; see its settings, or choose another -Authentication.",
}

func diagnosis(err error) string {
	var f *fault.Error
	if !errors.As(err, &f) {
		return ""
	}
	parts := []string{}
	if f.Subject != "" {
		parts = append(parts, "ms-diagnostics: "+f.Subject+".")
	}
	if a := advice[f.Kind]; a != "" {
		parts = append(parts, a)
	}
	return strings.Join(parts, " ")
}
