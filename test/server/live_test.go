package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"

	"trivet/link/sipclient"
	"trivet/uc"
	"trivet/wire/sip"
)

// TestDisabledWhileSignedIn: the end of the right to be signed in ends what was
// opened with it, on every transport and for both kinds of clients.
func TestDisabledWhileSignedIn(t *testing.T) {
	s := shared(t)
	for _, network := range []string{"udp", "tcp", "tls", "ws", "wss"} {
		t.Run(network, func(t *testing.T) {
			user := s.NewUser(t, "ending"+network)
			a, b := s.SignIn(t, network, user), s.SignIn(t, "tcp", s.NewUser(t, "other"+network))
			ok, _ := session(t, b, a)
			watcher := s.SignIn(t, "tcp", s.NewUser(t, "watcher"+network))
			watcher.AwaitSubscription(t, user)
			s.Cmdlet(t, "Set-CsUser", map[string]any{"Identity": user, "Enabled": false})
			if network != "udp" && !a.Gone(patience) {
				t.Error("the connection goes on")
			}
			s.noEndpoints(t, user)
			if res := b.Do(within(b, ok, "MESSAGE", psst...)); res.Status != 481 && res.Status != 480 && res.Status != 404 {
				t.Errorf("a message in the open dialog: %d", res.Status)
			}
			if res := b.Do(b.Request("MESSAGE", user, "<"+user+">", psst...)); res.Status != 480 && res.Status != 404 {
				t.Errorf("a new message: %d", res.Status)
			}
			again := s.Dial(t, network)
			s.Become(again, user)
			if res := again.Register(); !challenged(res) {
				t.Errorf("signs in again: %d", res.Status)
			}
			if network == "udp" {
				if res := a.Do(a.Request("MESSAGE", b.User, "<"+b.User+">", psst...)); !challenged(res) {
					t.Errorf("sends from the old address: %d", res.Status)
				}
			}
		})
	}
	t.Run("NTLM over TLS", func(t *testing.T) {
		user := s.NewUser(t, "endingntlm")
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c, err := sipclient.Dial(ctx, sipclient.Config{Addr: s.TLS.String(), TLS: s.Trust(), User: uc.UserURI(user), Password: s.Password(user), Scheme: sipclient.NTLM})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		m := c.Request("REGISTER", uc.UserURI(user))
		m.Add("Contact", c.Contact())
		m.Add("Supported", "gruu-10, msrtc-event-categories")
		if res, err := c.Do(ctx, m); err != nil || res.Status != 200 {
			t.Fatalf("%v\n%v", err, res)
		}
		s.Cmdlet(t, "Set-CsUser", map[string]any{"Identity": user, "Enabled": false})
		select {
		case <-c.Done():
		case <-ctx.Done():
			t.Error("the connection goes on")
		}
		s.noEndpoints(t, user)
	})
}

// noEndpoints waits until the user has none.
func (s *Server) noEndpoints(t *testing.T, user string) {
	t.Helper()
	until(t, "the endpoints of "+user+" are gone", func() bool {
		rows, _ := s.Cmdlet(t, "Get-CsUserEndpoint", map[string]any{"Identity": user})["Rows"].([]any)
		return len(rows) == 0
	})
}

