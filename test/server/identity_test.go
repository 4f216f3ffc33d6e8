package server

import (
	"strings"
	"testing"
	"time"

	"trivet/wire/sip"
)

// session opens a dialog from a to b and returns the 200 as a saw it, and the
// INVITE as b saw it.
func session(t *testing.T, a, b *Agent) (ok, invite *sip.Message) {
	t.Helper()
	a.Call = word()
	m := a.Request("INVITE", b.User, "<"+b.User+">", "Contact: "+a.Contact(), "Content-Type: application/sdp", "", "v=0")
	done := make(chan *sip.Message, 1)
	go func() {
		res, err := a.Try(m, patience)
		if err != nil {
			res = sip.NewResponse(m, 599, err.Error())
		}
		done <- res
	}()
	invite = b.AwaitMethod("INVITE")
	b.Reply(invite, 200, "Contact: "+b.Contact())
	if ok = <-done; ok.Status != 200 {
		t.Fatalf("INVITE: %s", ok)
	}
	ack := within(a, ok, "ACK")
	ack.Set("CSeq", "1 ACK")
	if _, _, err := a.Start(ack); err != nil {
		t.Fatal(err)
	}
	b.AwaitMethod("ACK")
	return ok, invite
}

// within makes a request in the dialog that ok began, from who.
func within(who *Agent, ok *sip.Message, method string, extra ...string) *sip.Message {
	contacts, _ := ok.Contacts()
	uri := "sip:" + domain
	if len(contacts) > 0 {
		uri = contacts[0].URI
	}
	m := who.Request(method, uri, ok.Get("To"), extra...)
	m.Set("Call-ID", ok.CallID())
	var routes []string
	for r := range ok.All("Record-Route") {
		for item := range sip.Split(r) {
			routes = append([]string{item}, routes...)
		}
	}
	for _, r := range routes {
		m.Add("Route", r)
	}
	return m
}

// quiet fails when b was sent a request of the method; ping makes sure that all
// that was on its way has come.
func quiet(t *testing.T, b *Agent, method string) {
	t.Helper()
	b.Do(b.Request("OPTIONS", "sip:"+domain, "<sip:"+domain+">"))
	for _, m := range b.Inbox() {
		if m.IsRequest() && m.Method == method {
			t.Errorf("%s was sent\n%s", b.User, m)
		}
	}
}

// send starts a MESSAGE and returns its answer once there is one.
func (a *Agent) send(m *sip.Message) <-chan *sip.Message {
	done := make(chan *sip.Message, 1)
	go func() {
		res, err := a.Try(m, patience)
		if err != nil {
			res = sip.NewResponse(m, 599, err.Error())
		}
		done <- res
	}()
	return done
}

func wait(t *testing.T, done <-chan *sip.Message, status int) *sip.Message {
	t.Helper()
	res := <-done
	if res.Status != status {
		t.Fatalf("want %d, got\n%s", status, res)
	}
	return res
}

var psst = document("text/plain", "psst")

// TestSpoofedIdentity: nobody speaks in another's name, in no header that a
// client shows.
func TestSpoofedIdentity(t *testing.T) {
	s := shared(t)
	me := s.NewUser(t, "mespoofedidentity")
	for _, network := range []string{"udp", "tcp", "tls", "ws"} {
		t.Run(network, func(t *testing.T) {
			a, b := s.SignIn(t, network, me), s.SignIn(t, "tcp", s.NewUser(t, "spoofed"+network))
			done := a.send(a.Request("MESSAGE", b.User, "<"+b.User+">", append([]string{
				"P-Asserted-Identity: <" + carol + ">", "P-Preferred-Identity: <" + carol + ">",
				"Remote-Party-ID: <" + carol + ">;party=calling", `Authentication-Info: NTLM rspauth="x"`,
			}, psst...)...))
			m := b.AwaitMethod("MESSAGE")
			for _, name := range []string{"P-Asserted-Identity", "P-Preferred-Identity", "Remote-Party-ID", "Authentication-Info", "Authorization", "Proxy-Authorization"} {
				if m.Get(name) != "" {
					t.Errorf("%s arrives with the message: %s", name, m.Get(name))
				}
			}
			b.Reply(m, 200)
			wait(t, done, 200)

			a.User = carol // with the credentials and on the connection of alice
			wait(t, a.send(a.Request("MESSAGE", b.User, "<"+b.User+">", psst...)), 403)
			a.Password = "" // without credentials, on her connection
			wait(t, a.send(a.Request("MESSAGE", b.User, "<"+b.User+">", psst...)), 407)
			stranger := s.Dial(t, network) // her name on another connection
			stranger.User = me
			wait(t, stranger.send(stranger.Request("MESSAGE", b.User, "<"+b.User+">", psst...)), 407)
			quiet(t, b, "MESSAGE")
		})
	}
}

