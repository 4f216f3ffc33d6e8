package diagnose_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"trivet/admin/diagnose"
	"trivet/fault"
	"trivet/kit/conf"
	"trivet/kit/log"
	"trivet/link/sipclient"
	"trivet/role/frontend"
	"trivet/test/peer/loopback"
	"trivet/uc"
)

const alice = uc.UserURI("sip:alice@example.test")

// site is a whole server with its names in DNS.
type site struct {
	ip       string
	roots    *x509.CertPool
	password string
	names    names
}

func start(t *testing.T, settings ...string) *site {
	t.Helper()
	s := &site{ip: loopback.Addr(t).String(), roots: x509.NewCertPool()}
	data := filepath.Join(t.TempDir(), "data")
	over := map[string]string{"listen": s.ip}
	for _, x := range settings {
		k, v, _ := strings.Cut(x, "=")
		over[k] = v
	}
	set, err := conf.Load(data, over)
	if err != nil {
		t.Fatal(err)
	}
	set.Demo = true
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan bool, 1), make(chan error, 1)
	var out bytes.Buffer
	go func() { ended <- frontend.Serve(ctx, set, log.Discard(), &out, func(frontend.Ready) { ready <- true }) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	pem, err := os.ReadFile(filepath.Join(data, "ca.pem"))
	if err != nil || !s.roots.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	var people []struct{ SipAddress, Password string }
	text, err := os.ReadFile(filepath.Join(data, "demo-users.json"))
	if err == nil {
		err = json.Unmarshal(text, &people)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range people {
		if p.SipAddress == string(alice) {
			s.password = p.Password
		}
	}
	s.names = names{
		"_sipinternaltls._tcp.example.test": "sip.example.test:5061", "sip.example.test": s.ip,
		"lyncdiscoverinternal.example.test": s.ip, "chat.example.test": s.ip,
	}
	return s
}

// config is what alice asks with, whose client has nothing wrong. with changes DNS.
func (s *site) config(t *testing.T, with names) diagnose.Config {
	t.Helper()
	all := names{}
	for _, n := range []names{s.names, with} {
		for k, v := range n {
			all[k] = v
			if v == "" {
				delete(all, k)
			}
		}
	}
	return diagnose.Config{User: alice, Password: s.password, Roots: s.roots, Lookup: all.serve(t), DiscoverPort: 8443, Patience: 10 * time.Second}
}

// wants is what a diagnosis has to say: the first check that fails, words of what
// was seen, and of what mends it.
type wants struct{ check, evidence, mend string }

func (want wants) hold(t *testing.T, found []diagnose.Finding) {
	t.Helper()
	for _, f := range found {
		if f.Result == diagnose.Failed {
			if f.Check != want.check || !strings.Contains(f.Evidence, want.evidence) || !strings.Contains(f.Mend, want.mend) {
				t.Errorf("first of all fails\n%+v\nwant\n%+v", f, want)
			}
			return
		}
	}
	if want.check != "" {
		t.Errorf("nothing fails, want %+v\n%+v", want, found)
	}
}

func result(found []diagnose.Finding, check string) diagnose.Result {
	for _, f := range found {
		if f.Check == check {
			return f.Result
		}
	}
	return ""
}

// TestCauses plants one cause after the other before a client of a whole server.
func TestCauses(t *testing.T) {
	s := start(t)
	otherWeb := listen(t, nil, func(c net.Conn) { c.Write([]byte("SSH-2.0-other\r\n")) })
	at := func(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(d) } }
	_, port, _ := net.SplitHostPort(otherWeb)
	for name, c := range map[string]struct {
		with   names
		change func(*diagnose.Config)
		want   wants
	}{
		"nothing":                     {},
		"nothing, with NTLM":          {change: func(c *diagnose.Config) { c.Method = "Ntlm" }},
		"nothing, with Digest":        {change: func(c *diagnose.Config) { c.Method = "digest" }},
		"no names":                    {with: names{"_sipinternaltls._tcp.example.test": "", "sip.example.test": ""}, want: wants{"server", "DNS knows none of _sipinternaltls._tcp.example.test, _sip._tls.example.test, sipinternal.example.test", "SRV 0 0 5061"}},
		"a record that leads nowhere": {with: names{"sip.example.test": ""}, want: wants{"name", "no address for sip.example.test", "hosts file"}},
		"a name server that fails":    {with: names{"broken": ""}, change: func(c *diagnose.Config) { c.Lookup = names{"broken": "x"}.serve(t) }, want: wants{"server", "the name server does not answer", "resolv.conf"}},
		"a port that is closed":       {with: names{"_sipinternaltls._tcp.example.test": "sip.example.test:5999"}, want: wants{"port", "connection refused", "sip.tls"}},
		"a firewall":                  {change: func(c *diagnose.Config) { c.Server, c.Patience = full(t), 500*time.Millisecond }, want: wants{"port", "no answer", "firewall"}},
		"the port without TLS":        {with: names{"_sipinternaltls._tcp.example.test": "sip.example.test:5060"}, change: func(c *diagnose.Config) { c.Patience = 2 * time.Second }, want: wants{"TLS", "speaks SIP without TLS", "5061"}},
		"another service":             {change: func(c *diagnose.Config) { c.Server, c.Patience = "127.0.0.1:"+port, 2*time.Second }, want: wants{"TLS", "does not speak TLS", "Another service"}},
		"the port of HTTPS":           {with: names{"_sipinternaltls._tcp.example.test": "sip.example.test:8443"}, change: func(c *diagnose.Config) { c.Patience = 2 * time.Second }, want: wants{"SIP", "no", "port"}},
		"an expired certificate":      {change: func(c *diagnose.Config) { c.Now = at(2 * 365 * 24 * time.Hour) }, want: wants{"certificate dates", "ended on", "clock is right"}},
		"a certificate of the future": {change: func(c *diagnose.Config) { c.Now = at(-48 * time.Hour) }, want: wants{"certificate dates", "valid from", "Set the clock"}},
		"another name":                {with: names{"_sipinternaltls._tcp.example.test": "chat.example.test:5061"}, want: wants{"certificate name", "not for chat.example.test", "-DomainName chat.example.test"}},
		"an issuer nobody knows":      {change: func(c *diagnose.Config) { c.Roots = x509.NewCertPool() }, want: wants{"certificate issuer", "not trusted", "ca.pem"}},
		"no way in common":            {change: func(c *diagnose.Config) { c.Method = "Kerberos" }, want: wants{"sign-in methods", "and not Kerberos", "kerberos.keytab"}},
		"clocks that differ":          {change: func(c *diagnose.Config) { c.Now = at(10 * time.Minute) }, want: wants{"clocks", "ahead of the server's", "NTP"}},
		"a clock that is behind":      {change: func(c *diagnose.Config) { c.Now = at(-10 * time.Minute) }, want: wants{"clocks", "behind the server's", "NTP"}},
		"a wrong password":            {change: func(c *diagnose.Config) { c.Password += "x" }, want: wants{"sign-in", "401", "password is wrong, or the user is unknown or disabled"}},
		"a wrong password, the owner asks": {change: func(c *diagnose.Config) {
			c.Password += "x"
			c.Account = is(diagnose.Account{Known: true, HasSIP: true, Enabled: true})
		},
			want: wants{"sign-in", "401", "Set-CsUserPassword alice"}},
		"a user nobody knows":               {change: func(c *diagnose.Config) { c.Account = is(diagnose.Account{}) }, want: wants{"account", "no user sip:alice@example.test", "New-CsUser"}},
		"a disabled user":                   {change: func(c *diagnose.Config) { c.Account = is(diagnose.Account{Known: true, HasSIP: true}) }, want: wants{"account", "disabled", "Set-CsUser alice -Enabled '$true'"}},
		"an account without address":        {change: func(c *diagnose.Config) { c.Account = is(diagnose.Account{Known: true, Enabled: true}) }, want: wants{"account", "no SIP address", "Enable-CsUser"}},
		"autodiscover that leads elsewhere": {with: names{"lyncdiscoverinternal.example.test": "127.0.0.1"}, change: func(c *diagnose.Config) { c.DiscoverPort = 9 }, want: wants{"autodiscover", "connection refused", "https"}},
		"autodiscover of another domain": {change: func(c *diagnose.Config) {
			c.User, c.Password, c.Server = "sip:alice@fabrikam.test", "", s.ip
			c.Lookup = names{"lyncdiscover.fabrikam.test": s.ip}.serve(t)
		},
			want: wants{"autodiscover", "the certificate is for", "WebServicesInternal"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := s.config(t, c.with)
			if c.change != nil {
				c.change(&cfg)
			}
			c.want.hold(t, diagnose.User(t.Context(), cfg))
		})
	}
}

