package storetest

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/store/users"
)

func allProperties(t *testing.T, s users.Store) {
	n := account("alice")
	u := &n.User
	u.IPPhone, u.MailNickname, u.Country, u.City, u.State, u.Description, u.Manager = "5", "al", "DE", "Berlin", "BE", "text", "sip:boss@example.test"
	u.ProxyAddresses, u.HideFromAddressLists = []string{"SMTP:a@b.c", "smtp:x@y.z"}, true
	u.ClientPolicy, u.PresencePolicy, u.ConferencingPolicy, u.Source, u.SourceID = "C", "P", "M", "corp", "id-1"
	u.LineURI, u.EnterpriseVoiceEnabled, u.AudioVideoDisabled, u.EnabledForInternet = "tel:+1;ext=2", true, true, true
	made, err := s.Create(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	want := n.User
	want.GUID, want.RoutingGroup, want.WhenCreated, want.WhenChanged = made[0].GUID, 1, Now, Now
	for name, got := range map[string]users.User{"Create": made[0], "ByGUID": must(s.ByGUID(t.Context(), made[0].GUID)), "BySource": must(s.BySource(t.Context(), "corp", "id-1"))} {
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
	twin := account("bob")
	twin.User.Source, twin.User.SourceID = "corp", "id-1"
	_, err = s.Create(t.Context(), twin)
	subject(t, "a second user of one source", err, fault.Exists, "SourceID")
	for _, id := range [][2]string{{"", ""}, {"corp", "id-2"}, {"other", "id-1"}} {
		if _, err := s.BySource(t.Context(), id[0], id[1]); !fault.Is(err, fault.NotFound) {
			t.Errorf("BySource(%q): %v", id, err)
		}
	}
}

func managers(t *testing.T, s users.Store) {
	made := create(t, s, "boss", "alice", "bob")
	boss := made[0]
	for _, u := range made[1:] {
		if _, err := s.Update(t.Context(), u.GUID, func(u *users.User) error { u.Manager = "SIP:Boss@example.test"; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	var heard []string
	s.OnChange(func(c users.Change) {
		if c.Old != nil && c.New != nil && c.Old.Manager != c.New.Manager {
			heard = append(heard, c.New.FirstName+" "+c.New.Manager)
		}
	})
	check := func(manager string, names ...string) {
		t.Helper()
		list, err := s.Reports(t.Context(), boss.GUID, 0)
		var got []string
		for _, u := range list {
			got = append(got, u.FirstName)
		}
		if err != nil || !slices.Equal(got, names) {
			t.Errorf("reports: %v, %v, want %v", got, err, names)
		}
		if m := must(s.Find(t.Context(), "alice")).Manager; m != manager {
			t.Errorf("the manager is %q, want %q", m, manager)
		}
	}
	check("sip:boss@example.test", "alice", "bob")
	if list, err := s.Reports(t.Context(), boss.GUID, 1); err != nil || len(list) != 1 {
		t.Errorf("one report: %v, %v", list, err)
	}
	change := func(f func(u *users.User)) {
		t.Helper()
		if _, err := s.Update(t.Context(), boss.GUID, func(u *users.User) error { f(u); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	change(func(u *users.User) { u.SipAddress = "sip:chief@example.test" })
	check("sip:chief@example.test", "alice", "bob")
	change(func(u *users.User) { u.SipAddress, u.Enabled = "", false })
	check(boss.GUID, "alice", "bob")
	change(func(u *users.User) { u.SipAddress = "sip:boss@example.test" })
	check("sip:boss@example.test", "alice", "bob")
	if err := s.Delete(t.Context(), boss.GUID); err != nil {
		t.Fatal(err)
	}
	if m := must(s.Find(t.Context(), "alice")).Manager; m != "" {
		t.Errorf("a deleted manager stays: %q", m)
	}
	slices.Sort(heard)
	want := []string{"alice ", "alice " + boss.GUID, "alice sip:boss@example.test", "alice sip:chief@example.test", "bob ", "bob " + boss.GUID, "bob sip:boss@example.test", "bob sip:chief@example.test"}
	slices.Sort(want)
	if d := cmp.Diff(want, heard); d != "" {
		t.Errorf("told of\n%s", d)
	}
}

func picture(t *testing.T, width, height int, encode func(b *bytes.Buffer, m image.Image) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asPNG(b *bytes.Buffer, m image.Image) error  { return png.Encode(b, m) }
func asJPEG(b *bytes.Buffer, m image.Image) error { return jpeg.Encode(b, m, nil) }

func photos(t *testing.T, s users.Store) {
	alice := create(t, s, "alice")[0]
	changes := 0
	s.OnChange(func(users.Change) { changes++ })
	if _, err := s.Photo(t.Context(), alice.GUID); !fault.Is(err, fault.NotFound) {
		t.Errorf("no photo: %v", err)
	}
	if err := s.RemovePhoto(t.Context(), alice.GUID); !fault.Is(err, fault.NotFound) {
		t.Errorf("removing no photo: %v", err)
	}
	for kind, data := range map[string][]byte{"image/png": picture(t, 96, 96, asPNG), "image/jpeg": picture(t, 48, 64, asJPEG)} {
		p, err := s.SetPhoto(t.Context(), alice.GUID, data)
		if err != nil || p.Type != kind || len(p.Hash) != 40 || !p.WhenChanged.Equal(Now) {
			t.Fatalf("SetPhoto: %+v, %v", p, err)
		}
		got, err := s.Photo(t.Context(), strings.ToUpper(alice.GUID))
		if d := cmp.Diff(p, got); err != nil || d != "" || !bytes.Equal(got.Data, data) {
			t.Errorf("Photo: %v\n%s", err, d)
		}
		if u := must(s.ByGUID(t.Context(), alice.GUID)); u.PhotoHash != p.Hash {
			t.Errorf("the user has the hash %q, the photo %q", u.PhotoHash, p.Hash)
		}
	}
	kept := must(s.ByGUID(t.Context(), alice.GUID)).PhotoHash
	if u, err := s.Update(t.Context(), alice.GUID, func(u *users.User) error { u.PhotoHash = "x"; return nil }); err != nil || u.PhotoHash != kept {
		t.Errorf("Update changed the hash to %q, %v", u.PhotoHash, err)
	}
	for name, bad := range map[string][]byte{
		"empty": nil, "text": []byte("GIF89a"), "cut short": picture(t, 9, 9, asPNG)[:20], "too wide": picture(t, 4097, 1, asPNG),
		"too large": append(picture(t, 9, 9, asJPEG), make([]byte, directory.MaxPhotoBytes)...),
	} {
		_, err := s.SetPhoto(t.Context(), alice.GUID, bad)
		subject(t, name, err, fault.Invalid, "PictureData")
	}
	if _, err := s.SetPhoto(t.Context(), "none", picture(t, 9, 9, asPNG)); !fault.Is(err, fault.NotFound) {
		t.Errorf("the photo of nobody: %v", err)
	}
	if err := s.RemovePhoto(t.Context(), alice.GUID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Photo(t.Context(), alice.GUID); !fault.Is(err, fault.NotFound) || must(s.ByGUID(t.Context(), alice.GUID)).PhotoHash != "" {
		t.Errorf("a removed photo stays: %v", err)
	}
	if changes != 4 { // two photos, the update, the removal
		t.Errorf("%d changes were told", changes)
	}
}

func batches(t *testing.T, s users.Store) {
	alice := create(t, s, "alice")[0]
	title := func(text string) users.Write {
		return users.Write{GUID: alice.GUID, Change: func(u *users.User) error { u.Title = text; return nil }}
	}
	fresh := func(name string) users.Write { n := account(name); return users.Write{New: &n} }
	withSecrets := title("New")
	withSecrets.Secrets = &users.Secrets{Argon2id: "changed"}
	own := errors.New("no")
	for _, c := range []struct {
		name   string
		mode   users.BatchMode
		list   []users.Write
		refuse []int
		want   string // who is there after it, with titles
	}{
		{"trial", users.Trial, []users.Write{fresh("bob"), title("Trial")}, nil, "ALICE T"},
		{"all or nothing", users.AllOrNothing, []users.Write{fresh("bob"), title("None"), fresh("bob"), {GUID: alice.GUID, Change: func(*users.User) error { return own }}, {GUID: "none", Change: func(*users.User) error { return nil }}}, []int{2, 3, 4}, "ALICE T"},
		{"skip", users.SkipRefused, []users.Write{fresh("bob"), fresh("bob"), title(strings.Repeat("x", 999)), withSecrets}, []int{1, 2}, "ALICE New, BOB T"},
		{"all", users.AllOrNothing, []users.Write{fresh("carol"), title("Last")}, nil, "ALICE Last, BOB T, CAROL T"},
	} {
		told := 0
		s.OnChange(func(users.Change) { told++ })
		before := must(s.ByGUID(t.Context(), alice.GUID))
		outcomes, err := s.Batch(t.Context(), c.mode, c.list)
		if err != nil || len(outcomes) != len(c.list) {
			t.Fatalf("%s: %v, %v", c.name, outcomes, err)
		}
		done := 0
		for i, o := range outcomes {
			if (o.Refused != nil) != slices.Contains(c.refuse, i) {
				t.Errorf("%s: write %d: %v", c.name, i, o.Refused)
			}
			if o.Refused == nil {
				done++
			}
		}
		all, err := s.List(t.Context(), users.Query{})
		var got []string
		for _, u := range all {
			got = append(got, u.SamAccountName+" "+u.Title)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: got %v, %v, want %s", c.name, got, err, c.want)
		}
		if kept := before.Title != must(s.ByGUID(t.Context(), alice.GUID)).Title; kept && told != done || !kept && told != 0 {
			t.Errorf("%s: told %d of %d", c.name, told, done)
		}
	}
	if c, err := s.Secrets(t.Context(), alice.GUID); err != nil || c.Argon2id != "changed" {
		t.Errorf("secrets of the batch: %+v, %v", c, err)
	}
	if u := must(s.Find(t.Context(), "carol")); u.RoutingGroup != 3 {
		t.Errorf("refused users count: carol is in group %d, want 3", u.RoutingGroup)
	}
}

func changes(t *testing.T, s users.Store) {
	made := create(t, s, "alice", "bob")
	g := makeGroup(t, s, group("sales"), directory.Member{User: made[1].GUID})
	got, err := s.ChangedSince(t.Context(), Now)
	if err != nil || len(got.Users) != 2 || len(got.Groups) != 1 || len(got.Gone) != 0 || cmp.Diff(made, got.Users) != "" || cmp.Diff(g, got.Groups[0]) != "" {
		t.Errorf("all is new: %+v, %v", got, err)
	}
	if err := errors.Join(s.Delete(t.Context(), made[1].GUID), s.DeleteGroup(t.Context(), g.GUID)); err != nil {
		t.Fatal(err)
	}
	got, err = s.ChangedSince(t.Context(), Now.Add(-time.Hour))
	want := []directory.Gone{
		{GUID: made[1].GUID, SipAddress: "sip:bob@example.test", Mail: "bob@example.test", When: Now},
		{GUID: g.GUID, Mail: g.Mail, Group: true, When: Now},
	}
	if d := cmp.Diff(want, got.Gone); err != nil || d != "" || len(got.Users) != 1 || len(got.Groups) != 0 {
		t.Errorf("after deletions: %+v, %v\n%s", got, err, d)
	}
	if got, err := s.ChangedSince(t.Context(), Now.Add(time.Millisecond)); err != nil || len(got.Users)+len(got.Groups)+len(got.Gone) != 0 {
		t.Errorf("nothing changed later: %+v, %v", got, err)
	}
	if _, err := s.ChangedSince(t.Context(), Now.AddDate(0, 0, -91)); !fault.Is(err, fault.Gone) {
		t.Errorf("too long ago: %v, want fault.Gone", err)
	}
}