// TestInjectedResponses: only the one who was asked can answer.
func TestInjectedResponses(t *testing.T) {
	s := shared(t)
	me := s.NewUser(t, "meinjectedresponses")
	for _, network := range []string{"udp", "tcp", "tls", "ws"} {
		t.Run(network, func(t *testing.T) {
			a, b := s.SignIn(t, network, me), s.SignIn(t, network, s.NewUser(t, "asked"+network))
			eve := s.SignIn(t, network, s.NewUser(t, "eve"+network))
			done := a.send(a.Request("MESSAGE", b.User, "<"+b.User+">", psst...))
			m := b.AwaitMethod("MESSAGE")
			eve.Reply(m, 202)
			other := m.Clone()
			other.PopVia() // the Via of alice alone: past the proxy's own transaction
			eve.Reply(other, 202)
			b.Reply(other, 202)
			wrong := m.Clone()
			wrong.Set("CSeq", "1 INVITE")
			b.Reply(wrong, 202)
			eve.Do(eve.Request("OPTIONS", "sip:"+domain, "<sip:"+domain+">")) // what she sent before has been handled
			b.Do(b.Request("OPTIONS", "sip:"+domain, "<sip:"+domain+">"))
			select {
			case res := <-done:
				t.Fatalf("somebody else answered:\n%s", res)
			default:
			}
			b.Reply(m, 200)
			wait(t, done, 200)
			b.Reply(m, 486) // a second answer is nobody's
			quiet(t, a, "MESSAGE")
		})
	}
}

// TestHijackedDialog: the routes, tags and contacts of a dialog are of no use on
// another connection.
func TestHijackedDialog(t *testing.T) {
	s := shared(t)
	me := s.NewUser(t, "mehijackeddialog")
	a, b := s.SignIn(t, "tls", me), s.SignIn(t, "tcp", s.NewUser(t, "dialog"))
	eve := s.SignIn(t, "tcp", s.NewUser(t, "evedialog"))
	ok, _ := session(t, a, b)
	for _, method := range []string{"BYE", "INFO", "MESSAGE", "UPDATE", "INVITE", "REFER"} {
		m := within(eve, ok, method, "Refer-To: <"+carol+">")
		if res := eve.Do(m); res.Status != 481 && res.Status != 404 {
			t.Errorf("%s in another's dialog: %d", method, res.Status)
		}
		claim := within(eve, ok, method, "Refer-To: <"+carol+">")
		claim.Set("From", "<"+me+">;tag="+a.Tag)
		password := eve.Password
		eve.Password = ""
		if res := eve.Do(claim); res.Status != 407 {
			t.Errorf("%s in another's dialog and name: %d", method, res.Status)
		}
		eve.Password = password
	}
	if _, _, err := eve.Start(within(eve, ok, "ACK")); err != nil {
		t.Fatal(err)
	}
	quiet(t, eve, "ACK")
	for _, method := range []string{"BYE", "INFO", "MESSAGE", "UPDATE", "INVITE", "REFER", "ACK"} {
		quiet(t, b, method)
	}
	done := a.send(within(a, ok, "BYE"))
	b.Reply(b.AwaitMethod("BYE"), 200)
	wait(t, done, 200)
}

// TestStolenInstance: naming another's device or contact takes nothing from him.
func TestStolenInstance(t *testing.T) {
	s := shared(t)
	me := s.NewUser(t, "mestoleninstance")
	const instance = `+sip.instance="<urn:uuid:00000000-0000-4000-8000-000000000001>"`
	b := s.Dial(t, "tcp")
	s.Become(b, s.NewUser(t, "victim"))
	res := b.Register("Contact: "+b.Contact()+";"+instance, "Supported: gruu, path")
	contacts, err := res.Contacts()
	if err != nil || len(contacts) != 1 {
		t.Fatalf("%v\n%s", err, res)
	}
	gruu := strings.Trim(contacts[0].Params.Value("pub-gruu"), `"`)
	if !strings.HasPrefix(gruu, b.User) {
		t.Fatalf("GRUU %q\n%s", gruu, res)
	}
	eve := s.Dial(t, "tcp")
	s.Become(eve, s.NewUser(t, "evethief"))
	if res := eve.Register("Contact: "+b.Contact()+";"+instance, "Supported: gruu, path"); res.Status != 200 || strings.Contains(res.String(), gruu) {
		t.Errorf("the same instance of another user:\n%s", res)
	}
	if res := eve.Register("Contact: <"+gruu+">", "Supported: gruu, path"); res.Status == 200 && strings.Contains(res.Get("Contact"), "pub-gruu=\""+gruu) {
		t.Errorf("another's GRUU as a contact:\n%s", res)
	}
	to := eve.Request("REGISTER", "sip:"+domain, "<"+b.User+">", "Contact: "+eve.Contact(), "Expires: 600") // into his address
	wait(t, eve.send(to), 403)
	a := s.SignIn(t, "tcp", me)
	for _, uri := range []string{gruu, b.User} {
		done := a.send(a.Request("MESSAGE", uri, "<"+b.User+">", psst...))
		b.Reply(b.AwaitMethod("MESSAGE"), 200)
		wait(t, done, 200)
	}
	quiet(t, eve, "MESSAGE")
}

