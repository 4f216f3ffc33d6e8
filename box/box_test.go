package box

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trivet/fault"
)

// up starts a pool of n stand-ins.
func up(t *testing.T, n int) *Box {
	t.Helper()
	b, err := Start(t.Context(), Spec{Dir: t.TempDir(), FrontEnds: n})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, s := range b.Plan.Servers {
				log, err := os.ReadFile(s.Log)
				t.Logf("%s: %s %v", s.Name, log, err)
			}
		}
	})
	return b
}

// run carries out a script, and fails the test where a line fails.
func run(t *testing.T, b *Box, script string) string {
	t.Helper()
	var out bytes.Buffer
	if err := b.Script(t.Context(), strings.NewReader(script), &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return out.String()
}

func TestServersComeAndGo(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // after the box is closed
	b := up(t, 3)
	out := run(t, b, `
		# a pool of three with one server after the other in trouble
		await ready all
		kill fe1
		await ended fe1
		await ready fe2
		start FE1.example.test
		await ready fe1
		pause fe2
		await paused fe2
		status
		kill fe3
		await starting fe1
		status
		resume fe2
		await ready fe1
		stop fe2
		start fe2
		start fe3
		await ready all
		restart fe3
		await ready all
	`)
	for _, want := range []string{"fe2     paused", "linked to 1 of 3", "signal: killed"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q does not occur in\n%s", want, out)
		}
	}
	r, err := b.Report(t.Context(), "fe2")
	if err != nil || r.State != Ready || r.PID == 0 {
		t.Errorf("%+v %v", r, err)
	}
	for _, c := range []struct {
		line string
		kind fault.Kind
	}{
		{"start fe1", fault.Exists}, {"kill fe9", fault.NotFound}, {"dance fe1", fault.Invalid}, {"cut fe1", fault.Invalid}, {"cut fe1 fe1", fault.Invalid}, {"slow fe1 fe2", fault.Invalid},
		{"slow fe1 fe2 2h", fault.Invalid}, {"slow", fault.Invalid}, {"await", fault.Invalid}, {"await happy fe1", fault.Invalid}, {"await ready fe9", fault.NotFound}, {"cut fe1 and fe2", fault.Invalid},
	} {
		if err := b.Do(t.Context(), c.line, &bytes.Buffer{}); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v, want %s", c.line, err, c.kind)
		}
	}
	if err := b.Kill(t.Context(), "fe1"); err != nil {
		t.Fatal(err)
	}
	if err := b.Kill(t.Context(), "fe1"); !fault.Is(err, fault.Gone) {
		t.Errorf("killed twice: %v", err)
	}
	if err := b.AwaitReady(t.Context()); !fault.Is(err, fault.Gone) || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("waiting for a dead server: %v", err)
	}
}

func TestLinesAreCutAndHealed(t *testing.T) {
	b := up(t, 3)
	out := run(t, b, `
		await ready all
		cut fe1 fe2
		cut fe1 to fe3
		status
		await starting fe1
		await ready fe2
		await ready fe3
		heal fe3 to fe1   
		heal fe1 fe2
		await ready fe1
		heal
		slow fe1 fe2 200ms
		status
		await ready all
	`)
	for _, want := range []string{"cut: fe1.example.test to fe3.example.test", "cut: fe2.example.test to fe1.example.test", "slow by 200ms: fe1.example.test to fe2.example.test"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q does not occur in\n%s", want, out)
		}
	}
	if strings.Contains(out, "cut: fe3.example.test to fe1.example.test") {
		t.Error("a cut one way is one both ways")
	}
}

