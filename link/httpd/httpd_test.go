package httpd_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/fault"
	"trivet/kit/life"
	"trivet/kit/log"
	"trivet/kit/metric"
	"trivet/link/httpd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func certificate(t *testing.T) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
	}, pool
}

type world struct {
	server *httpd.Server
	group  *life.Group
	url    string
	client *http.Client
}

func start(t *testing.T, ready func(context.Context) map[string]string, mount func(*httpd.Server)) *world {
	t.Helper()
	get, pool := certificate(t)
	w := &world{group: life.New(context.Background(), log.Discard())}
	w.server = httpd.New(httpd.Config{Addr: "127.0.0.1:0", GetCertificate: get, Log: log.Discard(), Metrics: metric.New(), Ready: ready})
	if mount != nil {
		mount(w.server)
	}
	addr, err := w.server.Start(t.Context(), w.group)
	if err != nil {
		t.Fatal(err)
	}
	w.url = "https://" + addr.String()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	w.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := w.group.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) get(t *testing.T, path string) (int, string) {
	t.Helper()
	res, err := w.client.Get(w.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestHealthMetricsPanicAndConn(t *testing.T) {
	problems := map[string]string{"sip": "the listener is not open yet"}
	w := start(t, func(context.Context) map[string]string { return problems }, func(s *httpd.Server) {
		s.Mount("GET /panic", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }))
		s.Mount("GET /count", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := httpd.ConnOf(r.Context())
			n, _ := c.Value("n").(int)
			c.SetValue("n", n+1)
			fmt.Fprint(w, n)
		}))
	})
	for _, c := range []struct {
		path, want string
		status     int
	}{
		{"/health/live", `{"status":"ok"}`, 200}, {"/health/ready", `"sip":"the listener`, 503}, {"/nothing", "404", 404},
		{"/panic", `"detail":"The server failed; its log says why."`, 500}, {"/count", "0", 200}, {"/count", "1", 200},
		{"/metrics", `trivet_http_requests_total{class="5xx",method="GET"} 2`, 200},
	} {
		if status, body := w.get(t, c.path); status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("GET %s = %d %s, want %d with %s", c.path, status, body, c.status, c.want)
		}
	}
	problems = nil
	if status, body := w.get(t, "/health/ready"); status != 200 {
		t.Errorf("ready: %d %s", status, body)
	}
}

func TestWeakTLSIsRefused(t *testing.T) {
	w := start(t, func(context.Context) map[string]string { return nil }, nil)
	for name, conf := range map[string]*tls.Config{
		"TLS 1.1":          {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"RSA key exchange": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}},
	} {
		conf.InsecureSkipVerify = true
		c, err := tls.Dial("tcp", strings.TrimPrefix(w.url, "https://"), conf)
		if err == nil {
			c.Close()
			t.Errorf("%s was taken", name)
		}
	}
}

func TestProblem(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	httpd.Problem(w, &fault.Error{Kind: fault.Overload, Text: "Too busy.", RetryAfter: 1500 * time.Millisecond})
	var p map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if w.Code != 503 || w.Header().Get("Retry-After") != "2" || p["detail"] != "Too busy." || p["kind"] != "overload" {
		t.Errorf("got %d %v %v", w.Code, w.Header(), p)
	}
	w = httptest.NewRecorder()
	httpd.Problem(w, fault.Newf(fault.Internal, "x", "table users, row 7"))
	if w.Code != 500 || strings.Contains(w.Body.String(), "row 7") {
		t.Errorf("an internal text shows: %s", w.Body)
	}
}

func TestLocalSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	if err := os.WriteFile(path, nil, 0o600); err != nil { // left by a dead process
		t.Fatal(err)
	}
	g := life.New(context.Background(), log.Discard())
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "here") })
	if err := httpd.Local(t.Context(), g, path, h, log.Discard()); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", st.Mode(), err)
	}
	if err := httpd.Local(t.Context(), g, path, h, log.Discard()); !fault.Is(err, fault.Exists) {
		t.Errorf("a second server in the folder: %v, want fault.Exists", err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	res, err := (&http.Client{Transport: transport}).Get("http://local/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	transport.CloseIdleConnections()
	if err := g.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket stays after the stop")
	}
}