// TestHijackedSubscription: a subscription is refreshed, ended and heard on its
// own terms only.
func TestHijackedSubscription(t *testing.T) {
	s := shared(t)
	a, b := s.SignIn(t, "tcp", s.NewUser(t, "watcher")), s.SignIn(t, "tcp", s.NewUser(t, "watched"))
	eve := s.SignIn(t, "tcp", s.NewUser(t, "evewatch"))
	a.Call = word()
	ask := func(who *Agent, to string, expires string) *sip.Message {
		m := who.Request("SUBSCRIBE", b.User, to, "Event: presence", "Accept: application/pidf+xml", "Contact: "+who.Contact(), "Expires: "+expires)
		m.Set("Call-ID", a.Call)
		return m
	}
	ok := wait(t, a.send(ask(a, "<"+b.User+">", "600")), 200)
	a.AwaitMethod("NOTIFY")
	hijack := ask(eve, ok.Get("To"), "0")
	wait(t, eve.send(hijack), 481)
	claim := ask(eve, ok.Get("To"), "0")
	claim.Set("From", "<"+a.User+">;tag="+a.Tag)
	password := eve.Password
	eve.Password = ""
	wait(t, eve.send(claim), 407)
	eve.Password = password
	res := b.Do(b.Request("PUBLISH", b.User, "<"+b.User+">", append([]string{"Event: presence", "Expires: 60"}, document("application/pidf+xml",
		`<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="`+b.User+`"><tuple id="a"><status><basic>open</basic></status><note>still here</note></tuple></presence>`)...)...))
	if res.Status != 200 {
		t.Fatalf("PUBLISH:\n%s", res)
	}
	a.Await("NOTIFY with the note", func(m *sip.Message) bool {
		return m.Method == "NOTIFY" && strings.Contains(string(m.Body), "still here") && strings.HasPrefix(m.Get("Subscription-State"), "active")
	})
	quiet(t, eve, "NOTIFY")
}

const imOffer = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 5060 sip null\r\na=accept-types:text/plain\r\n"

// TestHijackedGateway: a session of the gateway between Lync clients and phones
// belongs to the one who opened it.
func TestHijackedGateway(t *testing.T) {
	s := shared(t)
	me := s.NewUser(t, "mehijackedgateway")
	a, b := s.SignIn(t, "tls", me), s.SignIn(t, "tcp", s.NewUser(t, "phone"))
	eve := s.SignIn(t, "tcp", s.NewUser(t, "evephone"))
	open := func(who *Agent) *sip.Message {
		m := who.Request("INVITE", b.User, "<"+b.User+">", "Contact: "+who.Contact(), "Content-Type: application/sdp", "", imOffer)
		return wait(t, who.send(m), 200)
	}
	ok := open(a)
	for _, method := range []string{"MESSAGE", "INFO", "BYE", "INVITE"} {
		wait(t, eve.send(within(eve, ok, method, psst...)), 481)
	}
	quiet(t, b, "MESSAGE")
	done := a.send(within(a, ok, "MESSAGE", psst...))
	m := b.AwaitMethod("MESSAGE")
	if from, _ := m.From(); from.URI != me {
		t.Errorf("the page comes from %s", from.URI)
	}
	b.Reply(m, 200)
	wait(t, done, 200)

	for range 100 { // a client that leaves while its sessions open must not stop the others
		x := s.Dial(t, "tcp")
		x.User = "sip:nobody@" + domain // two senders: its requests are served beside its reader
		x.Do(x.Request("OPTIONS", "sip:"+domain, "<sip:"+domain+">"))
		s.Become(x, a.User)
		x.Do(x.Request("REGISTER", "sip:"+domain, "<"+x.User+">"))
		m := x.Request("INVITE", b.User, "<"+b.User+">", "Contact: "+x.Contact(), "Content-Type: application/sdp", "", imOffer)
		if _, _, err := x.Start(m); err != nil {
			t.Fatal(err)
		}
		x.Close()
	}
	done = a.send(within(a, ok, "MESSAGE", psst...))
	b.Reply(b.AwaitMethod("MESSAGE"), 200)
	wait(t, done, 200)
}

