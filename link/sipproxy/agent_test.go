package sipproxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/test/sipagent"
	"trivet/wire/sip"
)

// agent is a user agent on a socket.
type agent struct {
	t    testing.TB
	name string
	nc   net.Conn
	in   sipagent.Stream
	via  string
}

// world is a server with a registrar that keeps every endpoint of a user.
type world struct {
	layer *siptrans.Layer
	proxy *Proxy
	addr  map[string]string
	users map[string][]Target // written by REGISTER before anybody reads
	gruu  map[string]Target
}

func newWorld(t testing.TB, cfg siptrans.Config) *world {
	w := &world{addr: map[string]string{}, users: map[string][]Target{}, gruu: map[string]Target{}}
	forward := func(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
		if w.proxy.InDialog(r.Message) || strings.Contains(r.RequestURI, ";gruu") {
			return w.proxy.Serve(ctx, r)
		}
		w.proxy.Forward(r.Tx, Forward{Targets: w.users[userOf(r.RequestURI)]})
		return nil, nil
	}
	routes := []sipmux.Route{{Method: "REGISTER", Doc: "binds", Serve: func(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
		to, _ := r.To()
		t := Target{Conn: r.Conn, Server: r.Get("X-Server") != ""}
		w.users[userOf(to.URI)] = append(w.users[userOf(to.URI)], t)
		w.gruu[userOf(to.URI)] = t
		return r.Reply(200, ""), nil
	}}}
	for _, m := range []string{"INVITE", "ACK", "BYE", "INFO", "MESSAGE"} {
		routes = append(routes, sipmux.Route{Method: m, Doc: "goes on", Quick: true, Serve: forward})
	}
	mux, err := sipmux.New(sipmux.Config{Routes: routes})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Handler = mux
	w.layer = siptrans.New(cfg)
	w.proxy = New(Config{Layer: w.layer, Resolve: func(_ context.Context, uri string, _ *sipmux.Request) ([]Target, error) {
		if t, ok := w.gruu[userOf(uri)]; ok && strings.Contains(uri, ";gruu") {
			return []Target{t}, nil
		}
		return nil, nil
	}})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		w.layer.Close(ctx)
	})
	conf := selfSigned(t)
	for _, n := range []string{"tcp", "tls", "udp"} {
		a, err := w.layer.Listen(context.Background(), siptrans.Listener{Network: n, Addr: "127.0.0.1:0", TLS: conf})
		if err != nil {
			t.Fatal(err)
		}
		w.addr[n] = a.String()
	}
	return w
}

// sign makes an agent and registers it.
func (w *world) sign(t testing.TB, network, name string, extra ...string) *agent {
	t.Helper()
	var nc net.Conn
	var err error
	if network == "tls" {
		nc, err = tls.Dial("tcp", w.addr[network], &tls.Config{InsecureSkipVerify: true})
	} else {
		nc, err = net.Dial(network, w.addr[network])
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(15 * time.Second))
	a := &agent{t, name, nc, sipagent.Stream{From: nc}, "SIP/2.0/" + strings.ToUpper(network) + " 127.0.0.1"}
	a.request("REGISTER", "sip:example.test", name, 1, extra...)
	a.want(200)
	return a
}

func (a *agent) send(s string) {
	a.t.Helper()
	if _, err := io.WriteString(a.nc, s); err != nil {
		a.t.Fatal(err)
	}
}

// request sends a request with a branch made of method and number.
func (a *agent) request(method, uri, to string, seq int, extra ...string) {
	a.t.Helper()
	for i := range extra {
		extra[i] += "\r\n"
	}
	all := strings.Join(extra, "")
	toTag := ""
	if strings.Contains(all, "Route: ") {
		toTag = ";tag=" + to
	}
	hops := "Max-Forwards: 70\r\n"
	if strings.Contains(all, "Max-Forwards") {
		hops = ""
	}
	a.send(fmt.Sprintf("%s %s SIP/2.0\r\nVia: %s;branch=z9hG4bK%s%d%s\r\n%sFrom: <sip:%s@example.test>;tag=%s\r\nTo: <sip:%s@example.test>%s\r\nCall-ID: c1\r\nCSeq: %d %s\r\n%sContent-Length: 0\r\n\r\n",
		method, uri, a.via, strings.Replace(method, "CANCEL", "INVITE", 1), seq, a.name, hops, a.name, a.name, to, toTag, seq, method, all))
}

// reply answers req; the To tag is the agent's name.
func (a *agent) reply(req *sip.Message, status int, extra ...string) {
	a.t.Helper()
	res := sip.NewResponse(req, status, "")
	if to := res.Get("To"); !strings.Contains(to, "tag=") {
		res.Set("To", to+";tag="+a.name)
	}
	res.Add("Contact", "<sip:"+a.name+"@host.invalid;opaque=user:epid:x;gruu>")
	for _, e := range extra {
		n, v, _ := strings.Cut(e, ": ")
		res.Add(n, v)
	}
	a.send(res.String())
}

func (a *agent) recv() *sip.Message {
	a.t.Helper()
	if _, udp := a.nc.(*net.UDPConn); udp {
		b := make([]byte, 64<<10)
		n, err := a.nc.Read(b)
		if err != nil {
			a.t.Fatalf("%s: %v", a.name, err)
		}
		m, _ := sip.Parse(b[:n])
		return m
	}
	m, err := a.in.Next()
	if err != nil {
		a.t.Fatalf("%s waits for a message: %v", a.name, err)
	}
	return m
}

// want receives a response with the status, 100s apart.
func (a *agent) want(status int) *sip.Message {
	a.t.Helper()
	for {
		m := a.recv()
		if m.Status == 100 && status != 100 {
			continue
		}
		if m.Status != status {
			a.t.Fatalf("%s: got %s, want %d", a.name, m, status)
		}
		return m
	}
}

// wantRequest receives a request with the method.
func (a *agent) wantRequest(method string) *sip.Message {
	a.t.Helper()
	if m := a.recv(); m.Method == method {
		return m
	} else {
		a.t.Fatalf("%s: got %s, want a %s", a.name, m, method)
	}
	return nil
}

// routes makes the Route lines of the caller from a response.
func routes(res *sip.Message, reverse bool) (out []string) {
	for v := range res.All("Record-Route") {
		for item := range sip.Split(v) {
			out = append(out, "Route: "+item)
		}
	}
	if reverse {
		for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
			out[i], out[j] = out[j], out[i]
		}
	}
	return out
}
