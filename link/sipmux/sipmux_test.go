package sipmux

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"trivet/fault"
	"trivet/link/siptrans"
	"trivet/wire/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// claims authenticates by a header that says who one is.
type claims struct{}

func (claims) Authenticate(_ context.Context, r *Request) (*sip.Message, error) {
	switch r.Get("X-Role") {
	case "":
		res := r.Reply(401, "")
		res.Add("WWW-Authenticate", "Test")
		return res, nil
	case "user":
		r.User = "sip:alice@example.test"
	case "server":
		r.Role, r.Peer = Server, "fe2.example.test"
	case "partner":
		r.Role, r.Peer = Partner, "partner.test"
	case "liar":
		return nil, fault.New(fault.Forbidden, "test", "not with this address").Diagnosed(4004)
	}
	return nil, nil
}

// echo answers with who was seen.
func echo(_ context.Context, r *Request) (*sip.Message, error) {
	res := r.Reply(200, "")
	res.Add("X-Saw", fmt.Sprintf("%s %s%s", r.Role, r.User, r.Peer))
	return res, nil
}

// table has one row per caller and some with event and type.
func table() []Route {
	var rows []Route
	for _, who := range []Who{Anyone, User, Server, Partner} {
		rows = append(rows, Route{Method: "M" + strings.ToUpper(who.String()), Who: who, Doc: "for " + who.String(), Serve: echo})
	}
	return append(rows,
		Route{Method: "SUBSCRIBE", Event: "presence", Who: User, Doc: "watches", Serve: echo},
		Route{Method: "SUBSCRIBE", Event: "presence", Who: Partner, Doc: "watches from outside", Serve: echo},
		Route{Method: "SERVICE", Type: "application/soap+xml", Who: Anyone, Doc: "soap", Serve: echo},
		Route{Method: "ACK", Who: Anyone, Doc: "acknowledges", Serve: echo},
		Route{Method: "FAIL", Who: Anyone, Doc: "fails", Serve: fail},
	)
}

// fail returns the fault that the request names.
func fail(_ context.Context, r *Request) (*sip.Message, error) {
	if r.Get("X-Kind") == "foreign" {
		return nil, errors.New("secret text")
	}
	var kind int
	fmt.Sscan(r.Get("X-Kind"), &kind)
	e := fault.New(fault.Kind(kind), "test.fail", `a "quoted" sentence`)
	if fault.Kind(kind) == fault.Overload {
		e.RetryAfter = 1500 * time.Millisecond
	}
	return nil, e
}

// server listens on every transport.
func server(t *testing.T, rows []Route) map[string]string {
	t.Helper()
	mux, err := New(Config{Routes: rows, Auth: claims{}, FQDN: "FE1.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	l := siptrans.New(siptrans.Config{Handler: mux})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		l.Close(ctx)
	})
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "fe1"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	addrs := map[string]string{}
	for _, n := range siptrans.Transports {
		a, err := l.Listen(context.Background(), siptrans.Listener{Network: n, Addr: "127.0.0.1:0",
			TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}})
		if err != nil {
			t.Fatal(err)
		}
		addrs[n] = a.String()
	}
	return addrs
}

// ask connects to a transport and returns a function that sends one request and
// returns its answer.
func ask(t *testing.T, network, addr string) func(method string, extra ...string) *sip.Message {
	t.Helper()
	var rw io.ReadWriter
	switch network {
	case "tcp", "udp":
		nc, err := net.Dial(network, addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		rw = nc
	case "tls":
		nc, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		rw = nc
	default:
		rw = webSocket(t, network+"://"+addr)
	}
	br := bufio.NewReaderSize(rw, 64<<10)
	n := 0
	return func(method string, extra ...string) *sip.Message {
		t.Helper()
		n++
		head := strings.Join(extra, "\r\n")
		if head != "" {
			head += "\r\n"
		}
		fmt.Fprintf(rw, "%s sip:example.test SIP/2.0\r\nVia: SIP/2.0/X 127.0.0.1;branch=z9hG4bK%d\r\nFrom: <sip:alice@example.test>;tag=1;epid=ab\r\n"+
			"To: <sip:example.test>\r\nCall-ID: c\r\nCSeq: %d %s\r\n%sContent-Length: 0\r\n\r\n", method, n, n, method, head)
		if _, err := br.Peek(1); err != nil {
			t.Fatalf("%s over %s: %v", method, network, err)
		}
		b, _ := br.Peek(br.Buffered())
		m, err := sip.Parse(b)
		if err != nil {
			t.Fatalf("%s over %s: %q: %v", method, network, b, err)
		}
		if m.Get("Content-Length") == "" {
			t.Errorf("%s: no Content-Length", method)
		}
		br.Discard(len(b))
		return m
	}
}

func webSocket(t *testing.T, url string) io.ReadWriter {
	t.Helper()
	hc := webClient()
	t.Cleanup(hc.CloseIdleConnections)
	ws, _, err := websocket.Dial(context.Background(), url, &websocket.DialOptions{Subprotocols: []string{"sip"}, HTTPClient: hc})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); ws.CloseNow() })
	return websocket.NetConn(ctx, ws, websocket.MessageText)
}