// is an owner's answer.
func is(a diagnose.Account) func(context.Context, uc.UserURI) (diagnose.Account, error) {
	return func(context.Context, uc.UserURI) (diagnose.Account, error) { return a, nil }
}

// full is the address of a socket whose queue is full: the kernel drops who asks,
// as a firewall does.
func full(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at := &net.TCPAddr{IP: net.IP{127, 0, 0, 1}, Port: name.(*syscall.SockaddrInet4).Port}
	for {
		c, err := net.DialTimeout("tcp", at.String(), 200*time.Millisecond)
		if err != nil {
			return at.String()
		}
		t.Cleanup(func() { c.Close() })
	}
}

// TestOwnerIsNotTold: a server that does not answer the owner's question is no
// failure of the user's.
func TestOwnerIsNotTold(t *testing.T) {
	found := diagnose.User(t.Context(), diagnose.Config{User: alice, Server: "127.0.0.1:1", Lookup: names{}.serve(t), Account: func(context.Context, uc.UserURI) (diagnose.Account, error) {
		return diagnose.Account{}, fault.New(fault.Unavailable, "x", "the data folder belongs to another user")
	}})
	if r := result(found, "account"); r != diagnose.Skipped {
		t.Errorf("the account is %s", r)
	}
	wants{"port", "connection refused", "systemctl status trivet"}.hold(t, found)
	if r := result(found, "sign-in"); r != diagnose.Skipped {
		t.Errorf("after the port the sign-in is %s", r)
	}
}