// TestCertificatesReplaced: connections outlive the certificate they began with,
// new ones see the new one, and none of either fails meanwhile.
func TestCertificatesReplaced(t *testing.T) {
	s := Start(t)
	secure := []string{"tls", "wss"}
	old := map[string]*Agent{}
	for i, network := range secure {
		old[network] = s.SignIn(t, network, []string{alice, bob}[i])
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: s.Trust()}}
	defer web.CloseIdleConnections()
	serial, reused := s.getLive(t, web)
	before := map[string]string{"tls": s.serial(t, s.TLS.String()), "wss": s.serial(t, s.WSS.String()), "https": serial}

	ctx, stop := context.WithCancel(context.Background())
	var shakes, failed atomic.Int64
	var workers sync.WaitGroup
	for _, addr := range []string{s.TLS.String(), s.WSS.String(), s.HTTPS.String()} {
		workers.Go(func() {
			for ctx.Err() == nil {
				shakes.Add(1)
				if c, err := tls.Dial("tcp", addr, s.Trust()); err != nil {
					failed.Add(1)
				} else {
					c.Close()
				}
			}
		})
	}
	for round := range 3 {
		for _, use := range []string{"Default", "WebServicesInternal"} {
			rows := s.Cmdlet(t, "Request-CsCertificate", map[string]any{"Type": use})["Rows"].([]any)
			thumb := rows[0].(map[string]any)["Thumbprint"]
			s.Cmdlet(t, "Set-CsCertificate", map[string]any{"Type": []string{use}, "Thumbprint": thumb})
		}
		now := map[string]string{"tls": s.serial(t, s.TLS.String()), "wss": s.serial(t, s.WSS.String()), "https": s.serial(t, s.HTTPS.String())}
		for listener, was := range before {
			if now[listener] == was {
				t.Errorf("round %d: %s still shows certificate %s", round, listener, was)
			}
		}
		before = now
		for network, a := range old {
			if res, err := a.Try(a.Request("OPTIONS", "sip:"+domain, "<sip:"+domain+">"), patience); err != nil || res.Status != 200 {
				t.Errorf("round %d: the old connection over %s: %v", round, network, err)
			}
		}
		done := old["tls"].send(old["tls"].Request("MESSAGE", bob, "<"+bob+">", psst...))
		old["wss"].Reply(old["wss"].AwaitMethod("MESSAGE"), 200)
		wait(t, done, 200)
		if now, again := s.getLive(t, web); !again || now != serial {
			t.Errorf("round %d: the HTTPS connection was not used again (reused %v before %v)", round, again, reused)
		}
	}
	stop()
	workers.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d of %d handshakes failed meanwhile", failed.Load(), shakes.Load())
	}
	t.Logf("%d handshakes meanwhile", shakes.Load())
}

// serial of the certificate that a new handshake shows.
func (s *Server) serial(t *testing.T, addr string) string {
	t.Helper()
	c, err := tls.Dial("tcp", addr, s.Trust())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// getLive asks the health page and tells the certificate of the connection, and
// whether that had been open before.
func (s *Server) getLive(t *testing.T, web *http.Client) (serial string, reused bool) {
	t.Helper()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
	req, err := http.NewRequestWithContext(ctx, "HEAD", "https://"+s.HTTPS.String()+"/health/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.TLS.PeerCertificates[0].SerialNumber.String(), reused
}

// TestOverload: more than limits.requests at once are refused with 503 and a time
// to come back, which differs; those who chat go on, and nothing is left behind.
func TestOverload(t *testing.T) {
	s := Start(t, "limits.requests=4", "limits.endpoints=60")
	a, b := s.SignIn(t, "tcp", alice), s.SignIn(t, "tcp", bob)
	ok, _ := session(t, a, b)
	crowd := make([]*Agent, 40)
	for i := range crowd {
		crowd[i] = s.SignIn(t, "tcp", carol)
	}
	var served, refused, broken atomic.Int64
	var times sync.Map
	var workers sync.WaitGroup
	stop := make(chan struct{})
	for i, c := range crowd {
		workers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				m := c.Request("SERVICE", carol, "<"+carol+">", document("application/SOAP+xml", soap("addGroup", fmt.Sprintf("<m:name>g%d-%d</m:name>", i, n)))...)
				res, err := c.Try(m, patience)
				switch {
				case err != nil:
					broken.Add(1)
					return
				case res.Status == 503:
					refused.Add(1)
					times.Store(res.Get("Retry-After"), true)
				default:
					served.Add(1)
				}
			}
		})
	}
	go func() { // the other side of the chat
		for {
			select {
			case <-stop:
				return
			case <-b.arrived:
				for m := b.pick((*sip.Message).IsRequest); m != nil; m = b.pick((*sip.Message).IsRequest) {
					b.Reply(m, 200)
				}
			}
		}
	}()
	for i := range 200 {
		res, err := a.Try(within(a, ok, "MESSAGE", psst...), patience)
		if err != nil || res.Status != 200 {
			t.Fatalf("message %d of the chat: %v %v", i, err, res)
		}
	}
	until(t, "the crowd is refused", func() bool { return refused.Load() > 100 })
	close(stop)
	workers.Wait()
	kinds := 0
	times.Range(func(k, _ any) bool {
		kinds++
		if k == "" {
			t.Error("503 without Retry-After")
		}
		return true
	})
	if broken.Load() > 0 || served.Load() == 0 || kinds < 3 {
		t.Errorf("%d served, %d refused with %d kinds of Retry-After, %d broken", served.Load(), refused.Load(), kinds, broken.Load())
	}
	t.Logf("%d served, %d refused with %d kinds of Retry-After", served.Load(), refused.Load(), kinds)
	if res := a.Do(a.Request("OPTIONS", "sip:"+domain, "<sip:"+domain+">")); res.Status != 200 {
		t.Errorf("afterwards: %d", res.Status)
	}
}
