package httpd_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"trivet/fault"
	"trivet/kit/life"
	"trivet/kit/log"
	"trivet/kit/metric"
	"trivet/link/httpd"
)

// bare opens a connection and shakes hands, from an address of this computer.
func (w *world) bare(t *testing.T, from string) (*tls.Conn, error) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	nc, err := d.Dial("tcp", strings.TrimPrefix(w.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	c := tls.Client(nc, w.client.Transport.(*http.Transport).TLSClientConfig.Clone())
	return c, c.HandshakeContext(t.Context())
}

func limited(t *testing.T, perSource int, mount func(*httpd.Server)) *world {
	t.Helper()
	get, pool := certificate(t)
	w := &world{group: life.New(context.Background(), log.Discard())}
	w.server = httpd.New(httpd.Config{Addr: "127.0.0.1:0", GetCertificate: get, Log: log.Discard(), Metrics: metric.New(), PerSource: perSource,
		Ready: func(context.Context) map[string]string { return nil }})
	if mount != nil {
		mount(w.server)
	}
	addr, err := w.server.Start(t.Context(), w.group)
	if err != nil {
		t.Fatal(err)
	}
	w.url = "https://" + addr.String()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}}
	w.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		w.group.Stop(context.Background())
	})
	return w
}

// TestConnectionsOfOneSource: an address holds what it may, another is served.
func TestConnectionsOfOneSource(t *testing.T) {
	const most = 20
	w := limited(t, most, nil)
	var held []*tls.Conn
	refused := 0
	for range 3 * most {
		c, err := w.bare(t, "127.0.0.7")
		if err != nil {
			refused++
			continue
		}
		held = append(held, c)
	}
	if len(held) != most || refused != 2*most {
		t.Errorf("%d connections are open, %d refused", len(held), refused)
	}
	res, err := w.client.Get(w.url + "/metrics") // from 127.0.0.1
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if want := fmt.Sprintf("http_rejected_total %d", 2*most); !strings.Contains(string(text), want) {
		t.Errorf("the metric does not say %q", want)
	}
	held[0].Close()
	for limit := time.Now().Add(10 * time.Second); ; {
		if _, err := w.bare(t, "127.0.0.7"); err == nil {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("a place that is free again is not given away")
		}
	}
}

// TestSlowHead: who does not finish the head of a request goes, however steadily
// its lines come.
func TestSlowHead(t *testing.T) {
	w := limited(t, 0, nil)
	c, err := w.bare(t, "127.0.0.8")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	go func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		fmt.Fprintf(c, "GET /health/live HTTP/1.1\r\nHost: h\r\n")
		for n := 0; ; n++ {
			<-tick.C
			if _, err := fmt.Fprintf(c, "X-%d: y\r\n", n); err != nil {
				return
			}
		}
	}()
	_, err = io.Copy(io.Discard, c)
	if took := time.Since(begin); took > 13*time.Second || err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("ended after %v: %v", took, err)
	}
}

// TestBodiesAreBounded: what a service takes ends at the limit, whether it was
// declared or not.
func TestBodiesAreBounded(t *testing.T) {
	got := make(chan int64, 1)
	w := limited(t, 0, func(s *httpd.Server) {
		s.Mount("POST /take", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			got <- n
			if err != nil {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			}
		}))
	})
	for _, body := range []io.Reader{strings.NewReader(strings.Repeat("x", 5<<20)), io.LimitReader(neverEnding('x'), 50<<20)} {
		res, err := w.client.Post(w.url+"/take", "text/plain", body)
		if err == nil && res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("answered %d", res.StatusCode)
		}
		if n := <-got; n > 4<<20 {
			t.Errorf("%d bytes were taken", n)
		}
	}
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

// TestIdleConnections: many idle connections cost little each.
func TestIdleConnections(t *testing.T) {
	const n = 300
	w := limited(t, n, nil)
	inUse := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	before := inUse()
	var last *tls.Conn
	for range n {
		c, err := w.bare(t, "127.0.0.9")
		if err != nil {
			t.Fatal(err)
		}
		last = c
	}
	fmt.Fprintf(last, "GET /health/live HTTP/1.1\r\nHost: h\r\n\r\n")
	if res, err := http.ReadResponse(bufio.NewReader(last), nil); err != nil || res.StatusCode != 200 {
		t.Errorf("a busy one among them: %v", err)
	}
	each := (max(inUse(), before) - before) / n
	t.Logf("%d KiB for both ends of an idle connection", each>>10)
	if each > 160<<10 {
		t.Errorf("%d KiB", each>>10)
	}
}

// TestOverloadSaysWhen: a 503 names a time to come back, another to each.
func TestOverloadSaysWhen(t *testing.T) {
	w := limited(t, 0, func(s *httpd.Server) {
		s.Mount("GET /busy", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			httpd.Problem(w, &fault.Error{Kind: fault.Overload, RetryAfter: 5 * time.Second})
		}))
		s.Mount("GET /silent", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	})
	for _, path := range []string{"/busy", "/silent"} {
		seen := map[int]bool{}
		for range 60 {
			res, err := w.client.Get(w.url + path)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			n, err := strconv.Atoi(res.Header.Get("Retry-After"))
			if err != nil || n < 5 || n > 15 {
				t.Fatalf("%s: Retry-After %q", path, res.Header.Get("Retry-After"))
			}
			seen[n] = true
		}
		if len(seen) < 3 {
			t.Errorf("%s: only %v", path, seen)
		}
	}
}
