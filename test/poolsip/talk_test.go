package poolsip

import (
	"strings"
	"sync"
	"testing"
	"time"

	"trivet/test/sipagent"
	"trivet/wire/sip"
)

const (
	text     = "Content-Type: text/plain"
	sdpType  = "Content-Type: application/sdp"
	imOffer  = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message 5060 sip null\r\na=accept-types:text/plain\r\n"
	callBody = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=session\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 5004 RTP/AVP 0\r\n"
)

func TestMessageToAnotherServer(t *testing.T) {
	p := start(t)
	a, b := p.servers[0].phone(alice), p.servers[1].phone(bob)
	res, _ := a.do("MESSAGE", string(bob), call{}, text, "P-Asserted-Identity: <sip:carol@example.test>", "", "hello")
	sipagent.Status(t, res, 200)
	m := b.gets("MESSAGE", "hello")
	for _, name := range []string{"P-Asserted-Identity", "Route"} {
		if m.Get(name) != "" {
			t.Errorf("the client sees %s: %s", name, m.Get(name))
		}
	}
	if !strings.HasPrefix(m.RequestURI, "sip:bob@127.0.0.1") {
		t.Errorf("the URI is not that of the device: %s", m.RequestURI)
	}
	res, _ = b.do("MESSAGE", string(alice), call{}, text, "", "hello yourself")
	sipagent.Status(t, res, 200)
	a.gets("MESSAGE", "yourself")
}

func TestForgedTokensLeadNowhere(t *testing.T) {
	p := start(t)
	a, b := p.servers[0].phone(alice), p.servers[1].phone(bob)
	_, route := p.servers[0].peers.Way(&p.servers[0].registrar.Locate(bob)[0].Flow)
	mallory := p.servers[1].dial(carol, "")
	res, _ := mallory.do("NOTIFY", "sip:nobody@example.test", call{}, "Route: "+route)
	if res.Status < 400 {
		t.Errorf("a client passed with a flow token: %s", res)
	}
	b.silent("NOTIFY")
	a.silent("NOTIFY")
}

// TestSession is a call from one server to another with requests both ways.
func TestSession(t *testing.T) {
	p := start(t)
	for _, tc := range []struct{ name, body string }{{"messages", imOffer}, {"call", callBody}} {
		a, b := p.servers[0].lync(alice, "a"+tc.name), p.servers[1].lync(bob, "b"+tc.name)
		res, d := a.do("INVITE", string(bob), call{}, sdpType, "", tc.body)
		sipagent.Status(t, res, 200)
		invite := b.gets("INVITE", "v=0")
		if n := len(d.routes); n < 2 {
			t.Fatalf("%d servers record a route in\n%s", n, res)
		}
		a.ack(d)
		b.gets("ACK", "")
		for _, method := range []string{"MESSAGE", "INFO"} {
			res, _ = a.do(method, "", d, text, "", "from alice")
			sipagent.Status(t, res, 200)
			b.gets(method, "from alice")
			res, _ = b.do(method, "", b.turned(invite), text, "", "from bob")
			sipagent.Status(t, res, 200)
			a.gets(method, "from bob")
		}
		p.apart(p.servers[0], p.servers[1], true) // the dialog outlives the connection
		res, _ = a.do("INFO", "", d, text, "", "lost")
		if res.Status != 481 && res.Status != 480 {
			t.Errorf("without a link: %s", res)
		}
		p.apart(p.servers[0], p.servers[1], false)
		res, _ = b.do("BYE", "", b.turned(invite))
		sipagent.Status(t, res, 200)
		a.gets("BYE", "")
		a.c.Close()
		b.c.Close()
		sipagent.Await(t, "the end of the connections", func() bool {
			at := p.servers[2].registrar.Locate(bob)
			return len(at) > 0 && at[len(at)-1].Detached
		})
	}
}