// A folder that was used before goes on with the same keys; a number is of one
// box at a time.
func TestNumberAndFolder(t *testing.T) {
	dir := t.TempDir()
	var ca [2][]byte
	for i := range ca {
		b, err := Start(t.Context(), Spec{Dir: dir, FrontEnds: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.AwaitReady(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := Start(t.Context(), Spec{Dir: t.TempDir(), FrontEnds: 1, Number: b.Plan.Number}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("a number is given twice: %v", err)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if ca[i], err = os.ReadFile(filepath.Join(b.Plan.Servers[0].Data, "ca.pem")); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(ca[0], ca[1]) {
		t.Error("the authority is another")
	}
	for _, n := range []int{0, 13} {
		if _, err := Start(t.Context(), Spec{Dir: dir, FrontEnds: n}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%d Front Ends: %v", n, err)
		}
	}
	if _, err := Start(t.Context(), Spec{Dir: dir, FrontEnds: 1, Program: []string{"/nowhere"}}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a program that is not there: %v", err)
	}
}

func TestBackEnd(t *testing.T) {
	if _, err := os.Stat("/usr/lib/postgresql/15/bin/postgres"); err != nil {
		t.Skip("without Debian's postgresql-15 there is no Back End")
	}
	dir, err := os.MkdirTemp("", "trivet-lab-") // which, unlike t.TempDir, the user postgres may enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	var pass [2][]byte
	for i := range pass { // the second time goes on with the databases
		b, err := Start(t.Context(), Spec{Dir: dir, FrontEnds: 1, BackEnd: true, Mirror: true})
		if err != nil {
			t.Fatal(err)
		}
		out := run(t, b, "await ready all\npause sql1\nawait paused sql1\nresume sql1\nkill sql2\nawait ended sql2\nstatus\nstart sql2\nawait ready sql2\nrestart sql1\nstatus")
		if !strings.Contains(out, "sql2    ended") || !strings.Contains(out, b.Plan.BackEnd.Address(b.Plan.BackEnd.Servers[0])) {
			t.Errorf("%s", out)
		}
		if err := b.Do(t.Context(), "cut fe1 sql1", &bytes.Buffer{}); !fault.Is(err, fault.Unsupported) {
			t.Errorf("%v", err)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if pass[i], err = os.ReadFile(b.Plan.BackEnd.PassFile); err != nil {
			t.Error(err)
		}
	}
	if !bytes.Equal(pass[0], pass[1]) || bytes.Count(pass[0], []byte{'\n'}) != 2 {
		t.Errorf("the passwords became others, or are not two")
	}
}

func TestReasonOfAnEnd(t *testing.T) {
	b := up(t, 1)
	run(t, b, "await ready fe1\nstop fe1")
	if err := os.WriteFile(b.Plan.Servers[0].Topology, []byte("pools: no"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, b, "start fe1\nawait ended fe1")
	if r, err := b.Report(t.Context(), "fe1"); err != nil || !strings.Contains(r.Reason, "exit status 1: ") {
		t.Errorf("%+v %v", r, err)
	}
}

func TestControl(t *testing.T) {
	b := up(t, 1)
	down := make(chan bool, 1)
	if err := b.Control(func() { down <- true }); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Tell(t.Context(), b.Plan.Dir, "await ready fe1", &out); err != nil {
		t.Fatal(err)
	}
	if err := Tell(t.Context(), b.Plan.Dir, "status", &out); err != nil || !strings.Contains(out.String(), "fe1     ready") {
		t.Errorf("%s %v", out.String(), err)
	}
	if err := Tell(t.Context(), b.Plan.Dir, "kill fe2", &out); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "there are fe1") {
		t.Errorf("%v", err)
	}
	if err := Tell(t.Context(), b.Plan.Dir, DownCommand, &out); err != nil || !<-down {
		t.Error(err)
	}
	if err := Tell(t.Context(), t.TempDir(), "status", &out); !fault.Is(err, fault.NotFound) {
		t.Errorf("a folder without a lab: %v", err)
	}
}

func TestNames(t *testing.T) {
	b := up(t, 2)
	for _, network := range []string{"udp", "tcp"} {
		r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, b.Plan.DNS().String())
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for name, want := range map[string]int{"pool1.example.test.": 2, "SIP.example.test.": 2, "fe2.example.test.": 1} {
			if got, err := r.LookupNetIP(ctx, "ip4", name); err != nil || len(got) != want {
				t.Errorf("%s over %s: %v %v", name, network, got, err)
			}
		}
		if _, got, err := r.LookupSRV(ctx, "sipinternaltls", "tcp", "example.test."); err != nil || len(got) != 1 || got[0].Target != "pool1.example.test." || got[0].Port != 5061 {
			t.Errorf("%v %v", got, err)
		}
		if _, err := r.LookupNetIP(ctx, "ip4", "fe3.example.test."); err == nil {
			t.Error("a name that is not there has an address")
		}
	}
}

func FuzzAnswer(f *testing.F) {
	r := newPlan("/", "", 2, 20).records()
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05pool1\x07example\x04test\x00\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, q []byte) {
		if b := r.answer(q); len(b) > 2*maxDNS {
			t.Fatalf("%d bytes", len(b))
		}
	})
}