// TestHeaderInjection: text of one user never becomes a header for another.
func TestHeaderInjection(t *testing.T) {
	s := shared(t)
	me := s.NewUser(t, "meheaderinjection")
	a, b := s.SignIn(t, "tcp", me), s.SignIn(t, "tcp", s.NewUser(t, "injected"))
	injected := func(m *sip.Message) bool { return strings.Contains(strings.ToLower(m.String()), "\nx-injected") }
	for _, c := range []struct {
		name string
		want int
		edit func(*sip.Message)
	}{
		{"CR in a header", 400, func(m *sip.Message) { m.Add("Subject", "a\rX-Injected: yes") }},
		{"CR in a display name", 400, func(m *sip.Message) { m.Set("From", "\"a\rX-Injected: yes\" <"+me+">;tag=1") }},
		{"CR in ms-text-format", 400, func(m *sip.Message) { m.Add("ms-text-format", "text/plain;msgr=a\rX-Injected: yes") }},
		{"CR in the request URI", 400, func(m *sip.Message) { m.RequestURI += "\rX-Injected: yes" }},
		{"escaped line end in the request URI", 0, func(m *sip.Message) { m.RequestURI += "%0d%0aX-Injected:%20yes" }},
		{"escaped line end in a display name", 0, func(m *sip.Message) { m.Set("From", `"a\r\nX-Injected: yes" <`+me+`>;tag=1`) }},
	} {
		m := a.Request("MESSAGE", b.User, "<"+b.User+">", psst...)
		c.edit(m)
		_, answers, err := a.Start(m)
		if err != nil {
			t.Fatal(err)
		}
		for got := false; !got; {
			select {
			case res := <-answers:
				if got = res.Status >= 200; got && (c.want != 0 && res.Status != c.want || injected(res)) {
					t.Errorf("%s: want %d, got\n%s", c.name, c.want, res)
				}
			case <-b.arrived:
				for m := b.pick((*sip.Message).IsRequest); m != nil; m = b.pick((*sip.Message).IsRequest) {
					if c.want != 0 || injected(m) {
						t.Errorf("%s: arrives as\n%s", c.name, m)
					}
					b.Reply(m, 200)
				}
			case <-time.After(patience):
				t.Fatalf("%s: no answer", c.name)
			}
		}
	}
	watch := s.SignIn(t, "tcp", me)
	watch.AwaitSubscription(t, b.User)
	const line = "a&#13;&#10;X-Injected: yes"
	for _, m := range []*sip.Message{
		b.Request("SERVICE", b.User, "<"+b.User+">", document("application/SOAP+xml", soap("addGroup", "<m:name>"+line+"</m:name>"))...),
		b.Request("SERVICE", b.User, "<"+b.User+">", document("application/SOAP+xml", soap("setContact", "<m:displayName>"+line+"</m:displayName><m:groups/><m:subscribed>true</m:subscribed><m:URI>"+me+"</m:URI><m:externalURI/><m:deltaNum>1</m:deltaNum>"))...),
		b.Request("PUBLISH", b.User, "<"+b.User+">", append([]string{"Event: presence", "Expires: 60"}, document("application/pidf+xml",
			`<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="`+b.User+`"><tuple id="a"><status><basic>open</basic></status><note>`+line+`</note></tuple></presence>`)...)...),
	} {
		if res := b.Do(m); injected(res) && !strings.Contains(string(res.Body), "X-Injected") {
			t.Errorf("answered with\n%s", res)
		}
	}
	n := watch.AwaitMethod("NOTIFY")
	for _, h := range n.Headers {
		if strings.EqualFold(h.Name, "X-Injected") {
			t.Errorf("a note makes a header:\n%s", n)
		}
	}
	list := b.Do(b.Request("SUBSCRIBE", b.User, "<"+b.User+">", "Event: vnd-microsoft-roaming-contacts", "Contact: "+b.Contact(), "Expires: 600", "Supported: ms-piggyback-first-notify", "Accept: application/vnd-microsoft-roaming-contacts+xml"))
	if list.Get("X-Injected") != "" {
		t.Errorf("a contact's name makes a header:\n%s", list)
	}
}

// AwaitSubscription watches user and takes the first NOTIFY.
func (a *Agent) AwaitSubscription(t *testing.T, user string) {
	t.Helper()
	m := a.Request("SUBSCRIBE", user, "<"+user+">", "Event: presence", "Accept: application/pidf+xml", "Contact: "+a.Contact(), "Expires: 600")
	wait(t, a.send(m), 200)
	a.AwaitMethod("NOTIFY")
}
