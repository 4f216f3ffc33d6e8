package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// open connects to addr from a source address.
func open(t *testing.T, addr, from netip.AddrPort) net.Conn {
	t.Helper()
	nc, err := (&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from), Timeout: patience}).Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// ended waits for the end of a connection and returns what came before it.
func ended(nc net.Conn, limit time.Duration) (said []byte, ok bool) {
	nc.SetReadDeadline(time.Now().Add(limit))
	said, err := io.ReadAll(nc)
	return said, !errors.Is(err, os.ErrDeadlineExceeded)
}

const half = "REGISTER sip:" + domain + " SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <" + alice + ">;tag=1\r\nTo: <" + alice + ">\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n"

// TestSlowStrangers: whoever has not signed in by limits.sign-in-time goes,
// whether silent, slow, or chatting about nothing.
func TestSlowStrangers(t *testing.T) {
	s := Start(t, "limits.sign-in-time=2s")
	options := func(n int) string {
		return fmt.Sprintf("OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK%d\r\nFrom: <%s>;tag=1\r\nTo: <%s>\r\nCall-ID: 1\r\nCSeq: %d OPTIONS\r\nContent-Length: 0\r\n\r\n", domain, n, alice, alice, n)
	}
	const upgrade = "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nX: "
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
	var all sync.WaitGroup
	for _, c := range []struct {
		name  string
		addr  netip.AddrPort
		first string
		drip  func(n int) string // nil: nothing more
		limit time.Duration
	}{
		{"silent TCP", s.TCP, "", nil, 4 * time.Second},
		{"head by drops", s.TCP, half, func(int) string { return "x" }, 4 * time.Second},
		{"lines by drops", s.TCP, half, func(n int) string { return fmt.Sprintf("X-%d: y\r\n", n) }, 4 * time.Second},
		{"body by drops", s.TCP, half + "Content-Length: 100000\r\n\r\n", func(int) string { return "x" }, 4 * time.Second},
		{"chatter", s.TCP, "", options, 4 * time.Second},
		{"keep-alives", s.TCP, "", func(int) string { return "\r\n\r\n" }, 4 * time.Second},
		{"silent TLS", s.TLS, "", nil, 13 * time.Second},
		{"half a hello", s.TLS, hello, func(int) string { return "x" }, 13 * time.Second},
		{"not TLS", s.TLS, half, nil, 13 * time.Second},
		{"half an upgrade", s.WS, upgrade, func(int) string { return "x" }, 13 * time.Second},
		{"silent WSS", s.WSS, "", nil, 13 * time.Second},
		{"silent HTTPS", s.HTTPS, "", nil, 13 * time.Second},
		{"half a hello for HTTPS", s.HTTPS, hello, func(int) string { return "x" }, 13 * time.Second},
	} {
		nc := open(t, c.addr, netip.AddrPort{})
		all.Go(func() {
			begin := time.Now()
			io.WriteString(nc, c.first)
			done := make(chan struct{})
			if c.drip != nil {
				go func() {
					tick := time.NewTicker(50 * time.Millisecond)
					defer tick.Stop()
					for n := 1; ; n++ {
						select {
						case <-done:
							return
						case <-tick.C:
							io.WriteString(nc, c.drip(n))
						}
					}
				}()
			}
			_, ok := ended(nc, c.limit+5*time.Second)
			close(done)
			if took := time.Since(begin); !ok || took > c.limit {
				t.Errorf("%s: ended %v after %v, want within %v", c.name, ok, took, c.limit)
			} else {
				t.Logf("%-24s ended after %v", c.name, took.Round(100*time.Millisecond))
			}
		})
	}
	a := s.SignIn(t, "tcp", alice)
	all.Wait()
	if res := a.Do(a.Request("OPTIONS", "sip:"+domain, "<sip:"+domain+">")); res.Status != 200 {
		t.Errorf("who signed in: %d", res.Status)
	}
}

