package durability

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trivet/service/auth"
	"trivet/wire/soap"
)

// web does what a device does over HTTPS to get a certificate.
type web struct {
	*server
	client  *http.Client
	message int
}

func (s *server) web(t *testing.T) *web {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(s.data, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: fqdn},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", s.at(8443))
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &web{server: s, client: &http.Client{Transport: tr, Timeout: patience}}
}

func (w *web) do(t *testing.T, req *http.Request) []byte {
	t.Helper()
	res, err := w.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%s: %d %v\n%s", req.URL, res.StatusCode, err, b)
	}
	return b
}

// port reads the description of a service.
func (w *web) port(t *testing.T, path, name string) soap.Port {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+fqdn+":8443"+path+"/mex", nil)
	if err != nil {
		t.Fatal(err)
	}
	p, ok, err := soap.FindPort(w.do(t, req), name)
	if !ok || err != nil {
		t.Fatalf("%s has no port %s: %v", path, name, err)
	}
	return p
}

func (w *web) post(t *testing.T, url, action, user string, security, body []byte) []byte {
	t.Helper()
	w.message++
	doc := soap.AppendRequest(nil, soap.Headers{To: url, Action: action, MessageID: fmt.Sprintf("uuid:%d-%s", w.message, rand.Text()), Security: security}, body)
	req, err := http.NewRequestWithContext(t.Context(), "POST", url, bytes.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("SOAPAction", `"`+action+`"`)
	req.Header.Set("Content-Type", "text/xml")
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	return w.do(t, req)
}

// issue gets a certificate for a key of user's device and returns its serial
// number.
func (w *web) issue(t *testing.T, user, device string, csr []byte) string {
	t.Helper()
	prov := w.port(t, auth.ProvPath, "CertProvisioningServiceWebTicketProof_SHA1")
	login := w.port(t, auth.TicketPath, "WebTicketServiceWinNegotiate")
	entropy := make([]byte, sha1.Size)
	rand.Read(entropy)
	ask := soap.TicketRequest{Context: "c", AppliesTo: prov.Location, Claim: "sip:" + user, Entropy: entropy}.Append(nil)
	ticket, err := soap.ParseTicketResponse(w.post(t, login.Location, soap.ActionIssue, user, nil, ask))
	if err != nil {
		t.Fatal(err)
	}
	x, err := soap.Parse(ticket.Assertion)
	if err != nil {
		t.Fatal(err)
	}
	security := soap.AppendSecurity(nil, ticket.Assertion, x.Attr("AssertionID"), soap.ProofKey(entropy, ticket.Entropy), ticket.Created, ticket.Expires)
	body := soap.PublishRequest{DeviceID: device, Entity: user, PKCS10: csr, RequestID: "1"}.Append(nil)
	res, err := soap.ParsePublishResponse(w.post(t, prov.Location, soap.ActionPublish, "", security, body))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(res.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ToUpper(hex.EncodeToString(cert.SerialNumber.Bytes()))
}

// serials are the valid certificates of a user by device.
func (s *server) serials(t *testing.T, user string) map[string]string {
	t.Helper()
	var list []struct{ DeviceId, SerialNumber string }
	if err := json.Unmarshal(s.must(t, "Get-CsClientCertificate", user, "-As", "json"), &list); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, c := range list {
		all[c.DeviceId] = strings.TrimLeft(c.SerialNumber, "0")
	}
	return all
}

// TestCertificatesOutliveTheServer kills the server at once after a certificate
// was issued, and after one was revoked.
func TestCertificatesOutliveTheServer(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.run(t)
	user := "holder@" + domain
	s.must(t, "New-CsUser", user, "-Password", password)
	want := map[string]string{}
	for i := range 3 {
		device := fmt.Sprintf("{device-%d}", i)
		csr := request(t)
		want[device] = strings.TrimLeft(s.web(t).issue(t, user, device, csr), "0")
		s.process.Kill()
		s.run(t)
		if got := s.serials(t, user); len(got) != len(want) || got[device] != want[device] {
			t.Fatalf("issued were %v, after the restart there are %v", want, got)
		}
	}
	s.must(t, "Revoke-CsClientCertificate", user, "-DeviceId", "{device-1}", "-Confirm:$false")
	s.process.Kill()
	s.run(t)
	delete(want, "{device-1}")
	if got := s.serials(t, user); len(got) != 2 || got["{device-1}"] != "" {
		t.Errorf("left were %v, after the restart there are %v", want, got)
	}
}

// request is a PKCS#10 request for a new key.
func request(t *testing.T) []byte {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}
