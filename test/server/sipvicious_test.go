package server

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"trivet/test/peer/sipvicious"
)

// TestScanners: the usual tools scan and guess; they find no extension and no
// password, and people sign in and talk meanwhile.
func TestScanners(t *testing.T) {
	s := Start(t)
	s.NewUser(t, "1000") // what scanners look for first
	s.NewUser(t, "2001")
	names := []string{"alice", "bob", "carol", "1000", "2001"}
	for n := range 60 {
		names = append(names, fmt.Sprint(1001+n), fmt.Sprint("nobody", n))
	}
	scanner := func() sipvicious.Scanner {
		return sipvicious.Scanner{From: freshSource(), Server: s.UDP, Domain: domain}
	}
	right := s.Password("sip:2001@" + domain) // the tool works: it may try a few
	if found, tried := scanner().Crack(t, "2001", []string{"one", "two", right}); found != right {
		t.Errorf("svcrack cannot tell the right password when it has it, with %d tries: %q", tried, found)
	}
	done, honest := make(chan struct{}), make(chan string, 1)
	go func() {
		defer close(honest)
		honest <- s.converse(t, done)
	}()

	for _, method := range []string{"OPTIONS", "INVITE", "REGISTER"} {
		found, said := scanner().War(t, method, names)
		if len(found) > 0 && len(found) < len(names)-1 { // all alike tell nothing
			t.Errorf("svwar -m %s tells %d of %d names apart: %v", method, len(found), len(names), found)
		}
		for name, what := range found {
			for other, is := range found {
				if what != is {
					t.Fatalf("svwar -m %s tells %s (%s) from %s (%s)", method, name, what, other, is)
				}
			}
		}
		t.Logf("svwar -m %s takes %d of %d names for extensions; it ends with %.200q", method, len(found), len(names), last(said))
	}
	t.Logf("svmap: %.300q", last(scanner().Map(t, "OPTIONS")))

	passwords := []string{}
	for n := range 150 {
		passwords = append(passwords, fmt.Sprint("guess", n))
	}
	passwords = append(passwords, s.Password("sip:1000@"+domain)) // by then the brake holds
	found, tried := scanner().Crack(t, "1000", passwords)
	if found != "" || tried == 0 || tried > 50 {
		t.Errorf("svcrack finds %q with %d tries; the brake should hold after ten", found, tried)
	}
	t.Logf("svcrack gives up after %d tries of %d", tried, len(passwords))
	close(done)
	t.Log(<-honest)
}

func last(lines []string) string {
	return strings.Join(lines[max(0, len(lines)-3):], " / ")
}

// converse has alice and bob sign in anew and alice write to bob, again and again,
// until done; it says how it went.
func (s *Server) converse(t *testing.T, done <-chan struct{}) string {
	slowest, n := time.Duration(0), 0
	var once sync.Once
	for {
		select {
		case <-done:
			return fmt.Sprintf("%d sign-ins and messages meanwhile, the slowest within %v", n, slowest.Round(time.Millisecond))
		default:
		}
		begin := time.Now()
		if err := s.exchange(t); err != nil {
			once.Do(func() { t.Errorf("people cannot talk meanwhile: %v", err) })
		}
		slowest, n = max(slowest, time.Since(begin)), n+1
		if slowest > 10*time.Second {
			once.Do(func() { t.Errorf("signing in and writing took %v", slowest) })
		}
	}
}

// exchange signs alice and bob in from new addresses and has alice write.
func (s *Server) exchange(t *testing.T) error {
	a, err := s.dial(t, "tcp", From{Addr: freshSource()})
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := s.dial(t, "tcp", From{Addr: freshSource()})
	if err != nil {
		return err
	}
	defer b.Close()
	s.Become(a, alice)
	s.Become(b, bob)
	for _, x := range []*Agent{a, b} {
		res, err := x.Try(x.Request("REGISTER", "sip:"+domain, "<"+x.User+">", "Contact: "+x.Contact(), "Expires: 60"), patience)
		if err != nil || res.Status != 200 {
			return fmt.Errorf("%s signs in: %v %v", x.User, res, err)
		}
	}
	m := a.Request("MESSAGE", bob, "<"+bob+">", "Content-Type: text/plain", "", "hello")
	_, answers, err := a.Start(m)
	if err != nil {
		return err
	}
	b.Reply(b.AwaitMethod("MESSAGE"), 200)
	select {
	case res := <-answers:
		if res.Status >= 300 {
			return fmt.Errorf("the message: %v", res)
		}
	case <-time.After(patience):
		return fmt.Errorf("the message is not answered")
	}
	return nil
}
