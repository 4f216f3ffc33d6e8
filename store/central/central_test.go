package central_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/rule/policy"
	"trivet/store/central"
	"trivet/test/storetest"
)

type stopped struct{ clock.Real }

func (stopped) Now() time.Time { return storetest.Now }

func open(t *testing.T, path string) *central.SQLite {
	t.Helper()
	s, err := central.OpenSQLite(t.Context(), path, stopped{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Central(t, func(t *testing.T) central.Store {
		return open(t, filepath.Join(t.TempDir(), "a folder?", "central.db"))
	})
}

// TestKilled copies the files as a kill -9 would leave them, after each
// acknowledged change, and finds it in the copy.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := policies(t, open(t, filepath.Join(dir, "central.db")), nil)
	k := policy.UserServicesConfiguration
	for i, most := range []string{"1", "2", "3"} {
		set(t, p, k.Kind, "Global", policy.Values{"MaxContacts": most})
		left := t.TempDir()
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(filepath.Join(dir, "central.db"+suffix))
			if err == nil {
				err = os.WriteFile(filepath.Join(left, "central.db"+suffix), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		again := policies(t, open(t, filepath.Join(left, "central.db")), nil)
		if got := k.For(again.Book(), "").MaxContacts; got != i+1 {
			t.Fatalf("after the kill MaxContacts is %d, want %d", got, i+1)
		}
	}
}

func TestFileOfANewerReleaseIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "central.db")
	s, err := central.OpenSQLite(t.Context(), path, nil)
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err == nil {
		_, err = db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)")
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := central.OpenSQLite(t.Context(), path, nil); err == nil || !strings.Contains(err.Error(), "newer release") {
		t.Errorf("got %v", err)
	}
}

func TestFileThatIsNoDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "central.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := central.OpenSQLite(t.Context(), path, nil); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

func policies(t *testing.T, s central.Store, settings map[*policy.Kind]policy.Values) *central.Policies {
	t.Helper()
	p, err := central.OpenPolicies(t.Context(), s, "Main", settings)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// set lays values over an instance.
func set(t *testing.T, p *central.Policies, k *policy.Kind, identity string, values policy.Values) {
	t.Helper()
	id, err := k.ParseIdentity(identity)
	if err != nil {
		t.Fatal(err)
	}
	err = p.Change(t.Context(), "eve", k, id, func(old policy.Values, _ bool) (policy.Values, error) {
		if values == nil {
			return nil, nil
		}
		return k.Apply(old, values)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPoliciesFollowChanges(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "central.db"))
	p := policies(t, s, nil)
	k := policy.PresencePolicy
	before := p.Book()
	if got := k.For(before, "Service: Medium").MaxPromptedSubscriber; got != 0 {
		t.Errorf("the shipped tag has %d", got)
	}
	set(t, p, k.Kind, "Global", policy.Values{"MaxPromptedSubscriber": "7"})
	set(t, p, k.Kind, "Global", policy.Values{"MaxCategorySubscription": "8"})
	set(t, p, k.Kind, "Bots", policy.Values{"MaxPromptedSubscriber": "9"})
	if got := *k.For(p.Book(), ""); got != (policy.Presence{MaxCategorySubscription: 8, MaxPromptedSubscriber: 7}) {
		t.Errorf("Global: %+v", got)
	}
	if got := k.For(p.Book(), "bots").MaxPromptedSubscriber; got != 9 {
		t.Errorf("a new tag: %d", got)
	}
	if got := k.For(before, "").MaxPromptedSubscriber; got != 200 {
		t.Errorf("a book changed under its reader: %d", got)
	}
	in, _ := p.Book().Find(k.Kind, policy.Identity{})
	if in.By != "eve" || !in.Changed.Equal(storetest.Now) || in.Version == 0 {
		t.Errorf("who and when: %+v", in)
	}
	set(t, p, k.Kind, "Service: Medium", nil)
	if got := k.For(p.Book(), "Service: Medium").MaxPromptedSubscriber; got != 7 {
		t.Errorf("a removed tag: %d", got)
	}
	if got := k.For(policies(t, s, nil).Book(), "Service: Medium").MaxPromptedSubscriber; got != 7 {
		t.Errorf("a removed shipped tag came back: %d", got)
	}
	err := p.Change(t.Context(), "eve", k.Kind, policy.Identity{}, func(policy.Values, bool) (policy.Values, error) {
		return policy.Values{"MaxPromptedSubscriber": "601"}, nil
	})
	if got := k.For(p.Book(), "").MaxPromptedSubscriber; !fault.Is(err, fault.Invalid) || got != 7 {
		t.Errorf("a bad value: %v, %d", err, got)
	}
}

// TestSettingsFile: the file speaks until an administrator has spoken.
func TestSettingsFile(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "central.db"))
	k := policy.UserServicesConfiguration
	start := func(values policy.Values) (*central.Policies, int) {
		p := policies(t, s, map[*policy.Kind]policy.Values{k.Kind: values})
		return p, k.For(p.Book(), "").MaxContacts
	}
	for _, c := range []struct {
		values policy.Values
		want   int
	}{{policy.Values{}, 250}, {policy.Values{"MaxContacts": "500"}, 500}, {policy.Values{"MaxContacts": "600"}, 600}, {policy.Values{}, 250}} {
		if _, got := start(c.values); got != c.want {
			t.Errorf("with %v: %d", c.values, got)
		}
	}
	p, _ := start(policy.Values{"MaxContacts": "500"})
	set(t, p, k.Kind, "Global", policy.Values{"MaxContacts": "300"})
	if _, got := start(policy.Values{"MaxContacts": "500"}); got != 300 {
		t.Errorf("the file won over the administrator: %d", got)
	}
	set(t, p, k.Kind, "Global", nil)
	if _, got := start(policy.Values{"MaxContacts": "500"}); got != 250 {
		t.Errorf("the file won over a removal: %d", got)
	}
	if _, err := central.OpenPolicies(t.Context(), open(t, filepath.Join(t.TempDir(), "c.db")), "Main", map[*policy.Kind]policy.Values{k.Kind: {"MaxContacts": "x"}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a bad value of the file: %v", err)
	}
}

func TestDocumentThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "central.db"))
	for _, c := range []struct{ kind, content string }{{"CsOfALaterRelease", `[]`}, {"CsPresencePolicy", `{"MaxPromptedSubscriber":601}`}} {
		if _, err := s.Change(t.Context(), "eve", c.kind, "Global", func([]byte) ([]byte, error) { return []byte(c.content), nil }); err != nil {
			t.Fatal(err)
		}
		_, err := central.OpenPolicies(t.Context(), s, "Main", nil)
		if known := policy.ByNoun(c.kind) != nil; known && (err == nil || !strings.Contains(err.Error(), "CsPresencePolicy Global")) || !known && err != nil {
			t.Errorf("%s: %v", c.kind, err)
		}
	}
}
