package directory_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"trivet/fault"
	rule "trivet/rule/directory"
	"trivet/store/central"
	"trivet/store/directory"
	"trivet/store/users"
	"trivet/test/storetest"
	"trivet/uc"
)

func newUser(name string) users.New {
	return users.New{
		User: users.User{
			SipAddress: uc.UserURI("sip:" + name + "@example.test"), UserPrincipalName: name + "@example.test", SamAccountName: name, DisplayName: name,
			WindowsEmailAddress: name + "@example.test", Enabled: true, EnabledForRichPresence: true,
		},
		Secrets: users.Secrets{Argon2id: "$argon2id$" + name, NTHash: []byte{1}},
	}
}

// TestToldAlike: every server tells the same, in the same order, whoever wrote.
func TestToldAlike(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1, nil)
	var told [3][]string
	for i, s := range p.on {
		s.users.OnChange(func(c users.Change) {
			told[i] = append(told[i], fmt.Sprint(name(c.Old), " ", name(c.New), " ", c.Password))
		})
		s.users.OnRevoke(func(list []users.Certificate) {
			for _, c := range list {
				told[i] = append(told[i], "revoked "+c.Serial)
			}
		})
		s.config.OnChange(func(c central.Change) {
			told[i] = append(told[i], fmt.Sprintf("%d %s %s %s", c.Version, c.Identity, c.Old, c.New))
		})
	}
	ctx := t.Context()
	var failed []error
	try := func(err error) { failed = append(failed, err) }
	made, err := p.on[0].users.Create(ctx, newUser("a"), newUser("b"))
	if err != nil {
		t.Fatal(err)
	}
	a, b := made[0].GUID, made[1].GUID
	_, err = p.on[1].users.Update(ctx, b, func(u *users.User) error { u.Manager = "sip:a@example.test"; return nil })
	try(err)
	_, err = p.on[2].users.Update(ctx, a, func(u *users.User) error { u.SipAddress = "sip:c@example.test"; return nil })
	try(err)
	try(p.on[0].users.SetSecrets(ctx, b, users.Secrets{Argon2id: "$argon2id$new"}))
	for i := range 2 {
		try(p.on[i].users.AddCertificate(ctx, users.Certificate{Serial: fmt.Sprint(i), GUID: b, KeyHash: bytes.Repeat([]byte{byte(i)}, 32), Issued: storetest.Now.Add(time.Duration(i)), Expires: storetest.Now.Add(time.Hour)}))
	}
	_, err = p.on[2].users.Revoke(ctx, b, "")
	try(err)
	for i, content := range []string{`{"a":1}`, `{"a":2}`} {
		_, err = p.on[i].config.Change(ctx, "admin", "CsX", "Tag:T", func([]byte) ([]byte, error) { return []byte(content), nil })
		try(err)
	}
	try(p.on[2].users.Delete(ctx, b))
	for i, err := range failed {
		if err != nil {
			t.Errorf("write %d: %v", i, err)
		}
	}
	p.alike()
	want := []string{"- a true", "- b true", "b b false", "a a false", "b b false", "b b true", "revoked 1", "revoked 0", `1 Tag:T  {"a":1}`, `2 Tag:T {"a":1} {"a":2}`, "b - false"}
	for i := range told {
		slices.SortStableFunc(told[i][6:8], func(x, y string) int { return strings.Compare(y, x) })
		if !slices.Equal(told[i], want) {
			t.Errorf("server %d told\n%q, want\n%q", i, told[i], want)
		}
	}
}

func name(u *users.User) string {
	if u == nil {
		return "-"
	}
	return u.DisplayName
}

// TestImport is a batch of 20,000 users; it is there as a whole or not at all.
func TestImport(t *testing.T) {
	t.Parallel()
	p := newPool(t, 0, nil)
	list := make([]users.Write, 20_000)
	for i := range list {
		n := newUser(fmt.Sprintf("user%05d", i))
		list[i].New = &n
	}
	out, err := p.on[1].users.Batch(t.Context(), users.SkipRefused, list)
	if err != nil || out[19_999].Refused != nil {
		t.Fatal(err, out[len(out)-1].Refused)
	}
	again, err := p.on[2].users.Batch(t.Context(), users.AllOrNothing, list[:2])
	if err != nil || again[0].Refused == nil || len(p.log) < 10 {
		t.Errorf("again: %v, %v, %d entries", again, err, len(p.log))
	}
	if u, err := p.on[0].users.ByAddress(t.Context(), "sip:user19999@example.test"); err != nil || u.RoutingGroup != 4 {
		t.Errorf("the last one: %+v, %v", u, err)
	}
	if _, err := p.on[0].users.SetPhoto(t.Context(), out[0].User.GUID, picture(t)); err != nil {
		t.Error(err)
	}
	if n, err := p.on[2].users.Photo(t.Context(), out[0].User.GUID); err != nil || len(n.Data) < 80_000 {
		t.Errorf("a photo of %d bytes, %v", len(n.Data), err)
	}
}