// TestEndpointLimit: the user is signed in on as many devices as may be.
func TestEndpointLimit(t *testing.T) {
	s := start(t, "limits.endpoints=1")
	c, err := sipclient.Dial(t.Context(), sipclient.Config{Addr: s.ip + ":5060", User: alice, Password: s.password, Scheme: sipclient.NTLM})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Register(t.Context(), 600); err != nil {
		t.Fatal(err)
	}
	wants{"sign-in", "403", "Get-CsUserEndpoint alice"}.hold(t, diagnose.User(t.Context(), s.config(t, nil)))
}

// TestWebServices: TLS-DSK needs services that may be missing, or out of reach.
func TestWebServices(t *testing.T) {
	t.Run("switched off", func(t *testing.T) {
		t.Parallel()
		s := start(t, "https=off")
		cfg := s.config(t, names{"lyncdiscoverinternal.example.test": ""})
		cfg.Method = "TlsDsk"
		wants{"sign-in methods", "and not TlsDsk", "the setting https"}.hold(t, diagnose.User(t.Context(), cfg))
	})
	t.Run("out of reach", func(t *testing.T) {
		t.Parallel()
		s := start(t, "https="+loopback.Addr(t).String()+":8443", "fqdn=web.example.test")
		cfg := s.config(t, names{"web.example.test": ""})
		wants{"web services", "no address for web.example.test", "setting fqdn"}.hold(t, diagnose.User(t.Context(), cfg))
		cfg = s.config(t, names{"web.example.test": s.ip}) // where SIP is, and HTTPS is not
		wants{"web services", "connection refused", "firewall"}.hold(t, diagnose.User(t.Context(), cfg))
	})
}

