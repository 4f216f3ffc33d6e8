package im

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/link/sipmux"
	"trivet/link/sippeer"
	"trivet/link/sipproxy"
	"trivet/link/siptrans"
	"trivet/rule/access"
	"trivet/rule/groupstate"
	"trivet/rule/siptxn"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/sip"
)

const (
	alice = uc.UserURI("sip:alice@example.test")
	bob   = uc.UserURI("sip:bob@example.test")
	carol = uc.UserURI("sip:carol@example.test")

	host  = "fe1.example.test"
	epoch = 7 // of this run

	sdpType  = "Content-Type: application/sdp"
	imOffer  = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 5060 sip null\r\na=accept-types:text/plain text/html\r\n"
	callBody = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 5004 RTP/AVP 0\r\n"
)

// world is a server with the service, and who is registered there.
type world struct {
	t     *testing.T
	s     *Service
	host  *sipagent.Host
	state *groupstate.State
	index uint64

	mu sync.Mutex
	at map[uc.UserURI][]groupstate.Binding
}

func start(t *testing.T) *world { return startWith(t, siptrans.Config{}) }

// impatient is for devices that do not answer.
var impatient = siptrans.Config{MessageAnswer: 100 * time.Millisecond, Timers: siptxn.From(2 * time.Millisecond)}

func startWith(t *testing.T, cfg siptrans.Config) *world {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	w := &world{t: t, state: groupstate.New(), at: map[uc.UserURI][]groupstate.Binding{}}
	for _, u := range []uc.UserURI{alice, bob, carol} {
		w.apply(&groupstate.EnableUser{User: u})
	}
	cfg.Lag = time.Minute
	w.host = sipagent.NewHost(cfg)
	peers := sippeer.New(sippeer.Config{Link: w.host.Layer, Server: host, Epoch: epoch})
	w.s = New(Config{Layer: w.host.Layer, Proxy: sipproxy.New(sipproxy.Config{Layer: w.host.Layer}), Locate: w.locate, Way: peers.Way, FQDN: host, Port: 5061,
		Known: func(u uc.UserURI) bool { return u == alice || u == bob || u == carol }})
	w.host.Serve(t, sipmux.Config{FQDN: host, Routes: append(w.s.Routes(), sipmux.Route{Method: "REGISTER", Who: sipmux.User, Doc: "binds", Serve: w.register})}, "tcp", "udp")
	return w
}

// register binds a device under its name, with the GRUU of its name; X-Lync says
// which kind it is.
func (w *world) register(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
	name := r.Get("X-Name")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at[r.User] = append(slices.Clone(w.at[r.User]), groupstate.Binding{
		Endpoint: uc.EndpointID(name), Contact: "sip:" + name + "@127.0.0.1", GRUU: gruu(r.User, name), Lync: r.Get("X-Lync") != "",
		Flow: groupstate.Flow{Server: host, Epoch: epoch, Conn: r.Conn.ID(), Transport: r.Conn.Transport(), Remote: r.Conn.Remote()},
	})
	return r.Reply(200, ""), nil
}

func gruu(user uc.UserURI, name string) string {
	return string(user) + ";opaque=user:epid:" + name + ";gruu"
}

func (w *world) locate(user uc.UserURI, uri string) []groupstate.Binding {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.at[user]
	for i := range all {
		if all[i].GRUU == uri {
			return all[i : i+1]
		}
	}
	return all
}

// change replaces a user's bindings by what f makes of them.
func (w *world) change(user uc.UserURI, f func([]groupstate.Binding) []groupstate.Binding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at[user] = f(slices.Clone(w.at[user]))
}

// away signs every device of the user out; the result signs them in again.
func (w *world) away(user uc.UserURI) (back func()) {
	var was []groupstate.Binding
	w.change(user, func(list []groupstate.Binding) []groupstate.Binding { was = list; return nil })
	return func() { w.change(user, func([]groupstate.Binding) []groupstate.Binding { return was }) }
}

// conn is the server's end of a device.
func (w *world) conn(d *device) *siptrans.Conn {
	w.t.Helper()
	for _, b := range w.locate(d.user, gruu(d.user, d.name)) {
		if c := w.host.Layer.Conn(b.Flow.Conn); c != nil {
			return c
		}
	}
	w.t.Fatalf("%s has no connection", d.name)
	return nil
}

// apply changes the state of the routing group and tells the service.
func (w *world) apply(cmd groupstate.Command) {
	w.t.Helper()
	w.index++
	v, events := w.state.Apply(w.index, groupstate.Encode(cmd))
	if err := groupstate.Refused(v); err != nil {
		w.t.Fatal(err)
	}
	if w.s != nil {
		w.s.Observe(w.state, events)
	}
}

// block has owner block somebody, or take it back.
func (w *world) block(owner uc.UserURI, members ...groupstate.MemberChange) {
	w.t.Helper()
	version := uint32(0)
	for _, c := range w.state.User(owner).Containers() {
		if c.ID == access.Blocked {
			version = c.Version
		}
	}
	w.apply(&groupstate.SetContainers{User: owner, Changes: []groupstate.ContainerChange{{ID: access.Blocked, Version: version, Members: members}}})
}