// TestWhoMayAsk is every method, over every transport, by every kind of caller.
func TestWhoMayAsk(t *testing.T) {
	addrs := server(t, table())
	for _, network := range siptrans.Transports {
		t.Run(network, func(t *testing.T) {
			send := ask(t, network, addrs[network])
			for _, need := range whoNames {
				for _, role := range append([]string{"", "liar"}, whoNames[1:]...) {
					want := 403
					switch {
					case need == "anyone" || need == role:
						want = 200
					case role == "":
						want = 401
					}
					res := send("M"+strings.ToUpper(need), "X-Role: "+role)
					if res.Status != want {
						t.Errorf("route for %s, caller %q: got %d, want %d", need, role, res.Status, want)
					}
					if want == 403 && !strings.Contains(res.Get("ms-diagnostics"), `source="fe1.example.test"`) {
						t.Errorf("403 without diagnostics: %s", res)
					}
					if saw := res.Get("X-Saw"); want == 200 && !strings.HasPrefix(saw, need) {
						t.Errorf("route for %s was run as %q", need, saw)
					}
				}
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	send := ask(t, "tcp", server(t, table())["tcp"])
	for _, c := range []struct {
		name, method string
		extra        []string
		want         int
		header, has  string
	}{
		{"unknown method", "NONSENSE", nil, 405, "Allow", "SUBSCRIBE"},
		{"unknown event", "SUBSCRIBE", []string{"Event: dance"}, 489, "Allow-Events", "presence"},
		{"no event", "SUBSCRIBE", nil, 489, "Allow-Events", "presence"},
		{"unknown type", "SERVICE", []string{"Content-Type: text/plain"}, 415, "Accept", "application/soap+xml"},
		{"known type with parameters", "SERVICE", []string{"Content-Type: Application/SOAP+xml;charset=utf-8"}, 200, "", ""},
		{"unknown extension", "MANYONE", []string{"Require: adhoclist, moon", "Proxy-Require: sun"}, 420, "Unsupported", "moon, sun"},
		{"known extensions", "MANYONE", []string{"Require: adhoclist, categoryList", "Require: ms-benotify, eventlist, gruu-10"}, 200, "", ""},
		{"two callers, first", "SUBSCRIBE", []string{"Event: presence", "X-Role: user"}, 200, "X-Saw", "user"},
		{"two callers, second", "SUBSCRIBE", []string{"Event: Presence;x=1", "X-Role: partner"}, 200, "X-Saw", "partner.test"},
		{"two callers, neither", "SUBSCRIBE", []string{"Event: presence", "X-Role: server"}, 403, "ms-diagnostics", "4002"},
		{"options", "OPTIONS", nil, 200, "Allow", "OPTIONS"},
	} {
		res := send(c.method, c.extra...)
		if res.Status != c.want || c.header != "" && !strings.Contains(res.Get(c.header), c.has) {
			t.Errorf("%s: got\n%s", c.name, res)
		}
	}
}

func TestFaults(t *testing.T) {
	send := ask(t, "tcp", server(t, table())["tcp"])
	for kind, row := range statuses {
		res := send("FAIL", fmt.Sprint("X-Kind: ", kind))
		text := `reason="a \"quoted\" sentence"`
		if fault.Kind(kind) == fault.Internal {
			text = `reason="Server Internal Error"`
		}
		if d := res.Get("ms-diagnostics"); res.Status != row.status || d != fmt.Sprintf(`%d;%s;source="fe1.example.test"`, row.diag, text) {
			t.Errorf("kind %s: got %d, %s", fault.Kind(kind), res.Status, d)
		}
	}
	times := map[string]bool{}
	for range 100 {
		v := send("FAIL", "X-Kind: "+fmt.Sprint(int(fault.Overload))).Get("Retry-After")
		if n, err := strconv.Atoi(v); err != nil || n < 5 || n > 15 {
			t.Fatalf("Retry-After %q", v)
		}
		times[v] = true
	}
	if len(times) < 3 {
		t.Errorf("everybody is told to come back together: %v", times)
	}
	if res := send("FAIL", "X-Kind: foreign"); res.Status != 500 || strings.Contains(res.String(), "secret") {
		t.Errorf("a foreign error is shown: %s", res)
	}
	if Status(fault.Kind(200)) != 500 {
		t.Error("an unknown kind is not internal")
	}
}

func TestBadTables(t *testing.T) {
	row := Route{Method: "INFO", Doc: "x", Serve: echo}
	with := func(f func(*Route)) Route { r := row; f(&r); return r }
	for _, c := range []struct {
		name string
		rows []Route
		want fault.Kind
	}{
		{"twice", []Route{row, row}, fault.Exists},
		{"anyone hides user", []Route{row, with(func(r *Route) { r.Who = User })}, fault.Exists},
		{"no handler", []Route{with(func(r *Route) { r.Serve = nil })}, fault.Invalid},
		{"no line", []Route{with(func(r *Route) { r.Doc = "" })}, fault.Invalid},
		{"cancel", []Route{with(func(r *Route) { r.Method = "CANCEL" })}, fault.Invalid},
	} {
		if _, err := New(Config{Routes: c.rows}); !fault.Is(err, c.want) {
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestMarkdown(t *testing.T) {
	m, err := New(Config{Routes: table()})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| SUBSCRIBE | any | presence | any | user | watches |\n", "| OPTIONS | any | any | any | anyone |"} {
		if !strings.Contains(Markdown(m.Rows()), want) {
			t.Errorf("no %q in\n%s", want, Markdown(m.Rows()))
		}
	}
}

func webClient() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
}

// TestApplications: a request to an application of ours goes to its rows, and to the
// others where it has none.
func TestApplications(t *testing.T) {
	says := func(reason string) func(context.Context, *Request) (*sip.Message, error) {
		return func(_ context.Context, r *Request) (*sip.Message, error) { return r.Reply(200, reason), nil }
	}
	m, err := New(Config{Routes: []Route{
		{Method: "INVITE", Doc: "calls", Serve: says("user")},
		{Method: "INVITE", App: "conf", Doc: "joins", Serve: says("conference")},
		{Method: "SERVICE", Type: "application/soap+xml", Doc: "contacts", Serve: says("contacts")},
		{Method: "SERVICE", App: "Conf", Type: "application/cccp+xml", Doc: "makes", Serve: says("factory")},
		{Method: "SERVICE", App: "conf", Doc: "the rest", Serve: says("rest")},
		{Method: "MESSAGE", Doc: "writes", Serve: says("user")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ method, uri, kind, want string }{
		{"INVITE", "sip:a@b", "", "user"},
		{"INVITE", "sip:a@b;gruu;opaque=app:conf:focus:id:X", "", "conference"},
		{"INVITE", "sip:a@b;opaque=app:CONF;gruu", "", "conference"},
		{"INVITE", "sip:a@b;gruu;opaque=app:conf?x=1", "", "conference"},
		{"INVITE", "sip:a@b;gruu;opaque=app:conferencing:x", "", "user"},
		{"INVITE", "sip:a@b;gruu;opaque=user:epid:conf", "", "user"},
		{"INVITE", "sip:app.conf.X.a@b;transport=tcp", "", "conference"},
		{"INVITE", "sip:app.X@b", "", "user"},
		{"INVITE", "sip:apparent@b", "", "user"},
		{"SERVICE", "sip:a@b;gruu;opaque=app:conf:focusfactory", "application/cccp+xml", "factory"},
		{"SERVICE", "sip:a@b;gruu;opaque=app:conf:focusfactory", "application/soap+xml", "rest"},
		{"SERVICE", "sip:a@b", "application/soap+xml", "contacts"},
		{"SERVICE", "sip:a@b", "application/cccp+xml", "415"},
		{"MESSAGE", "sip:a@b;gruu;opaque=app:conf:chat:id:X", "text/plain", "user"},
	} {
		q := sip.NewRequest(c.method, c.uri)
		q.Add("Content-Type", c.kind)
		r := &Request{Message: q}
		rows, res := m.find(r)
		if res == nil {
			res, _ = rows[0].Serve(context.Background(), r)
		}
		if got := res.Reason; got != c.want && strconv.Itoa(res.Status) != c.want {
			t.Errorf("%s %s %s: %d %s, want %s", c.method, c.uri, c.kind, res.Status, got, c.want)
		}
	}
	if _, err := New(Config{Routes: []Route{{Method: "INVITE", App: "conf", Doc: "a", Serve: echo}, {Method: "INVITE", App: "CONF", Doc: "b", Serve: echo}}}); !fault.Is(err, fault.Exists) {
		t.Errorf("two rows for one application: %v", err)
	}
}
