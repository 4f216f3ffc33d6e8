package admin_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trivet/admin/client"
	"trivet/kit/clock"
	"trivet/kit/life"
	"trivet/kit/log"
	"trivet/kit/metric"
	"trivet/link/httpd"
	"trivet/link/pki"
	"trivet/test/sipstub"
	"trivet/uc"
)

// authority makes the certificates of a server in the data folder.
func (s *site) authority() *pki.Authority {
	s.Helper()
	a, err := pki.Open(pki.Config{Dir: s.data, Names: pki.Names{Server: sipstub.FQDN, Pool: sipstub.FQDN, Domains: []string{"example.test"}}, Clock: clock.Real{}, Log: log.Discard()})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { a.Close() })
	return a
}

func TestSyntheticTransactionOverTLS(t *testing.T) {
	s := &site{T: t, data: t.TempDir()}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.authority().GetCertificate}
	stub := sipstub.Start(t, map[uc.UserURI]string{"sip:alice@example.test": "correct"}, conf)
	_, port, err := net.SplitHostPort(stub.Addr)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"127.0.0.1", "-RegistrarPort", port, "-UserSipAddress", "alice@example.test", "-UserCredential", "correct"}
	if row, errs, status := s.synthetic("", "Test-CsRegistration", args...); status != client.Done || row.TargetFqdn != "127.0.0.1" {
		t.Errorf("%d %+v %s", status, row, errs)
	}
	if err := os.Remove(filepath.Join(s.data, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	if row, _, status := s.synthetic("", "Test-CsRegistration", args...); status != client.Failed || !strings.Contains(row.Error, "unknown authority") {
		t.Errorf("an authority that is not trusted: %d %+v", status, row)
	}
}

// TestWebTransactionAtTheSIPPort: whoever names a port that is none of the web is told
// so, and soon.
func TestWebTransactionAtTheSIPPort(t *testing.T) {
	t.Parallel()
	s := &site{T: t, data: t.TempDir()}
	for name, conf := range map[string]*tls.Config{
		"TLS": {MinVersion: tls.VersionTLS12, GetCertificate: s.authority().GetCertificate}, "TCP": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &site{T: t, data: s.data}
			stub := sipstub.Start(t, nil, conf)
			start := time.Now()
			row, errs, status := s.synthetic("", "Test-CsAddressBookWebQuery", stub.Addr, "-UserSipAddress", "alice@example.test", "-UserCredential", "correct")
			if status != client.Failed || !strings.Contains(row.Error, "HTTPS") || !strings.Contains(row.Diagnosis, "may be the SIP port") || !strings.Contains(row.Diagnosis, "8443") {
				t.Errorf("%d %+v %s", status, row, errs)
			}
			if took := time.Since(start); took > 20*time.Second { // 10 s for the first byte, and a busy machine
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestRemoteAdministrator(t *testing.T) {
	s := newSite(t)
	if _, errs, status := s.shell("", "New-CsUser", "root", "-Password", "correct horse"); status != 0 {
		t.Fatal(errs)
	}
	if _, errs, status := s.shell("", "Set-CsAdminRoleAssignment", "root", "-Role", "CsAdministrator"); status != 0 {
		t.Fatal(errs)
	}
	g := life.New(context.Background(), log.Discard())
	h := httpd.New(httpd.Config{Addr: "127.0.0.1:0", GetCertificate: s.authority().GetCertificate, Log: log.Discard(), Metrics: metric.New(),
		Ready: func(context.Context) map[string]string { return nil }})
	h.Mount("/api/cmdlet/", s.server.Remote())
	addr, err := h.Start(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	ca := filepath.Join(s.data, "ca.pem")
	for _, c := range []struct {
		target client.Target
		says   string
		status int
	}{
		{client.Target{Server: "https://" + addr.String(), User: "root", Password: "right", CA: ca}, "sip:root@example.test", client.Done},
		{client.Target{Server: addr.String(), User: "root", Password: "right", Data: s.data}, "sip:root@example.test", client.Done},
		{client.Target{Server: addr.String(), User: "root", Password: "wrong", CA: ca}, "Name or password is wrong.", client.Failed},
		{client.Target{Server: addr.String(), User: "root", Password: "right"}, "authority that is not trusted", client.NotReached},
		{client.Target{Server: addr.String(), User: "root", CA: ca}, "set TRIVET_PASSWORD", client.WrongUse},
	} {
		var out strings.Builder
		session := &client.Session{Target: c.target, In: strings.NewReader(""), Out: &out, Err: &out, Clock: stopped{}}
		if status := session.Run(t.Context(), "Get-CsUser", []string{"root"}); status != c.status || !strings.Contains(out.String(), c.says) {
			t.Errorf("%+v: %d %s", c.target, status, out.String())
		}
	}
}