// picture is some 90 KB of PNG.
func picture(t *testing.T) []byte {
	m := image.NewNRGBA(image.Rect(0, 0, 150, 150))
	r := rand.New(rand.NewPCG(1, 1))
	for i := range m.Pix {
		m.Pix[i] = byte(r.Uint32()) | 1
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// crash leaves a server's files as a kill -9 does, and starts it on them.
func (s *server) crash() {
	dir := s.p.t.(*testing.T).TempDir()
	for _, f := range []string{"users.db", "users.db-wal", "central.db", "central.db-wal"} {
		b, err := os.ReadFile(filepath.Join(s.dir, f))
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f), b, 0o600)
		}
		if err != nil {
			s.p.t.Fatal(err)
		}
	}
	s.close()
	s.dir = dir
	s.open()
}

// TestWritersAndCrashes has all servers write at a time while they are behind each
// other, die, start again from a snapshot, or lose all they have. All that was
// acknowledged is there at the end, and all files are alike.
func TestWritersAndCrashes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			p := newPool(t, 2, nil)
			live := map[string]bool{} // GUIDs of acknowledged users
			var mu sync.Mutex
			for round := range 8 {
				var wg sync.WaitGroup
				for i, s := range p.on {
					own := rand.New(rand.NewPCG(seed, uint64(round*3+i+2)))
					wg.Go(func() {
						for k := range 6 {
							write(t, s, own, fmt.Sprintf("u%d-%d-%d", round, i, k), live, &mu)
						}
					})
				}
				wg.Wait()
				s := p.on[r.IntN(3)]
				switch r.IntN(4) {
				case 0:
					p.snapshot(s)
				case 1:
					s.crash()
				case 2: // dies with a large change under way
					s.lose()
				case 3:
					p.snapshot(p.on[r.IntN(3)])
					s.close()
					s.dir = t.TempDir()
					s.open()
				}
			}
			p.alike()
			all, err := p.on[0].users.List(t.Context(), users.Query{})
			if err != nil || len(all) != len(live) {
				t.Errorf("%d users of %d, %v", len(all), len(live), err)
			}
			for _, u := range all {
				if !live[u.GUID] {
					t.Errorf("%s was deleted or never made", u.DisplayName)
				}
			}
		})
	}
}

// lose puts the first part of a change into the log, whose writer dies then.
func (s *server) lose() {
	s.m.Serve(&cut{Group: s, left: 1})
	_, err := s.config.Change(context.Background(), "lost", "CsX", "Tag:Large", func([]byte) ([]byte, error) {
		return fmt.Appendf(nil, "%q", strings.Repeat("x", 900_000)), nil
	})
	if !fault.Is(err, fault.Unavailable) {
		s.p.t.Errorf("a dying server acknowledges: %v", err)
	}
	s.crash()
}

// cut is a log that takes some entries and is gone then.
type cut struct {
	directory.Group
	left int
}

func (c *cut) Propose(ctx context.Context, cmd []byte) (any, error) {
	if c.left--; c.left < 0 {
		return nil, fault.New(fault.Unavailable, "cut.Propose", "gone")
	}
	return c.Group.Propose(ctx, cmd)
}

func write(t *testing.T, s *server, r *rand.Rand, name string, live map[string]bool, mu *sync.Mutex) {
	ctx := context.Background()
	check := func(err error) bool {
		if err != nil && !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
		return err == nil
	}
	made, err := s.users.Create(ctx, newUser(name))
	if !check(err) {
		return
	}
	guid := made[0].GUID
	mu.Lock()
	live[guid] = true
	var other string
	for g := range live {
		other = g
		break
	}
	mu.Unlock()
	switch r.IntN(5) {
	case 0:
		_, err = s.users.Update(ctx, other, func(u *users.User) error { u.Title += "."; return nil })
	case 1:
		mu.Lock()
		delete(live, other)
		mu.Unlock()
		err = s.users.Delete(ctx, other)
	case 2:
		_, err = s.users.CreateGroup(ctx, users.Group{Mail: name + "-group@example.test", DisplayName: "group of " + name}, rule.Member{User: guid}, rule.Member{Mail: "x@y.test"})
		if fault.Is(err, fault.NotFound) {
			err = nil // the user was deleted by now
		}
	case 3:
		_, err = s.config.Change(ctx, name, "CsX", "Global", func(old []byte) ([]byte, error) {
			return fmt.Appendf(nil, `{"from":%q}`, name), nil
		})
	case 4:
		err = s.users.SetSecrets(ctx, other, users.Secrets{Argon2id: "$argon2id$" + name})
	}
	check(err)
}

// TestForget: a server whose copies are of another history comes to be like the others.
func TestForget(t *testing.T) {
	t.Parallel()
	p, lost := newPool(t, 0, nil), newPool(t, 0, nil)
	for i, q := range []*pool{p, lost} {
		if _, err := q.on[0].users.Create(t.Context(), newUser(fmt.Sprint("pool", i))); err != nil {
			t.Fatal(err)
		}
	}
	p.snapshot(p.on[1])
	s := lost.on[0]
	if err := s.m.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.m.Restore(bytes.NewReader(p.snap)); err != nil {
		t.Fatal(err)
	}
	if got, want := append(s.rows("users.db"), s.rows("central.db")...), append(p.on[2].rows("users.db"), p.on[2].rows("central.db")...); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestBeforeTheGroupRuns(t *testing.T) {
	t.Parallel()
	p := newPool(t, 0, nil)
	p.on[0].m.Serve(nil)
	if _, err := p.on[0].users.Create(t.Context(), newUser("a")); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
	if r, _ := p.on[0].m.Apply(1, []byte("\x05otherX")); !fault.Is(r.(error), fault.Invalid) {
		t.Errorf("got %v", r)
	}
}
