package server

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"trivet/wire/sip"
)

// heap is what is in use after a collection.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// bombs are documents that cost a naive reader far more than their size.
var bombs = []struct{ name, body string }{
	{"entities", `<!DOCTYPE l [<!ENTITY a "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa">` + entities() + `]><publish><a>&j;</a></publish>`},
	{"external entity", `<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><publish><a>&a;</a></publish>`},
	{"depth", strings.Repeat("<a>", 60000)},
	{"depth, closed", strings.Repeat("<a>", 25000) + strings.Repeat("</a>", 25000)},
	{"attributes", "<publish " + numbered(20000, ` a%d="1"`) + "/>"},
	{"namespaces", "<publish " + numbered(10000, ` xmlns:a%d="u"`) + "/>"},
	{"the same attribute", "<publish " + strings.Repeat(` a="1"`, 20000) + "/>"},
	{"siblings", "<publish>" + strings.Repeat("<p/>", 50000) + "</publish>"},
	{"one name", "<" + strings.Repeat("a", 200000) + "/>"},
	{"one text", "<publish>" + strings.Repeat("&amp;", 40000) + "</publish>"},
	{"no end", "<publish><publications"},
	{"comment", "<!--" + strings.Repeat("-", 200000)},
	{"not text", "\x00\xff\xfe<publish>\x01</publish>"},
}

func entities() (s string) {
	for c := 'b'; c <= 'j'; c++ {
		s += fmt.Sprintf(`<!ENTITY %c "%s">`, c, strings.Repeat(fmt.Sprintf("&%c;", c-1), 10))
	}
	return s
}

func numbered(n int, form string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, form, i)
	}
	return b.String()
}

// TestBombs: hostile documents are refused with 4xx in little time and memory by
// every row that reads one, and the user goes on.
func TestBombs(t *testing.T) {
	s := shared(t)
	a := s.SignIn(t, "tcp", s.NewUser(t, "bomber"))
	for key, r := range expected {
		var head []string
		for _, h := range r.extra {
			if h == "" {
				break
			}
			head = append(head, h)
		}
		if len(head) == len(r.extra) || !strings.Contains(strings.Join(head, " "), "xml") {
			continue
		}
		method, _, _ := strings.Cut(key, " ")
		for _, b := range bombs {
			begin, before := time.Now(), allocated()
			m := a.Request(method, a.User, "<"+a.User+">", append(append([]string{}, head...), "", b.body)...)
			res := a.Do(m)
			took, cost := time.Since(begin), allocated()-before
			if res.Status < 400 || res.Status >= 500 {
				t.Errorf("%s with %s: %d", key, b.name, res.Status)
			}
			if took > 2*time.Second || cost > 64<<20 {
				t.Errorf("%s with %s: %v and %d KiB", key, b.name, took, cost>>10)
			}
		}
	}
	batch := func(n int) *sip.Message {
		body := `<batchSub xmlns="http://schemas.microsoft.com/2006/01/sip/batch-subscribe" uri="` + a.User + `" name=""><action name="subscribe" id="1"><adhocList>` +
			numbered(n, `<resource uri="sip:u%d@x.yz"/>`) + `</adhocList><categoryList xmlns="http://schemas.microsoft.com/2006/09/sip/categorylist"><category name="state"/></categoryList></action></batchSub>`
		return a.Request("SUBSCRIBE", a.User, "<"+a.User+">", "Event: presence", "Require: adhoclist, categoryList", "Supported: eventlist, ms-piggyback-first-notify, ms-benotify",
			"Accept: application/msrtc-event-categories+xml, application/xpidf+xml, text/xml+msrtc.pidf, application/pidf+xml, application/rlmi+xml, multipart/related",
			"Contact: "+a.Contact(), "Expires: 600", "Content-Type: application/msrtc-adrl-categorylist+xml", "", body)
	}
	if res := a.Do(batch(5000)); res.Status < 400 || res.Status >= 500 || res.Get("ms-diagnostics") == "" {
		t.Errorf("SUBSCRIBE to 5,000:\n%s", res)
	}
	if res := a.Do(batch(250)); res.Status != 200 {
		t.Errorf("SUBSCRIBE to 250:\n%s", res)
	}
}

// TestContacts: a REGISTER binds nothing but its own connection.
func TestContacts(t *testing.T) {
	s := shared(t)
	a := s.SignIn(t, "tcp", s.NewUser(t, "caller"))
	b := s.Dial(t, "udp")
	s.Become(b, s.NewUser(t, "binder"))
	before := func() int { return b.Do(b.Request("REGISTER", "sip:"+domain, "<"+b.User+">")).Count("Contact") }
	for _, c := range []struct {
		name  string
		extra []string
		want  int
	}{
		{"a thousand contacts", []string{"Contact: " + strings.TrimSuffix(numbered(1000, "<sip:x%d@h>,"), ",")}, 403},
		{"star without Expires: 0", []string{"Contact: *", "Expires: 600"}, 400},
		{"star and another", []string{"Contact: *, <sip:x@h>", "Expires: 0"}, 400},
		{"no URI", []string{"Contact: <>"}, 400},
		{"negative expires", []string{"Contact: <sip:x@h>;expires=-1"}, 400},
		{"too short", []string{"Contact: <sip:x@h>;expires=1"}, 423},
	} {
		if res := b.Do(b.Request("REGISTER", "sip:"+domain, "<"+b.User+">", c.extra...)); res.Status != c.want {
			t.Errorf("%s: want %d, got\n%s", c.name, c.want, res)
		}
		if n := before(); n != 0 {
			t.Errorf("%s: %d bindings are left", c.name, n)
		}
	}
	long := "Contact: <sip:x@h;a=" + strings.Repeat("b", 40000) + ">"
	if res := s.tcpTwin(t, b).Register(long); res.Status == 200 {
		t.Errorf("a contact of 40,000 characters is stored")
	}

	victim, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer victim.Close()
	if res := b.Register("Contact: <sip:x@" + victim.LocalAddr().String() + ">"); res.Status != 200 {
		t.Fatalf("a contact of another host:\n%s", res)
	}
	done := a.send(a.Request("MESSAGE", b.User, "<"+b.User+">", psst...))
	b.Reply(b.AwaitMethod("MESSAGE"), 200)
	wait(t, done, 200)
	victim.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, _, err := victim.ReadFrom(make([]byte, 9000)); err == nil {
		t.Errorf("another host was sent %d bytes", n)
	}
	if res := b.Do(b.Request("REGISTER", "sip:"+domain, "<"+b.User+">", "Contact: *", "Expires: 0")); res.Status != 200 || before() != 0 {
		t.Errorf("star:\n%s", res)
	}
	if res := a.Do(a.Request("REGISTER", "sip:"+domain, "<"+a.User+">")); res.Count("Contact") != 1 {
		t.Errorf("the star of one user has taken another's binding:\n%s", res)
	}
}

// tcpTwin is the same user over TCP, for requests longer than a datagram.
func (s *Server) tcpTwin(t *testing.T, a *Agent) *Agent {
	t.Helper()
	b := s.Dial(t, "tcp")
	s.Become(b, a.User)
	return b
}
