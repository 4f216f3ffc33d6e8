package presence

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"testing"

	"trivet/link/sipnotify"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/sip"
)

// deaf is a link whose writes cost nothing but the making of the bytes.
type deaf struct {
	*siptrans.Layer
	buf   []byte
	count int
}

func (d *deaf) Send(_ *siptrans.Conn, m *sip.Message) error {
	d.buf = m.Append(d.buf[:0])
	d.count++
	return nil
}

// BenchmarkFanOut tells one change to 500 watchers. Per watcher: ns, allocations.
func BenchmarkFanOut(b *testing.B) {
	s := start(b, Policy{})
	nc, err := net.Dial("tcp", s.host.Addr["tcp"])
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	io.WriteString(nc, "\r\n\r\n")
	var conn *siptrans.Conn
	sipagent.Await(s.t, "a connection", func() bool { conn = s.host.Layer.Conn(1); return conn != nil })
	link := &deaf{Layer: s.host.Layer}
	bound := map[uc.UserURI][]groupstate.Binding{}
	flow := groupstate.Flow{Server: "fe1", Epoch: 1, Conn: conn.ID(), Transport: "tcp", Remote: netip.MustParseAddrPort("127.0.0.1:5060")}
	s.s.cfg.Notifier = sipnotify.New(sipnotify.Config{Link: link, Locate: func(u uc.UserURI) []groupstate.Binding { return bound[u] }, Server: "fe1", Epoch: 1, Host: "fe1.example.test", Now: s.clock.Now})
	const watchers = 500
	for i := range watchers {
		u := uc.UserURI(fmt.Sprintf("sip:user%d@example.test", i))
		s.propose(&groupstate.EnableUser{User: u})
		bound[u] = []groupstate.Binding{{Endpoint: "e", Lync: true, Flow: flow}}
		s.propose(&groupstate.Subscribe{User: u, Endpoint: "e", Now: s.clock.Now().UnixMilli(), Lifetime: 1e9, Event: eventPresence, Benotify: true, Flow: flow,
			Targets: []uc.UserURI{alice, bob, carol}, Categories: []string{"calendarData", "contactCard", "note", "state"},
			Dialog: groupstate.Dialog{CallID: "0123456789abcdef0123456789abcdef" + strconv.Itoa(i), LocalURI: string(u), LocalTag: "l0123456789", RemoteURI: string(u), RemoteTag: "r0123456789",
				RemoteParams: ";epid=0123456789", RemoteTarget: "sip:192.0.2.17:49152;transport=tls;ms-opaque=0123456789abcdef", RemoteCSeq: 1}})
	}
	s.choose(6500)
	s.idle()
	var u groupstate.User
	s.g.mu.Lock()
	u = *s.g.state.User(alice)
	s.g.mu.Unlock()
	link.count = 0
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		s.s.tell(b.Context(), &change{user: alice, changed: []groupstate.CategoryChange{{Category: "state", Container: 200}}, view: &u, seen: true})
		n++
	}
	if link.count != n*watchers {
		b.Fatalf("%d notifications of %d changes", link.count, n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*watchers), "ns/watcher")
	b.ReportMetric(float64(len(link.buf)), "bytes/watcher")
}
