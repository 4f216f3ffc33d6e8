package syncstate_test

import (
	"maps"
	"path/filepath"
	"testing"
	"time"

	"trivet/rule/dirsync"
	"trivet/store/syncstate"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestWhatIsKnownOutlivesTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dirsync.db")
	open := func() *syncstate.Store {
		s, err := syncstate.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	anna := dirsync.Known{ID: "1", GUID: "g1", DN: "cn=anna", Origin: "ldap://x", Disabled: dirsync.Missing, Since: noon, Missing: noon.Add(time.Hour), Stamp: "7", Photo: "ab"}
	bert := dirsync.Known{ID: "2", GUID: "g2", Removed: true}
	s := open()
	must(s.Put(t.Context(), "corp", anna, bert))
	must(s.Put(t.Context(), "other", bert))
	must(s.Spend(t.Context(), "corp", noon.Add(-25*time.Hour), dirsync.Disable, 100))
	must(s.Spend(t.Context(), "corp", noon.Add(-time.Hour), dirsync.Disable, 3))
	must(s.Spend(t.Context(), "corp", noon, dirsync.Disable, 4))
	must(s.Spend(t.Context(), "other", noon, dirsync.Disable, 5))
	must(s.SetState(t.Context(), "corp", []byte("fine")))
	must(s.Close())

	s = open()
	all, err := s.All(t.Context(), "corp")
	if err != nil || !maps.Equal(all, map[string]dirsync.Known{"1": anna, "2": bert}) {
		t.Errorf("%v %+v", err, all)
	}
	if sum, err := s.Spent(t.Context(), "corp", noon.Add(-24*time.Hour)); err != nil || sum[dirsync.Disable] != 7 || sum[dirsync.Delete] != 0 {
		t.Errorf("%v %v", err, sum)
	}
	if b, err := s.State(t.Context(), "corp"); err != nil || string(b) != "fine" {
		t.Errorf("%v %q", err, b)
	}
	must(s.Forget(t.Context(), "corp", "1"))
	if k, err := s.Get(t.Context(), "corp", "1"); err != nil || k.ID != "" {
		t.Errorf("%v %+v", err, k)
	}
	if k, err := s.Get(t.Context(), "other", "2"); err != nil || k != bert {
		t.Errorf("%v %+v", err, k)
	}
}