// TestForkOverServers has a call ring at two servers; one answers, the other is
// cancelled.
func TestForkOverServers(t *testing.T) {
	p := start(t)
	a, near, far := p.servers[0].phone(alice), p.servers[1].phone(bob), p.servers[2].phone(bob)
	var once sync.Once
	ringing := make(chan struct{})
	var invite *sip.Message
	far.answer = func(m *sip.Message) *sip.Message {
		if m.Method == "INVITE" {
			invite = m
			far.c.Respond(sip.NewResponse(m, 180, ""))
			once.Do(func() { close(ringing) })
			return nil
		}
		return sip.NewResponse(m, 200, "")
	}
	near.answer = func(m *sip.Message) *sip.Message {
		if m.Method == "INVITE" {
			select {
			case <-ringing:
			case <-time.After(patience):
			}
		}
		return near.accept(m)
	}
	res, d := a.do("INVITE", string(bob), call{}, sdpType, "", callBody)
	sipagent.Status(t, res, 200)
	a.ack(d)
	near.gets("ACK", "")
	far.gets("CANCEL", "")
	far.c.Respond(sip.NewResponse(invite, 487, ""))
	far.gets("ACK", "")
	res, _ = a.do("BYE", "", d)
	sipagent.Status(t, res, 200)
	near.gets("BYE", "")
	far.silent("BYE")
}

// TestSecondAnswerIsHungUp has two servers answer one INVITE: the caller takes one.
func TestSecondAnswerIsHungUp(t *testing.T) {
	p := start(t)
	a, one, two := p.servers[0].lync(alice, "a"), p.servers[1].lync(bob, "b"), p.servers[2].lync(bob, "c")
	var both sync.WaitGroup
	both.Add(2)
	for _, g := range []*guest{one, two} {
		g.answer = func(m *sip.Message) *sip.Message {
			switch m.Method {
			case "INVITE":
				both.Done()
				both.Wait()
			case "CANCEL":
			}
			return g.accept(m)
		}
	}
	res, d := a.do("INVITE", string(bob), call{}, sdpType, "", imOffer)
	sipagent.Status(t, res, 200)
	winner, loser := one, two
	if tagOf(d.to) == "ccallee" {
		winner, loser = two, one
	}
	loser.gets("ACK", "")
	loser.gets("BYE", "")
	a.ack(d)
	winner.gets("ACK", "")
	winner.silent("BYE")
}

func TestServerOutOfReach(t *testing.T) {
	p := start(t)
	a, b, other := p.servers[0].phone(alice), p.servers[1].phone(bob), p.servers[2].phone(bob)
	p.apart(p.servers[0], p.servers[1], true)
	res, _ := a.do("MESSAGE", string(bob), call{}, text, "", "one")
	sipagent.Status(t, res, 200)
	other.gets("MESSAGE", "one")
	other.c.Close()
	sipagent.Await(t, "the end of the connection", func() bool { return p.servers[0].registrar.Locate(bob)[1].Detached })
	begin := time.Now()
	res, _ = a.do("MESSAGE", string(bob), call{}, text, "", "two")
	sipagent.Status(t, res, 480)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the sender is told after %v", took)
	}
	p.apart(p.servers[0], p.servers[1], false)
	res, _ = a.do("MESSAGE", string(bob), call{}, text, "", "three")
	sipagent.Status(t, res, 200)
	b.gets("MESSAGE", "three")
	b.silent("MESSAGE")
}

// TestLinkIsCutUnderAMessage has the link end while a message waits for its answer.
func TestLinkIsCutUnderAMessage(t *testing.T) {
	p := start(t)
	a, b := p.servers[0].phone(alice), p.servers[1].phone(bob)
	b.answer = func(m *sip.Message) *sip.Message {
		p.servers[0].ways[fe2].cut(true)
		return nil
	}
	begin := time.Now()
	res, _ := a.do("MESSAGE", string(bob), call{}, text, "", "lost")
	sipagent.Status(t, res, 480)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the sender is told after %v", took)
	}
	b.c.Respond(sip.NewResponse(b.gets("MESSAGE", "lost"), 200, ""))
}

// TestGatewayBetweenServers is a Lync client that chats with a phone elsewhere.
func TestGatewayBetweenServers(t *testing.T) {
	p := start(t)
	a, b := p.servers[0].lync(alice, "a"), p.servers[1].phone(bob)
	res, d := a.do("INVITE", string(bob), call{}, sdpType, "", imOffer)
	sipagent.Status(t, res, 200)
	a.ack(d)
	res, _ = a.do("MESSAGE", "", d, text, "", "a page")
	sipagent.Status(t, res, 200)
	b.gets("MESSAGE", "a page")
}