func person(u uc.UserURI) groupstate.MemberChange {
	return groupstate.MemberChange{Member: access.Member{Type: access.User, Value: u.Bare()}}
}

func pardoned(u uc.UserURI) groupstate.MemberChange {
	m := person(u)
	m.Remove = true
	return m
}

// device is one endpoint of a user on a socket of its own.
type device struct {
	*world
	*sipagent.Agent
	user uc.UserURI
	name string
}

func (w *world) lync(user uc.UserURI, name string) *device {
	return w.device("tcp", user, name, "X-Lync: yes")
}

func (w *world) phone(user uc.UserURI, name string) *device { return w.device("tcp", user, name) }

func (w *world) device(network string, user uc.UserURI, name string, headers ...string) *device {
	w.t.Helper()
	d := &device{world: w, Agent: w.host.Dial(w.t, network), user: user, name: name}
	sipagent.Status(w.t, d.do(d.request("REGISTER", "sip:example.test", "", append(headers, "X-Name: "+name)...)), 200)
	return d
}

// request makes a request outside of dialogs; headers replace the usual ones.
func (d *device) request(method, uri, body string, headers ...string) *sip.Message {
	d.Seq++
	number := strconv.Itoa(d.Seq)
	to := uri
	if u, err := uc.ParseUserURI(uri); err == nil {
		to = string(u)
	}
	m := sip.NewRequest(method, uri)
	m.Add("Via", "SIP/2.0/"+strings.ToUpper(d.LocalAddr().Network())+" "+d.LocalAddr().String()+";branch=z9hG4bK"+d.name+number)
	m.Add("Max-Forwards", "70")
	m.Add("From", "<"+string(d.user)+">;tag="+d.name+";epid="+d.name)
	m.Add("To", "<"+to+">")
	m.Add("Call-ID", d.name+number)
	m.Add("CSeq", number+" "+method)
	m.Add("Contact", "<"+gruu(d.user, d.name)+">")
	if body != "" {
		m.Add("Content-Type", "text/plain")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		m.Set(name, value)
	}
	m.Body = []byte(body)
	return m
}

// within makes a request of the caller in the dialog that res has opened.
func (d *device) within(res *sip.Message, method, body string, headers ...string) *sip.Message {
	m := d.request(method, target(res), body, append([]string{"From: " + res.Get("From"), "To: " + res.Get("To"), "Call-ID: " + res.CallID()}, headers...)...)
	routes := recorded(res)
	slices.Reverse(routes)
	for _, r := range routes {
		m.Add("Route", r)
	}
	return m
}

// back makes a request of the callee in the dialog that invite has opened.
func (d *device) back(invite *sip.Message, method, body string, headers ...string) *sip.Message {
	m := d.request(method, target(invite), body, append([]string{"From: " + invite.Get("To") + ";tag=" + d.name, "To: " + invite.Get("From"), "Call-ID: " + invite.CallID()}, headers...)...)
	for _, r := range recorded(invite) {
		m.Add("Route", r)
	}
	return m
}

func target(m *sip.Message) string {
	list, err := m.Contacts()
	if err != nil || len(list) == 0 {
		return "sip:nowhere.invalid"
	}
	return list[0].URI
}

func recorded(m *sip.Message) (list []string) {
	for line := range m.All("Record-Route") {
		for item := range sip.Split(line) {
			list = append(list, item)
		}
	}
	return list
}

// reply answers a request; the To tag is the device's name.
func (d *device) reply(req *sip.Message, status int, headers ...string) {
	d.t.Helper()
	res := sip.NewResponse(req, status, "")
	if !tagged(res) {
		res.Set("To", res.Get("To")+";tag="+d.name)
	}
	res.Add("Contact", "<"+gruu(d.user, d.name)+">")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		res.Set(name, value)
	}
	d.Send(res)
}

// do sends a request and returns its final answer.
func (d *device) do(m *sip.Message) *sip.Message {
	d.t.Helper()
	d.Send(m)
	return d.final()
}

// final reads a final answer.
func (d *device) final() *sip.Message {
	d.t.Helper()
	for {
		m := d.Recv()
		switch {
		case m.IsRequest():
			d.t.Fatalf("%s got\n%s\nwants an answer", d.name, m)
		case m.Status >= 200:
			return m
		}
	}
}

// recv reads a request.
func (d *device) recv(method string) *sip.Message {
	d.t.Helper()
	m := d.Recv()
	if m.Method != method {
		d.t.Fatalf("%s got\n%s\nwants %s", d.name, m, method)
	}
	return m
}

// quiet makes sure that the device was sent nothing that it has not read: what
// comes next is the answer to a question of its own.
func (d *device) quiet() {
	d.t.Helper()
	d.Send(d.request("OPTIONS", "sip:example.test", ""))
	if m := d.Recv(); m.IsRequest() || m.Status != 200 || m.CallID() != d.name+strconv.Itoa(d.Seq) {
		d.t.Fatalf("%s was sent\n%s", d.name, m)
	}
}
