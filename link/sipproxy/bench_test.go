package sipproxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/wire/sip"
)

// registry is the smallest possible registrar: user part -> connection.
type registry struct{ users sync.Map }

func (g *registry) register(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
	to, err := r.To()
	if err != nil {
		return nil, err
	}
	g.users.Store(userOf(to.URI), r.Conn)
	return r.Reply(200, ""), nil
}

func (g *registry) find(uri string) []Target {
	if c, ok := g.users.Load(userOf(uri)); ok {
		return []Target{{Conn: c.(*siptrans.Conn)}}
	}
	return nil
}

// relayServer serves REGISTER and MESSAGE on both transports.
func relayServer(t testing.TB, cfg siptrans.Config) (l *siptrans.Layer, tcp, secure string) {
	g := &registry{}
	var p *Proxy
	mux, err := sipmux.New(sipmux.Config{Routes: []sipmux.Route{
		{Method: "REGISTER", Doc: "binds", Serve: g.register},
		{Method: "MESSAGE", Quick: true, Doc: "relays", Serve: func(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
			p.Forward(r.Tx, Forward{Targets: g.find(r.RequestURI)})
			return nil, nil
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Handler = mux
	l = siptrans.New(cfg)
	p = New(Config{Layer: l})
	open := func(network string) string {
		a, err := l.Listen(context.Background(), siptrans.Listener{Network: network, Addr: "127.0.0.1:0", TLS: selfSigned(t)})
		if err != nil {
			t.Fatal(err)
		}
		return a.String()
	}
	return l, open("tcp"), open("tls")
}

func selfSigned(t testing.TB) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fe"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// serverEnv makes the test binary a server of its own, so that its CPU time and
// memory can be told from those of the load.
const serverEnv = "TRIVET_RELAY_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverEnv) != "" {
		serve()
		return
	}
	os.Exit(m.Run())
}

// serve prints its addresses, then CPU seconds and resident kilobytes for each
// line on standard input.
func serve() {
	l, tcp, secure := relayServer(&testing.B{}, siptrans.Config{})
	fmt.Println(tcp, secure)
	if f := os.Getenv("TRIVET_PROFILE"); f != "" {
		out, _ := os.Create(f)
		pprof.StartCPUProfile(out)
		defer pprof.StopCPUProfile()
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() == "gc" {
			runtime.GC()
		}
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		fmt.Println(time.Duration(u.Utime.Nano()+u.Stime.Nano()).Seconds(), resident())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	l.Close(ctx)
}

func resident() (kb int) {
	b, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(b), "VmRSS:")
	kb, _ = strconv.Atoi(strings.Fields(rest)[0])
	return kb
}

// remote is such a server process.
type remote struct {
	tcp, secure string
	in          io.WriteCloser
	out         *bufio.Scanner
}

func spawn(t testing.TB) *remote {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverEnv+"=1")
	cmd.Stderr = os.Stderr
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	r := &remote{in: in, out: bufio.NewScanner(out)}
	r.out.Scan()
	fmt.Sscan(r.out.Text(), &r.tcp, &r.secure)
	return r
}

func (r *remote) usage(what string) (cpu float64, kb int) {
	fmt.Fprintln(r.in, what)
	r.out.Scan()
	fmt.Sscan(r.out.Text(), &cpu, &kb)
	return
}

// load is a client that sends to the next one and answers what it gets.
type load struct {
	nc    net.Conn
	me    int
	to    int
	seq   int
	done  func() bool // counts an answer; true to send another message
	reply []byte
}

func connect(t testing.TB, network, addr string) net.Conn {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if network == "tls" {
		return tls.Client(nc, &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true})
	}
	return nc
}

func (c *load) register(t testing.TB) {
	fmt.Fprintf(c.nc, "REGISTER sip:example.test SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bKr%d\r\nMax-Forwards: 70\r\n"+
		"From: <sip:u%d@example.test>;tag=1;epid=0123456789\r\nTo: <sip:u%d@example.test>\r\nCall-ID: r%d\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n", c.me, c.me, c.me, c.me)
	b := make([]byte, 4096)
	if n, err := c.nc.Read(b); err != nil || !bytes.HasPrefix(b[:n], []byte("SIP/2.0 200")) {
		t.Errorf("REGISTER: %q, %v", b[:n], err)
	}
}

var body = strings.Repeat("a line of text that somebody typed. ", 8)

func (c *load) send() {
	c.seq++
	b := make([]byte, 0, 1024)
	b = fmt.Appendf(b, "MESSAGE sip:u%d@example.test SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1:5060;branch=z9hG4bK%x.%x\r\nMax-Forwards: 70\r\n"+
		"From: <sip:u%d@example.test>;tag=4944537669;epid=a1b2c3d4e5f6\r\nTo: <sip:u%d@example.test>\r\nCall-ID: 59B7gA1C2a3344i5566m7788tCF2EbA1B2x%dx\r\n"+
		"CSeq: %d MESSAGE\r\nUser-Agent: UCCAPI/4.0.7577.0 OC/4.0.7577.0 (Microsoft Lync 2010)\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: %d\r\n\r\n%s",
		c.to, c.me, c.seq, c.me, c.to, c.me, c.seq, len(body), body)
	c.nc.Write(b)
}

// run reads until the connection ends.
func (c *load) run() {
	buf := make([]byte, 16<<10)
	have := 0
	for {
		n, err := c.nc.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		rest := buf[:have]
		for {
			skip, size, err := sip.Frame(rest, sip.DefaultLimits)
			if err != nil || size == 0 {
				break
			}
			c.message(rest[skip : skip+size])
			rest = rest[skip+size:]
		}
		have = copy(buf, rest)
	}
}

func (c *load) message(m []byte) {
	if bytes.HasPrefix(m, []byte("SIP/2.0 ")) {
		if c.done() {
			c.send()
		}
		return
	}
	c.reply = append(c.reply[:0], "SIP/2.0 200 OK\r\n"...)
	for line := range bytes.Lines(m) {
		switch {
		case len(line) <= 2:
			c.nc.Write(append(c.reply, "Content-Length: 0\r\n\r\n"...))
			return
		case bytes.HasPrefix(line, []byte("To:")):
			c.reply = append(append(c.reply, bytes.TrimSpace(line)...), ";tag=99\r\n"...)
		case line[0] == 'V' || line[0] == 'F' || bytes.HasPrefix(line, []byte("Call")) || bytes.HasPrefix(line, []byte("CSeq")):
			c.reply = append(c.reply, line...)
		}
	}
}

// benchRelay sends b.N messages over 1,000 connections, window of them under way.
func benchRelay(b *testing.B, network string, window int) {
	const users = 1000
	s := spawn(b)
	addr := s.tcp
	if network == "tls" {
		addr = s.secure
	}
	var left, answered atomic.Int64
	left.Store(int64(b.N))
	all := make(chan struct{})
	clients := make([]*load, users)
	for i := range clients {
		c := &load{nc: connect(b, network, addr), me: i, to: (i + users/2) % users}
		c.done = func() bool {
			if answered.Add(1) == int64(b.N) {
				close(all)
			}
			return left.Add(-1) >= 0
		}
		c.register(b)
		clients[i] = c
		go c.run()
	}
	defer func() {
		for _, c := range clients {
			c.nc.Close()
		}
	}()
	before, _ := s.usage("")
	b.ResetTimer()
	for i := range window {
		if left.Add(-1) >= 0 {
			clients[i%users].send()
		}
	}
	<-all
	b.StopTimer()
	after, _ := s.usage("")
	b.ReportMetric((after-before)/float64(b.N)*10000, "cpu-s/10k")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func BenchmarkRelayTCP(b *testing.B)      { benchRelay(b, "tcp", 1000) }
func BenchmarkRelayTLS(b *testing.B)      { benchRelay(b, "tls", 1000) }
func BenchmarkRelayTCPLight(b *testing.B) { benchRelay(b, "tcp", 16) }

// BenchmarkIdleTLS reports what a signed-in, idle TLS client costs the server
// process; the kernel's part comes on top.
func BenchmarkIdleTLS(b *testing.B) {
	const users = 4000
	s := spawn(b)
	for b.Loop() {
		_, before := s.usage("gc")
		conns := make([]net.Conn, users)
		for i := range conns {
			c := &load{nc: connect(b, "tls", s.secure), me: i}
			c.register(b)
			conns[i] = c.nc
		}
		s.usage("gc")
		s.usage("gc")
		_, after := s.usage("gc")
		b.ReportMetric(float64(after-before)/users, "KB/conn")
		for _, c := range conns {
			c.Close()
		}
	}
}
