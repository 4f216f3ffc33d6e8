package durability

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trivet/test/peer/loopback"
)

// witness is a client and every state of its account that was acknowledged, in
// order.
type witness struct {
	*client
	mu   sync.Mutex // guards past
	past []*account
}

func (w *witness) note() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.past = append(w.past, w.account)
}

// last is the number of the last state that was acknowledged.
func (w *witness) last() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.past) - 1
}

// taken is a backup made under load: the states that were acknowledged before it
// was begun and after it had ended.
type taken struct {
	file          string
	before, after []int
	staff         [2]int // cmdlets that had succeeded
}

// TestBackupUnderLoad makes backups while users change everything they can and an
// administrator works, kills the server, and restores each of them. Every user
// finds one of the states between what was acknowledged before the backup was begun
// and what had been sent when it ended, whole; nobody is registered; and the server
// goes on from there.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	const users, backups, between = 8, 4, 300
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("to repeat: go test ./test/durability -run %s -seed %d", t.Name(), *seed)
	var names []string
	var all []*witness
	for i := range users {
		names = append(names, fmt.Sprintf("user%02d", i))
		all = append(all, &witness{client: newClient(names[i], rand.New(rand.NewPCG(*seed, uint64(i+1))))})
	}
	s := emptyServer(t)
	s.populate(t, 1, names[:users/2]...) // so many in one group that its log is cut off
	s.populate(t, groups, names[users/2:]...)
	s.run(t)
	for i, w := range all {
		w.others = append(w.others, all[(i+1)%users].user)
		w.comeBack(t, s.at(5060))
		w.note()
	}
	admin := &people{server: s, dice: rand.New(rand.NewPCG(*seed, 1000)), titles: map[string]string{}}
	var titles []map[string]string
	var lock sync.Mutex // guards titles
	died := &lives{}
	var wg sync.WaitGroup
	for _, w := range all {
		wg.Go(func() { w.work(t, died, w.note) })
	}
	titles = append(titles, admin.titles)
	wg.Go(func() {
		admin.work(t, died, func() {
			lock.Lock()
			defer lock.Unlock()
			titles = append(titles, admin.titles)
		})
	})
	states := func() (now []int, cmdlets int) {
		for _, w := range all {
			now = append(now, w.last())
		}
		lock.Lock()
		defer lock.Unlock()
		return now, len(titles) - 1
	}
	var made []taken
	for n := range backups {
		await(t, "more changes", func() bool {
			now, cmdlets := states()
			return slices.Min(now) > (n+1)*between/2 && cmdlets > n
		})
		b := taken{file: filepath.Join(t.TempDir(), "trivet.tgz")}
		b.before, b.staff[0] = states()
		s.must(t, "backup", b.file)
		b.after, b.staff[1] = states()
		made = append(made, b)
	}
	died.dead.Store(true)
	s.process.Kill()
	wg.Wait()
	for _, w := range all {
		w.hangUp()
		if w.pending != nil { // sent, perhaps even before the last backup ended
			w.past = append(w.past, w.pending.after)
		}
	}
	if admin.pending != nil {
		titles = append(titles, admin.pending)
	}
	for n, b := range made {
		t.Run(fmt.Sprintf("backup %d", n+1), func(t *testing.T) { s.restore(t, b, all, titles) })
	}
}