// TestStrangeServers: what a server may answer that Trivet does only in bad times.
func TestStrangeServers(t *testing.T) {
	a, roots := newAuthority(t)
	now := time.Now()
	conf := &tls.Config{Certificates: []tls.Certificate{a.server(t, now.Add(-time.Hour), now.Add(90*24*time.Hour))}}
	web := func(h http.HandlerFunc) string {
		ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{Handler: h}
		go s.Serve(ln)
		t.Cleanup(func() { s.Close() })
		return ln.Addr().String()
	}
	starting := web(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health/ready" {
			w.WriteHeader(503)
			w.Write([]byte(`{"status":"not ready","problems":{"routing group 3":"The routing group has no primary."}}`))
		}
	})
	foreign := web(func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	dsk := func(at string) []string {
		return []string{"WWW-Authenticate", `TLS-DSK realm="SIP Communications Service", targetname="x", version=4, sts-uri="https://` + at + `/CertProv/CertProvisioningService.svc"`}
	}
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  wants
	}{
		"starting":       {sipAnswer(401, dsk(starting)...), wants{"readiness", "routing group 3: The routing group has no primary.", "Get-CsWindowsService"}},
		"foreign web":    {sipAnswer(401, dsk(foreign)...), wants{"web services", "answers 404", "proxy"}},
		"no address":     {sipAnswer(401, "WWW-Authenticate", `TLS-DSK sts-uri="http://x"`), wants{"web services", `"http://x"`, "fqdn"}},
		"overload":       {sipAnswer(503, "Retry-After", "7"), wants{"SIP", "503", "after 7 seconds"}},
		"another domain": {sipAnswer(404), wants{"SIP", "404", "setting domain"}},
		"no method":      {sipAnswer(401), wants{"sign-in methods", "no way to sign in", "switched off"}},
		"an odd refusal": {sipAnswer(488, "ms-diagnostics", `1009;reason="odd"`), wants{"SIP", "odd", "diagnostics.md"}},
		"silence":        {func(c net.Conn) { c.Read(make([]byte, 1)); c.Read(make([]byte, 9000)); c.Read(make([]byte, 9000)) }, wants{"SIP", "no answer", "hangs"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := diagnose.Config{Server: listen(t, conf, c.serve), Domain: "example.test", Roots: roots, Patience: 2 * time.Second}
			c.want.hold(t, diagnose.Server(t.Context(), cfg))
		})
	}
}

// TestCertificate: any server over TLS, judged by its certificate alone.
func TestCertificate(t *testing.T) {
	a, roots := newAuthority(t)
	now := time.Now()
	year := 365 * 24 * time.Hour
	quiet := func(c net.Conn) { c.Read(make([]byte, 1)) }
	for name, c := range map[string]struct {
		from, to time.Duration
		name     string
		roots    *x509.CertPool
		want     wants
		dates    diagnose.Result
	}{
		"good":          {-time.Hour, year, "", roots, wants{}, diagnose.OK},
		"ends soon":     {-time.Hour, 24 * time.Hour, "localhost", roots, wants{}, diagnose.Warning},
		"expired":       {-2 * year, -year, "", roots, wants{"certificate dates", "ended on", "Import-CsCertificate"}, diagnose.Failed},
		"not yet valid": {time.Hour, year, "", roots, wants{"certificate dates", "valid from", "clock"}, diagnose.Failed},
		"another name":  {-time.Hour, year, "sip.example.test", roots, wants{"certificate name", "for localhost, 127.0.0.1, not for sip.example.test", "Request-CsCertificate"}, diagnose.OK},
		"unknown":       {-time.Hour, year, "", x509.NewCertPool(), wants{"certificate issuer", "not trusted", "--ca"}, diagnose.OK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf := &tls.Config{Certificates: []tls.Certificate{a.server(t, now.Add(c.from), now.Add(c.to))}}
			found := diagnose.Certificate(t.Context(), diagnose.Config{Server: listen(t, conf, quiet), Name: c.name, Roots: c.roots})
			c.want.hold(t, found)
			if r := result(found, "certificate dates"); r != c.dates {
				t.Errorf("the dates are %s, want %s", r, c.dates)
			}
			if r := result(found, "certificate issuer"); c.want.check != "certificate issuer" && r != diagnose.OK { // dates are told apart from the issuer
				t.Errorf("the issuer is %s", r)
			}
		})
	}
}

func TestWrongServer(t *testing.T) {
	wants{"server", "is no host", "sip.example.test:5061"}.hold(t, diagnose.Server(t.Context(), diagnose.Config{Server: "sip.example.test:x"}))
}
