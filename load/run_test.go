package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trivet/kit/conf"
	"trivet/kit/log"
	"trivet/role/frontend"
	"trivet/test/peer/loopback"
	"trivet/uc"
)

// target is a whole server in this process with users of its own.
type target struct {
	frontend.Ready
	data   string
	people []Person
}

func startServer(t *testing.T, users int) *target {
	t.Helper()
	s := &target{data: filepath.Join(t.TempDir(), "data")}
	set, err := conf.Load(s.data, map[string]string{"listen": loopback.Addr(t).String()})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if s.people, err = Invent(filepath.Join(s.data, UsersFile), set.Domain, users); err != nil {
		t.Fatal(err)
	}
	var list []frontend.Newcomer
	for _, p := range s.people {
		list = append(list, frontend.Newcomer{SipAddress: p.SipAddress, Password: p.Password})
	}
	for _, want := range []int{users, 0} {
		if made, err := frontend.Seed(t.Context(), set, log.Discard(), list); err != nil || made != want {
			t.Fatalf("%d users made, want %d: %v", made, want, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan frontend.Ready, 1), make(chan error, 1)
	go func() {
		ended <- frontend.Serve(ctx, set, slog.New(slog.DiscardHandler), io.Discard, func(r frontend.Ready) { ready <- r })
	}()
	select {
	case s.Ready = <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if _, err := frontend.Seed(t.Context(), set, log.Discard(), list); err == nil {
		t.Error("users are made in a folder in which a server runs")
	}
	return s
}

func (s *target) trust(t *testing.T) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(s.data, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: s.TLS.Addr().String(), ClientSessionCache: tls.NewLRUClientSessionCache(8)}
}

// play runs a load that must have no failure of any kind.
func play(t *testing.T, cfg Config) *Report {
	t.Helper()
	var lines bytes.Buffer
	cfg.Progress = &lines
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	rep, err := r.Play(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	rep.Print(&text)
	t.Logf("%s", text.String())
	c := rep.Counts
	if rep.Failed || c.Unconnected+c.Dropped+c.Strange+c.SignaturesWrong+c.ToldToWait > 0 {
		t.Errorf("failures: %v %+v", rep.Why, c)
	}
	for _, a := range rep.Acts {
		if n := a.refused() + a.Unanswered + a.Lost; n > 0 {
			t.Errorf("%s failed %d times", a.Name, n)
		}
		if a.Planned != a.Skipped+a.Answered+a.Open || a.Sent > a.Planned {
			t.Errorf("%s does not add up: %+v", a.Name, a)
		}
	}
	if !strings.Contains(lines.String(), "signed in") {
		t.Errorf("no progress is shown: %q", lines.String())
	}
	return rep
}

func (rep *Report) act(t *testing.T, name string) *ActReport {
	t.Helper()
	for i := range rep.Acts {
		if rep.Acts[i].Name == name {
			return &rep.Acts[i]
		}
	}
	t.Fatalf("the report has no %s", name)
	return nil
}

// A day of twenty people in seconds, over TLS with signed messages: everything the
// model plays happens and nothing fails.
func TestWholeRun(t *testing.T) {
	t.Parallel()
	s := startServer(t, 20)
	rep := play(t, Config{
		Model: Lync2013(), People: s.people, Server: s.TLS.String(), TLS: s.trust(t), Scheme: NTLM, Seed: 1, Ramp: time.Second, Length: 7 * time.Second,
		Speed: 300, Fill: true, Contacts: 5, Weight: map[Act]float64{Talk: 4}, Data: s.data,
	})
	if a := rep.act(t, "sign-in"); a.Answered != 38 {
		t.Errorf("%d endpoints signed in, want 38", a.Answered)
	}
	for _, name := range []string{
		"signed in wholly", "publication", "IM session", "message", "typing notice", "end of IM session", "poll: mail", "search", "poll: results",
		"short subscription", "its end", "contact list", "provisioning", "own presence", "contacts' presence", "first publication", "keep-alive",
		"access levels set", "contact added", "people acknowledged",
	} {
		if a := rep.act(t, name); a.Answered == 0 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if a := rep.act(t, "contact added"); a.Answered != 100 {
		t.Errorf("%d contacts were added, want 5 for each of 20", a.Answered)
	}
	if m := rep.act(t, "message"); rep.Counts.Deliveries < m.Answered {
		t.Errorf("%d messages came, %d were answered", rep.Counts.Deliveries, m.Answered)
	}
	if rep.Notes.Expected == 0 {
		t.Error("no notification of a note is expected")
	}
	if rep.Spread.Count == 0 || rep.Counts.Resumed == 0 || rep.Counts.SignaturesChecked == 0 {
		t.Errorf("%d notes came, %d sessions were resumed, %d signatures checked", rep.Spread.Count, rep.Counts.Resumed, rep.Counts.SignaturesChecked)
	}
	if x := rep.Samples[0]; x.ServerRSS == 0 || x.Goroutines == 0 || x.Heap == 0 || x.Descriptors == 0 || x.Disk == 0 {
		t.Errorf("the server is not watched: %+v", x)
	}
	if file := filepath.Join(t.TempDir(), "report.json"); rep.WriteFile(file) != nil {
		t.Error("the report cannot be written")
	}
}

// Conferences of an hour in three seconds: everybody comes, says something to all
// others, and leaves.
func TestMeetings(t *testing.T) {
	t.Parallel()
	s := startServer(t, 12)
	weight := idleWeights()
	weight[Conference] = 40
	rep := play(t, Config{
		Model: Lync2013(), People: s.people, Server: s.TCP.String(), Scheme: NTLM, Seed: 2, Ramp: time.Second, Length: 9 * time.Second, Speed: 1200, Weight: weight,
	})
	for _, name := range []string{"conference", "conference joined", "its roster", "its messages joined", "conference message", "conference left"} {
		if a := rep.act(t, name); a.Answered == 0 {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if said := rep.act(t, "conference message").Answered; rep.Counts.Deliveries < 2*said {
		t.Errorf("%d messages came of %d that were said to three others and more", rep.Counts.Deliveries, said)
	}
}

// Two days of ten people over TCP with Digest, quickly: registrations and
// subscriptions are renewed, people sign out and come again.
func TestDays(t *testing.T) {
	t.Parallel()
	s := startServer(t, 10)
	rep := play(t, Config{
		Model: Lync2013(), People: s.people, Server: s.TCP.String(), Scheme: Digest, Seed: 1, Ramp: time.Second, Length: 8 * time.Second, Speed: 12000,
		Session: 17 * time.Hour, Away: time.Hour, Endpoints: 1, Contacts: 3,
		Weight: map[Act]float64{Publish: 0, Talk: 0, PollCard: 0, PollClick: 0, PollMail: 0, PollRest: 0, Search: 0, Short: 0, Conference: 0},
	})
	for name, least := range map[string]int64{"sign-in": 11, "sign-out": 10, "registration renewed": 10, "subscription renewed": 30} {
		if a := rep.act(t, name); a.Answered < least {
			t.Errorf("%s: %d answered, want %d", name, a.Answered, least)
		}
	}
}

func TestUsersThroughTheManagementSocket(t *testing.T) {
	t.Parallel()
	s := startServer(t, 2)
	people, err := Invent(filepath.Join(s.data, UsersFile), "example.test", 5)
	if err != nil || len(people) != 5 || people[0] != s.people[0] {
		t.Fatalf("%v %v", people, err)
	}
	for _, want := range []int{3, 0} {
		if made, err := MakeUsers(t.Context(), s.data, people); err != nil || made != want {
			t.Errorf("%d users were made, want %d: %v", made, want, err)
		}
	}
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	two := []Person{{SipAddress: "sip:a@x.test", Password: "p"}, {SipAddress: "sip:b@x.test", Password: "p"}}
	good := Config{Model: Lync2013(), People: two, Server: "127.0.0.1:5060", Scheme: NTLM, Speed: 1}
	for name, spoil := range map[string]func(*Config){
		"two users": func(c *Config) { c.People = two[:1] }, "speed": func(c *Config) { c.Speed = 0 }, "sign-in is by": func(c *Config) { c.Scheme = "basic" },
		"host:port": func(c *Config) { c.Server = "localhost" }, "endpoint": func(c *Config) { c.Endpoints = 0.5 },
	} {
		c := good
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for text, want := range map[string]string{`{`: "JSON list", `[{"SipAddress":"bob","Password":"x"}]`: "entry 1", `[{"SipAddress":"sip:bob@x.test"}]`: "Password"} {
		file := filepath.Join(t.TempDir(), "users.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadPeople(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestPopulation(t *testing.T) {
	t.Parallel()
	var people []Person
	for _, name := range strings.Fields("a b c d e f g h i j") {
		people = append(people, Person{SipAddress: uc.UserURI("sip:" + name + "@x.test"), Password: "p"})
	}
	r, err := New(Config{Model: Lync2013(), People: people, Server: "127.0.0.1:5060", Scheme: NTLM, Speed: 1, Contacts: 4, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.endpoints) != 19 {
		t.Errorf("%d endpoints, want 19", len(r.endpoints))
	}
	watchers := map[string]int{}
	for i := range r.users {
		u, mine := &r.users[i], map[string]bool{}
		if u.endpoints < 1 || u.endpoints > 2 || r.endpoints[u.first].user != u {
			t.Errorf("%s has %d endpoints from %d", u.address, u.endpoints, u.first)
		}
		for k := range r.offsets {
			c := r.contact(u, k).address
			mine[c] = true
			watchers[c]++
		}
		if len(mine) != 4 || mine[u.address] {
			t.Errorf("%s has the contacts %v", u.address, mine)
		}
	}
	for who, n := range watchers {
		if n != 4 {
			t.Errorf("%s is watched by %d, want 4", who, n)
		}
	}
}