// restore makes a server of a backup and looks at it.
func (s *server) restore(t *testing.T, b taken, all []*witness, titles []map[string]string) {
	again := &server{program: s.program, addr: loopback.Addr(t), data: filepath.Join(t.TempDir(), "again")}
	out := again.must(t, "restore", b.file)
	if !strings.Contains(string(out), "trivet run --data "+again.data) {
		t.Errorf("restore says %s", out)
	}
	again.run(t)
	moved := 0
	for i, w := range all {
		w := newWitness(w)
		got, _, err := w.read(t.Context(), again.at(5060))
		if err != nil {
			t.Errorf("%s: %v", w.user, err)
			continue
		}
		if len(got.Bound) > 0 {
			t.Errorf("%s is registered: %v", w.user, got.Bound)
		}
		from, to := b.before[i], min(b.after[i]+1, len(all[i].past)-1)
		at := slices.IndexFunc(all[i].past[from:to+1], func(a *account) bool { return same(a, got) == "" })
		if at < 0 {
			t.Errorf("%s has none of the states %d to %d; that before the backup (-) and what is there (+):\n%s", w.user, from, to, same(all[i].past[from], got))
			continue
		}
		moved += at
		w.goOn(t, all[i].past[from+at])
	}
	got := again.staff(t)
	from, to := b.staff[0], min(b.staff[1]+1, len(titles)-1)
	if !slices.ContainsFunc(titles[from:to+1], func(want map[string]string) bool { return cmp.Equal(want, got) }) {
		t.Errorf("the administrator's users are none of %v: %v", titles[from:to+1], got)
	}
	if left, err := os.ReadDir(filepath.Dir(again.data)); err != nil || len(left) != 1 {
		t.Errorf("beside the folder are %v, %v", left, err)
	}
	t.Logf("of %d changes that were made while the backup was, %d are in it", sum(b.after)-sum(b.before), moved)
}

// newWitness is the same user with another connection.
func newWitness(w *witness) *witness {
	return &witness{client: newClient(w.user.User(), rand.New(rand.NewPCG(1, 1)))}
}

// same is how two accounts differ, but for what is registered.
func same(want, got *account) string {
	return cmp.Diff(want, got, cmpopts.IgnoreUnexported(account{}), cmpopts.IgnoreFields(account{}, "Bound"), cmpopts.EquateEmpty())
}

// goOn makes some more changes, each on top of what was restored.
func (w *witness) goOn(t *testing.T, a *account) {
	defer w.hangUp()
	a = a.clone()
	a.Bound = map[string]string{}
	w.account, w.others = a, append(w.others, address("somebody"))
	for range 20 {
		ch := w.change()
		if _, err := w.ask(t.Context(), ch.req); err != nil {
			t.Errorf("%s goes on: %s: %v", w.user, ch.name, err)
			return
		}
		w.take(ch)
	}
}

// staff are the titles of the administrator's users, and the policy's text.
func (s *server) staff(t *testing.T) map[string]string {
	var rows []struct{ Identity, Title string }
	if err := json.Unmarshal(s.must(t, "Get-CsUser", "-As", "json"), &rows); err != nil {
		t.Fatal(err)
	}
	got := (&people{server: s}).policy(t)
	for _, r := range rows {
		if strings.HasPrefix(r.Identity, staff) {
			got[r.Identity] = r.Title
		}
	}
	return got
}

func sum(list []int) (n int) {
	for _, x := range list {
		n += x
	}
	return n
}

// TestKilledBackup: a server that dies in the middle of backups loses nothing,
// starts with a tidy folder, and who asked is left without a file that could be
// taken for one.
func TestKilledBackup(t *testing.T) {
	t.Parallel()
	s := newServer(t, "ann")
	s.run(t)
	newClient("ann", nil).befriend(t, s)
	dir := t.TempDir()
	for i := range 6 {
		ended := make(chan error, 1)
		file := filepath.Join(dir, fmt.Sprintf("%d.tgz", i))
		go func() {
			_, err := s.cmdlet(t.Context(), "backup", file)
			ended <- err
		}()
		<-time.After(time.Duration(rand.Int64N(int64(80 * time.Millisecond))))
		s.process.Kill()
		err := <-ended
		_, statErr := os.Stat(file)
		if (err == nil) != (statErr == nil) {
			t.Errorf("the backup ended with %v, the file: %v", err, statErr)
		}
		s.run(t)
		if left, _ := filepath.Glob(filepath.Join(s.data, "backup*")); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.partial")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if n := newClient("ann", nil).friends(t, s); n != 1 {
		t.Errorf("ann has %d contacts", n)
	}
	s.must(t, "backup", filepath.Join(dir, "last.tgz"))
}
