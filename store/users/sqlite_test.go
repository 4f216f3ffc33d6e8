package users_test

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/rule/directory"
	"trivet/store/users"
	"trivet/test/storetest"
	"trivet/uc"
)

type stopped struct{ clock.Real }

func (stopped) Now() time.Time { return storetest.Now }

func open(t *testing.T, path string) *users.SQLite {
	t.Helper()
	s, err := users.OpenSQLite(t.Context(), path, users.Options{Clock: stopped{}, Groups: 4})
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
	storetest.Users(t, func(t *testing.T) users.Store { return open(t, filepath.Join(t.TempDir(), "a folder?", "users.db")) })
}

func newUser(i int) users.New {
	name := fmt.Sprintf("user%d", i)
	return users.New{User: users.User{
		SipAddress: uc.UserURI("sip:" + name + "@example.test"), UserPrincipalName: name + "@example.test", SamAccountName: name, DisplayName: name, Enabled: true,
	}}
}

func smallPicture(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 2, 2))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestKilled copies the files as a kill -9 would leave them, after each
// acknowledged change, and finds every one of them in the copy.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "users.db"))
	for i := range 5 {
		made, err := s.Create(t.Context(), newUser(i))
		if err != nil {
			t.Fatal(err)
		}
		g, err := s.CreateGroup(t.Context(), users.Group{Mail: fmt.Sprintf("group%d@example.test", i), DisplayName: "G"})
		if err != nil {
			t.Fatal(err)
		}
		_, errPhoto := s.SetPhoto(t.Context(), made[0].GUID, smallPicture(t))
		if _, err := s.AddMembers(t.Context(), g.GUID, directory.Member{User: made[0].GUID}); errors.Join(err, errPhoto) != nil {
			t.Fatal(err, errPhoto)
		}
		left := t.TempDir()
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(filepath.Join(dir, "users.db"+suffix))
			if err == nil {
				err = os.WriteFile(filepath.Join(left, "users.db"+suffix), b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		again := open(t, filepath.Join(left, "users.db"))
		if all, err := again.List(t.Context(), users.Query{}); err != nil || len(all) != i+1 {
			t.Fatalf("after the kill %d of %d users are there, %v", len(all), i+1, err)
		}
		if _, err := again.Photo(t.Context(), made[0].GUID); err != nil {
			t.Errorf("after the kill: %v", err)
		}
		if x, err := again.Expand(t.Context(), g.Mail, 0); err != nil || len(x.Members) != 1 {
			t.Errorf("after the kill the group has %v, %v", x.Members, err)
		}
		if made, err := again.Create(t.Context(), newUser(99)); err != nil || int(made[0].RoutingGroup) != (i+1)%4+1 {
			t.Errorf("group of the next user: %v, %v, want %d", made, err, (i+1)%4+1)
		}
	}
}

func TestFileOfANewerReleaseIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users.db")
	open(t, path)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
		t.Fatal(err)
	}
	if _, err := users.OpenSQLite(t.Context(), path, users.Options{}); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "newer release") {
		t.Errorf("got %v", err)
	}
}

// TestUpgrade opens a file that release 1 wrote, before there were groups, and
// finds everything in its place, searchable.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users.db")
	packed, err := os.Open("testdata/release-1.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	r, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the upgrade, then a usual start
		s, err := users.OpenSQLite(t.Context(), path, users.Options{Clock: stopped{}, Groups: 4})
		if err != nil {
			t.Fatal(err)
		}
		checkUpgraded(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWordsAreMadeAnew opens a file whose words were made by other rules.
func TestWordsAreMadeAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users.db")
	if _, err := open(t, path).CreateGroup(t.Context(), users.Group{Mail: "sales@example.test", DisplayName: "Vertrieb Süd"}); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, text := range []string{"DELETE FROM group_words", "UPDATE word_version SET version = 1"} {
		if _, err := db.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	q := directory.Search{Terms: []directory.Term{{Text: "sud"}}, Limit: 5}
	for range 2 {
		if list, _, err := open(t, path).SearchGroups(t.Context(), q); err != nil || len(list) != 1 {
			t.Errorf("found %v, %v", list, err)
		}
	}
}

func checkUpgraded(t *testing.T, s *users.SQLite) {
	t.Helper()
	u, err := s.Find(t.Context(), "alice")
	want := users.User{
		GUID: "11111111-1111-4111-8111-111111111111", SipAddress: "sip:alice@example.test", UserPrincipalName: "alice@Example.test", SamAccountName: "Alice",
		DisplayName: "Alice Müller", FirstName: "Alice", LastName: "Müller", WindowsEmailAddress: "alice@example.test", Title: "Boss", Company: "Example",
		Department: "Sales", Office: "B 1", Phone: "+1 425 555 0100", LineURI: "tel:+14255550100", Enabled: true, EnabledForRichPresence: true,
		AdminRoles: []string{"CsHelpDesk", "CsUserAdministrator"}, RegistrarPool: "sip.example.test", RoutingGroup: 1, WhenCreated: u.WhenCreated, WhenChanged: u.WhenCreated,
	}
	if d := cmp.Diff(want, u); err != nil || d != "" || u.WhenCreated.IsZero() {
		t.Errorf("%v\n%s", err, d)
	}
	if c, err := s.Secrets(t.Context(), u.GUID); err != nil || c.Argon2id != "$argon2id$alice" || len(c.NTHash) != 1 {
		t.Errorf("secrets: %+v, %v", c, err)
	}
	if list, err := s.Certificates(t.Context(), u.GUID); err != nil || len(list) != 1 || list[0].Serial != "ab" {
		t.Errorf("certificates: %v, %v", list, err)
	}
	if list, err := s.Renames(t.Context()); err != nil || len(list) != 1 || list[0].New != "sip:robert@example.test" {
		t.Errorf("renames: %v, %v", list, err)
	}
	if all, err := s.List(t.Context(), users.Query{}); err != nil || len(all) != 3 {
		t.Errorf("%d users, %v", len(all), err)
	}
}

func TestFileIsTheOwnersAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users.db")
	s := open(t, path)
	if _, err := s.Create(t.Context(), newUser(1)); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		st, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("users.db%s has mode %v", suffix, st.Mode())
		}
	}
}

func BenchmarkByAddress(b *testing.B) {
	s, err := users.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "users.db"), users.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var list []users.New
	for i := range 1000 {
		list = append(list, newUser(i))
	}
	if _, err := s.Create(b.Context(), list...); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.ByAddress(b.Context(), "sip:user500@example.test"); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzSearch looks for whatever somebody types: nothing of it may reach the query
// language.
func FuzzSearch(f *testing.F) {
	s, err := users.OpenSQLite(f.Context(), filepath.Join(f.TempDir(), "users.db"), users.Options{})
	if err != nil {
		f.Fatal(err)
	}
	defer s.Close()
	if _, err := s.CreateGroup(f.Context(), users.Group{Mail: "group@example.test", DisplayName: "Group"}); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"group", "a@b c", `" * OR {x} : (`, "+49 (221)", "sip:@", "\x00\xff", "ǅ ﬁ ½ ٣ -"} {
		f.Add(uint8(0), seed)
		f.Add(uint8(directory.Mail), seed)
	}
	f.Fuzz(func(t *testing.T, attribute uint8, text string) {
		q := directory.Search{Terms: []directory.Term{{Attribute: directory.Attribute(attribute), Text: text}}, Limit: 2}
		if _, _, err := s.SearchGroups(t.Context(), q); err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%d %q: %v", attribute, text, err)
		}
	})
}