// TestOversize: what is larger than the limits is refused and costs no more than
// they say.
func TestOversize(t *testing.T) {
	s := shared(t)
	const end = "\r\n\r\n"
	for _, c := range []struct {
		name, say string
		want      string // how the answer begins
		closed    bool
	}{
		{"head", half + "X: " + strings.Repeat("x", 100<<10) + "\r\nContent-Length: 0" + end, "SIP/2.0 513", true},
		{"head without lines", strings.Repeat("x", 100<<10), "", true},
		{"declared body", half + "Content-Length: 10000000" + end, "SIP/2.0 513", true},
		{"declared body beyond numbers", half + "Content-Length: 99999999999999999999" + end, "SIP/2.0 513", true},
		{"header lines", half + strings.Repeat("X: y\r\n", 5000) + "Content-Length: 0" + end, "SIP/2.0 513", false},
		{"Via values", half + "Via: " + strings.Repeat("SIP/2.0/TCP h;branch=z9hG4bK2, ", 1500) + "SIP/2.0/TCP h\r\nMax-Forwards: 70\r\nContent-Length: 0" + end, "SIP/2.0 4", false},
		{"credentials", half + strings.Repeat(`Authorization: Digest realm="SIP Communications Service"`+"\r\n", 200) + "Content-Length: 0" + end, "SIP/2.0 40", false},
	} {
		nc := open(t, s.TCP, netip.AddrPort{})
		before := allocated()
		if _, err := io.WriteString(nc, c.say); err != nil && !c.closed {
			t.Fatalf("%s: %v", c.name, err)
		}
		limit := patience
		if !c.closed {
			limit = time.Second
		}
		said, closed := ended(nc, limit)
		if !strings.HasPrefix(string(said), c.want) || closed != c.closed {
			t.Errorf("%s: closed %v, answered %.300q", c.name, closed, said)
		}
		if cost := allocated() - before; cost > 16<<20 {
			t.Errorf("%s costs %d KiB", c.name, cost>>10)
		}
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: s.Trust()}}
	defer web.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+s.HTTPS.String()+"/health/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X", strings.Repeat("x", 100<<10))
	if res, err := web.Do(req); err != nil || res.StatusCode != 431 {
		t.Errorf("a header of 100 KiB: %v %v", res, err)
	}
	for _, path := range []string{"/WebTicket/WebTicketService.svc", "/CertProv/CertProvisioningService.svc", "/api/cmdlet/Get-CsUser"} {
		before := allocated()
		res, err := web.Post("https://"+s.HTTPS.String()+path, "text/xml", io.LimitReader(endless{}, 50<<20))
		if err == nil && res.StatusCode < 400 {
			t.Errorf("%s takes 50 MiB: %d", path, res.StatusCode)
		}
		if cost := allocated() - before; cost > 32<<20 {
			t.Errorf("%s: a large body costs %d KiB", path, cost>>10)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestManyConnections: one source opens as many connections as it likes; it gets
// limits.strangers, and another source signs in meanwhile.
func TestManyConnections(t *testing.T) {
	const strangers, attempts = 500, 100000
	s := Start(t, "limits.strangers=500")
	from := netip.AddrPortFrom(freshSource(), 0)
	before := heap()
	d := &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(from), Timeout: patience}
	var workers sync.WaitGroup
	var failed atomic.Int64
	begin := time.Now()
	for range 4 {
		workers.Go(func() {
			var held []net.Conn
			for range attempts / 4 {
				nc, err := d.Dial("tcp", s.TCP.String())
				if err != nil {
					failed.Add(1)
					continue
				}
				nc.(*net.TCPConn).SetLinger(0)
				if len(held) < strangers/4 {
					held = append(held, nc)
					continue
				}
				nc.Close()
			}
			for _, nc := range held {
				nc.Close()
			}
		})
	}
	slowest := time.Duration(0)
	busy := make(chan struct{})
	go func() { workers.Wait(); close(busy) }()
	for n := 0; ; n++ {
		select {
		case <-busy:
		default:
			start := time.Now()
			a := s.DialFrom(t, "tcp", freshSource())
			s.Become(a, alice)
			if res := a.Do(a.Request("REGISTER", "sip:"+domain, "<"+alice+">")); res.Status != 200 {
				t.Errorf("another source is refused: %d", res.Status)
			}
			a.Close()
			slowest = max(slowest, time.Since(start))
			continue
		}
		t.Logf("%d attempts (%d failed here) in %v; %d sign-ins from elsewhere meanwhile, the slowest in %v; heap %+d KiB",
			attempts, failed.Load(), time.Since(begin).Round(time.Millisecond), n, slowest.Round(time.Millisecond), (int64(heap())-int64(before))>>10)
		break
	}
	if failed.Load() > attempts/10 {
		t.Errorf("%d attempts did not leave this computer", failed.Load())
	}
	if slowest > 10*time.Second {
		t.Errorf("a sign-in took %v", slowest)
	}
	if now := heap(); now > before+64<<20 {
		t.Errorf("the heap has grown from %d to %d KiB", before>>10, now>>10)
	}
}

// TestMemoryOfStrangers measures a connection that has not signed in, both ends
// and stacks included.
func TestMemoryOfStrangers(t *testing.T) {
	const n = 1000
	s := Start(t, "limits.strangers=5000")
	inUse := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	big := half + "X: " + strings.Repeat("x", 60000)
	for _, c := range []struct {
		name  string
		say   string
		tls   bool
		bound uint64 // KiB
	}{
		{"TCP, silent", "", false, 16},
		{"TCP, after an OPTIONS", "OPTIONS sip:" + domain + " SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <" + alice + ">;tag=1\r\nTo: <" + alice + ">\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", false, 24},
		{"TCP, 60 KB of a head", big, false, 200},
		{"TCP, 60 KB of a head and 60 KB of a body", big + "\r\nContent-Length: 65000\r\n\r\n" + strings.Repeat("x", 60000), false, 400},
		{"TCP, 240 KB of a body", half + "Content-Length: 250000\r\n\r\n" + strings.Repeat("x", 240000), false, 16}, // refused at its head
		{"TLS, silent", "", true, 80},
	} {
		conns := make([]net.Conn, 0, n)
		before := inUse()
		for range n {
			addr := s.TCP
			if c.tls {
				addr = s.TLS
			}
			nc, err := net.Dial("tcp", addr.String())
			if err != nil {
				t.Fatal(err)
			}
			if c.tls {
				tc := tls.Client(nc, s.Trust())
				if err := tc.Handshake(); err != nil {
					t.Fatal(err)
				}
				nc = tc
			}
			io.WriteString(nc, c.say) // the server may have refused it halfway
			conns = append(conns, nc)
		}
		a := s.DialFrom(t, "tcp", freshSource()) // what was sent before has been read
		a.User = alice
		for range 50 {
			a.Do(a.Request("OPTIONS", "sip:"+domain, "<sip:"+domain+">"))
		}
		a.Close()
		each := max(inUse(), before) - before
		each /= n
		t.Logf("%-41s %5.1f KiB each", c.name, float64(each)/1024)
		if each > c.bound<<10 {
			t.Errorf("%s: %d KiB each, want at most %d", c.name, each>>10, c.bound)
		}
		for _, nc := range conns {
			nc.Close()
		}
	}
}
