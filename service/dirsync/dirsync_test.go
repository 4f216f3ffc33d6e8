package dirsync

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/dirsync"
	"trivet/store/users"
	"trivet/test/peer/slapd"
)

func TestPeopleAndGroupsFollow(t *testing.T) {
	s := open(t, nil)
	group := func(name string, members ...string) string {
		b := "dn: cn=" + name + ",ou=groups," + s.ldap.Suffix + "\nobjectClass: groupOfNames\nobjectClass: extensibleObject\ncn: " + name + "\nmail: " + name + "@example.test\n"
		for _, m := range members {
			b += "member: " + m + "\n"
		}
		return b + "\n"
	}
	s.modify("anna", "manager", s.dn("bert"))
	s.modify("anna", "jpegPhoto:", base64.StdEncoding.EncodeToString(jpeg))
	s.ldap.Apply(t, group("sales", s.dn("anna"), strings.ToUpper(s.dn("bert")), "cn=all,ou=groups,"+s.ldap.Suffix)+group("all", s.dn("cora")))

	st := s.sync()
	if st.Counts[dirsync.Create] != 3 || st.Counts[dirsync.CreateGroup] != 2 || st.Users != 3 || st.Groups != 2 || st.Server != s.ldap.URL || st.Duration <= 0 {
		t.Errorf("first run: %+v", st)
	}
	anna := s.user("anna")
	if !anna.Enabled || anna.Source != "corp" || anna.Manager != "sip:bert@example.test" || anna.PhotoHash == "" || anna.RegistrarPool != "sip.example.test" {
		t.Errorf("anna is %+v", anna)
	}
	sales, err := s.store.Expand(t.Context(), "sales@example.test", 0)
	if err != nil || len(sales.Members) != 3 || sales.Members[0].Group == nil && sales.Members[2].Group == nil && sales.Members[1].Group == nil {
		t.Errorf("sales is %+v: %v", sales, err)
	}
	if st := s.sync(); st.Counts != (dirsync.Counts{}) {
		t.Errorf("a run with nothing to do did %v", st.Counts)
	}

	s.modify("anna", "title", "Böss")
	s.modify("anna", "jpegPhoto", "")
	s.modify("bert", "mail", "bertram@example.test")
	s.ldap.Apply(t, "dn: cn=all,ou=groups,"+s.ldap.Suffix+"\nchangetype: delete\n\ndn: cn=sales,ou=groups,"+s.ldap.Suffix+"\nchangetype: modify\ndelete: member\nmember: "+s.dn("anna")+"\n\n")
	st = s.sync()
	if st.Counts[dirsync.Update] != 2 || st.Counts[dirsync.DeleteGroup] != 1 || st.Counts[dirsync.UpdateGroup] != 1 {
		t.Errorf("second run: %+v", st)
	}
	if anna = s.user("anna"); anna.Title != "Böss" || anna.PhotoHash != "" || anna.Manager != "sip:bertram@example.test" {
		t.Errorf("anna is %+v", anna)
	}
	if st := s.sync(); st.Counts != (dirsync.Counts{}) {
		t.Errorf("a run with nothing to do did %v", st.Counts)
	}
}

func TestDisabledMissingAndBack(t *testing.T) {
	s := open(t, nil)
	s.modify("cora", "objectClass", "inetOrgPerson\nobjectClass: user")
	s.sync()
	s.modify("cora", "userAccountControl", "514")
	before := s.ldap.Find(t, "(uid=bert)", "+", "userPassword")
	s.remove("bert")
	s.store.Update(t.Context(), s.user("anna").GUID, func(u *directory.User) error { u.Enabled = false; return nil }) // an administrator
	if st := s.sync(); st.Counts[dirsync.Disable] != 2 || st.Kept != 1 || s.user("bert").Enabled || s.user("cora").Enabled {
		t.Fatalf("%+v", st)
	}

	// Back with the same identifier, as after the restore of a backup.
	uuid := between(before, "entryUUID: ", "\n")
	s.ldap.Apply(t, s.ldap.Person("bert"))
	s.modify("cora", "userAccountControl", "512")
	st := s.sync()
	if st.Counts[dirsync.Reactivate] != 1 || !s.user("cora").Enabled || s.user("anna").Enabled {
		t.Errorf("%+v", st)
	}
	if got := between(s.ldap.Find(t, "(uid=bert)", "+"), "entryUUID: ", "\n"); got == uuid {
		t.Fatal("slapd gave the same identifier again")
	}
	// Another identifier is somebody else, who does not get bert's address.
	if len(st.Conflicts) != 1 || !strings.Contains(st.Conflicts[0], "belongs to sip:bert@example.test") || s.user("bert").Enabled {
		t.Errorf("conflicts: %q", st.Conflicts)
	}

	s.clock.forward(29 * 24 * time.Hour)
	if s.sync(); s.user("bert").GUID == "" {
		t.Error("bert is deleted before the time")
	}
	s.clock.forward(2 * 24 * time.Hour)
	if st := s.sync(); st.Counts[dirsync.Delete] != 1 || st.Counts[dirsync.Create] != 1 || !s.user("bert").Enabled {
		t.Errorf("once the time is over the other bert comes: %+v", st)
	}
}

func between(s, head, tail string) string {
	_, s, _ = strings.Cut(s, head)
	s, _, _ = strings.Cut(s, tail)
	return s
}

func TestAdministratorsDecide(t *testing.T) {
	s := open(t, nil)
	s.modify("cora", "objectClass", "inetOrgPerson\nobjectClass: user")
	s.sync()
	s.modify("cora", "userAccountControl", "514")
	s.sync()
	// An administrator disables whom the synchronisation had disabled already.
	if err := s.Decide(t.Context(), func() ([]directory.User, error) { return []directory.User{s.user("cora")}, nil }); err != nil {
		t.Fatal(err)
	}
	s.modify("cora", "userAccountControl", "512")
	if st := s.sync(); st.Counts[dirsync.Reactivate] != 0 || st.Kept != 1 || s.user("cora").Enabled {
		t.Errorf("%+v", st)
	}

	anna := s.user("anna")
	if err := s.Deleted(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Delete(t.Context(), anna.GUID); err != nil {
		t.Fatal(err)
	}
	if st := s.sync(); st.Counts[dirsync.Create] != 0 || s.user("anna").GUID != "" {
		t.Errorf("whom an administrator deleted is back: %+v", st)
	}
	if list, err := s.Removed(t.Context(), "corp"); err != nil || !slices.Equal(list, []string{s.dn("anna")}) {
		t.Errorf("%q %v", list, err)
	}
	if _, err := s.Readmit(t.Context(), "", "uid=nobody"); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	if n, err := s.Readmit(t.Context(), "", s.dn("anna")); err != nil || n != 1 {
		t.Error(n, err)
	}
	if st := s.sync(); st.Counts[dirsync.Create] != 1 || !s.user("anna").Enabled {
		t.Errorf("%+v", st)
	}
}

func TestPlanWaitsOverARestart(t *testing.T) {
	s := open(t, map[string]any{"budget": map[string]any{"disables": 1}})
	s.sync()
	s.remove("anna", "bert")
	st := s.run1(dirsync.Options{})
	if st.Phase != dirsync.WaitingForApproval || st.PlanID == "" || st.Pending[dirsync.Disable] != 2 || len(st.Exceeded) != 1 || len(st.Examples) != 2 || !s.user("anna").Enabled {
		t.Fatalf("%+v", st)
	}
	if p := s.Problems(); len(p) != 1 || !strings.Contains(p["directory source corp"], "-Approve "+st.PlanID) {
		t.Errorf("problems: %v", p)
	}
	s.start()
	if again := s.States()[0]; again.Phase != dirsync.WaitingForApproval || again.PlanID != st.PlanID {
		t.Errorf("after a restart: %+v", again)
	}
	if _, err := s.Update(t.Context(), "", dirsync.Options{Approve: "000000000000"}); !fault.Is(err, fault.Stale) {
		t.Errorf("another plan is approved: %v", err)
	}
	if _, err := s.Update(t.Context(), "", dirsync.Options{WhatIf: true, Approve: "000000000000"}); !fault.Is(err, fault.Stale) {
		t.Errorf("another plan is approved on trial: %v", err)
	}
	s.remove("cora")
	s.ldap.Apply(t, s.ldap.Person("dora"))
	if _, err := s.Update(t.Context(), "", dirsync.Options{Approve: st.PlanID}); !fault.Is(err, fault.Stale) || !s.user("anna").Enabled {
		t.Errorf("the plan is applied although the directory has changed: %v", err)
	}
	r, err := s.Update(t.Context(), "", dirsync.Options{WhatIf: true})
	if err != nil || r[0].Plan.Counts[dirsync.Disable] != 3 {
		t.Fatalf("%v %+v", err, r)
	}
	if st := s.run1(dirsync.Options{Approve: r[0].Plan.ID}); st.Phase != dirsync.Ready || st.Counts[dirsync.Disable] != 3 || s.user("anna").Enabled || len(s.Problems()) > 0 {
		t.Errorf("%+v", st)
	}
}

func TestBudgetOfADay(t *testing.T) {
	s := open(t, map[string]any{"budget": map[string]any{"disables": 2}})
	s.ldap.Apply(t, s.ldap.Person("dora")+s.ldap.Person("emil"))
	s.sync()
	for i, name := range []string{"anna", "bert", "cora"} {
		s.remove(name)
		if st := s.run1(dirsync.Options{}); (st.Phase == dirsync.WaitingForApproval) != (i == 2) {
			t.Fatalf("%s: %+v", name, st)
		}
	}
	s.clock.forward(25 * time.Hour)
	s.sync()
}

func TestEmptyAnswer(t *testing.T) {
	s := open(t, nil)
	s.sync()
	s.remove("anna", "bert", "cora")
	if st := s.run1(dirsync.Options{}); st.Phase != dirsync.WaitingForApproval || !strings.Contains(st.Problem, "shows no user where it had 3") || !s.user("anna").Enabled {
		t.Errorf("%+v", st)
	}
}

func TestFailures(t *testing.T) {
	s := open(t, nil)
	s.sync()
	s.ldap.Apply(t, s.ldap.Person("dora")+s.ldap.Person("emil"))
	small := slapd.New(t, slapd.Options{Limit: 2})
	small.Root(t, "people", "groups")
	small.Apply(t, small.Person("anna")+small.Person("bert")+small.Person("cora"))
	reader := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(reader, []byte("secret of anna"), 0o600); err != nil {
		t.Fatal(err)
	}
	dead := slapd.New(t, slapd.Options{})
	dead.Stop()
	for _, c := range []struct {
		name   string
		change map[string]any
		want   string
	}{
		{"wrong password", map[string]any{"bind-dn": s.dn("anna")}, "refuses the account"},
		{"no base", map[string]any{"users": map[string]any{"bases": []string{"ou=nobody," + s.ldap.Suffix}}}, "has no entry ou=nobody"},
		{"unknown authority", map[string]any{"ca": small.CA}, "no TLS with"},
		{"unknown authority, ldaps", map[string]any{"ca": small.CA, "servers": []string{s.ldap.TLS}}, "no TLS with"},
		{"no ca file", map[string]any{"ca": "none.pem"}, "none.pem cannot be read"},
		{"no password file", map[string]any{"password-file": "none"}, "none cannot be read or is empty"},
		{"too many", map[string]any{"max-entries": 2}, "more than 2 entries"},
		{"only some", map[string]any{"servers": []string{small.URL}, "ca": small.CA, "bind-dn": "uid=anna,ou=people," + small.Suffix, "password-file": reader}, "gives only some"},
		{"down", map[string]any{"servers": []string{dead.URL, dead.TLS}}, "cannot be reached; "},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := settings(t, s.ldap, c.change)
			if c.name == "only some" {
				all["page-size"] = 10
			}
			s := &site{T: t, ldap: s.ldap, clock: s.clock, dir: s.dir, list: load(t, all)}
			s.start()
			r, err := s.Update(t.Context(), "", dirsync.Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) || !s.user("anna").Enabled {
				t.Fatalf("%v %+v", err, r)
			}
			if st := s.States()[0]; st.Phase != dirsync.Failed || st.Failures < 1 || !strings.Contains(st.Problem, c.want) || strings.Contains(st.Problem, "secret") {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestWays(t *testing.T) {
	s := open(t, nil)
	small := slapd.New(t, slapd.Options{Limit: 5}) // gives 5 entries at once
	small.Root(t, "people", "groups")
	small.Apply(t, small.Person("anna")+small.Person("bert")+small.Person("cora"))
	var many strings.Builder
	for i := range 25 {
		many.WriteString(s.ldap.Person(fmt.Sprintf("many%02d", i)))
	}
	s.ldap.Apply(t, many.String())
	small.Apply(t, strings.ReplaceAll(many.String(), "secret of many01", "secret of anna"))
	for i, change := range []map[string]any{
		{"servers": []string{s.ldap.TLS}, "page-size": 7}, {"page-size": 5, "servers": []string{small.URL}, "ca": small.CA, "bind-dn": "uid=many01,ou=people," + small.Suffix, "password-file": "anna"}, {"tls": "plain", "ca": ""}, {"bind-dn": s.dn("anna"), "password-file": "anna"},
	} {
		if err := os.WriteFile(filepath.Join(s.dir, "anna"), []byte("secret of anna"), 0o600); err != nil {
			t.Fatal(err)
		}
		x := &site{T: t, ldap: s.ldap, clock: s.clock, dir: t.TempDir(), list: load(t, settings(t, s.ldap, change))}
		if err := os.WriteFile(filepath.Join(x.dir, "anna"), []byte("secret of anna"), 0o600); err != nil {
			t.Fatal(err)
		}
		x.start()
		if st := x.sync(); st.Counts[dirsync.Create] != 28 {
			t.Errorf("way %d: %+v", i, st)
		}
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	server := &slapd.Server{URL: "ldap://127.0.0.1:1", Suffix: "dc=example,dc=test"}
	for _, c := range []struct {
		change map[string]any
		want   string
	}{
		{map[string]any{"users": map[string]any{"bases": []string{"people"}}}, `"people" is no name of an entry`},
		{map[string]any{"users": map[string]any{"bases": []string{"o=x"}, "filter": "(x"}}, "users.filter is no LDAP filter"},
		{map[string]any{"password-file": ""}, "bind-dn and password-file need to be given together"},
	} {
		_, err := New(t.Context(), Config{Sources: load(t, settings(t, server, c.change)), Log: logless})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// dying is a directory of users whose database goes away.
type dying struct {
	Directory
	dead bool
}

func (d *dying) Batch(ctx context.Context, mode users.BatchMode, list []users.Write) ([]users.Outcome, error) {
	if d.dead {
		return nil, fault.New(fault.Unavailable, "test", "the database is gone")
	}
	return d.Directory.Batch(ctx, mode, list)
}

// TestRunThatDies: the synchronisation notes whom it disables before it does, so that
// what a crash leaves is not taken for an administrator's doing.
func TestRunThatDies(t *testing.T) {
	s := open(t, nil)
	for _, name := range []string{"anna", "bert"} {
		s.modify(name, "objectClass", "inetOrgPerson\nobjectClass: user")
	}
	s.sync()
	d := &dying{s.store, true}
	s.cfg.Users = d
	s.modify("anna", "userAccountControl", "514")
	s.modify("bert", "userAccountControl", "514")
	if _, err := s.Update(t.Context(), "", dirsync.Options{}); !fault.Is(err, fault.Unavailable) || !s.user("anna").Enabled {
		t.Fatal(err)
	}
	s.modify("bert", "userAccountControl", "512") // before the next run
	d.dead = false
	if st := s.sync(); st.Counts[dirsync.Disable] != 1 || s.user("anna").Enabled || !s.user("bert").Enabled {
		t.Errorf("the next run: %+v", st)
	}
	s.store.Update(t.Context(), s.user("bert").GUID, func(u *directory.User) error { u.Enabled = false; return nil }) // an administrator
	s.modify("anna", "userAccountControl", "512")
	if st := s.sync(); st.Counts[dirsync.Reactivate] != 1 || !s.user("anna").Enabled || s.user("bert").Enabled {
		t.Errorf("the last run: %+v", st)
	}
}

// mortal is a directory of users whose database goes away after some batches.
type mortal struct {
	Directory
	left int
}

func (m *mortal) Batch(ctx context.Context, mode users.BatchMode, list []users.Write) ([]users.Outcome, error) {
	if m.left--; m.left < 0 {
		return nil, fault.New(fault.Unavailable, "test", "the database is gone")
	}
	return m.Directory.Batch(ctx, mode, list)
}

// TestRunThatIsEndedGoesOn: what was within the budget, or approved, is done by the
// next run when the first one was ended in the middle.
func TestRunThatIsEndedGoesOn(t *testing.T) {
	s := open(t, map[string]any{"budget": map[string]any{"disables": 2, "changes": 1}})
	s.ldap.Apply(t, s.ldap.Person("dora")+s.ldap.Person("emil"))
	s.sync()
	end := func(batches int, o dirsync.Options) {
		t.Helper()
		s.cfg.Users = &mortal{s.store, batches}
		if _, err := s.Update(t.Context(), "corp", o); !fault.Is(err, fault.Unavailable) || s.States()[0].Phase != dirsync.Failed {
			t.Fatal(err)
		}
		s.life.Stop(context.Background()) // and the server is started again
		s.start()
	}
	s.remove("anna", "bert")
	end(0, dirsync.Options{})
	if st := s.States()[0]; !strings.Contains(st.Problem, "stay as they are") {
		t.Errorf("ended before anything: %+v", st)
	}
	if st := s.sync(); st.Counts[dirsync.Disable] != 2 || len(st.Granted) != 0 {
		t.Errorf("a run within its budget: %+v", st)
	}

	s.clock.forward(25 * time.Hour)
	for _, name := range []string{"dora", "emil"} {
		s.modify(name, "title", "Boss")
	}
	s.remove("cora")
	st := s.run1(dirsync.Options{})
	if st.Phase != dirsync.WaitingForApproval {
		t.Fatalf("%+v", st)
	}
	end(1, dirsync.Options{Approve: st.PlanID})
	if st := s.States()[0]; !strings.Contains(st.Problem, "The changes up to then are made") || st.Counts[dirsync.Disable] != 1 {
		t.Errorf("ended in the middle: %+v", st)
	}
	if s.user("cora").Enabled || s.user("dora").Title != "" {
		t.Error("the run was not ended between the two")
	}
	if st = s.sync(); st.Counts[dirsync.Update] != 2 || s.user("emil").Title != "Boss" {
		t.Errorf("an approved run: %+v", st)
	}
	if spent, err := s.cfg.State.Spent(t.Context(), "corp", s.clock.Now().Add(-time.Hour)); err != nil || spent != (dirsync.Counts{}) {
		t.Errorf("what was approved is charged: %v %v", spent, err)
	}
	for _, name := range []string{"dora", "emil"} {
		s.modify(name, "title", "Bosses")
	}
	if st = s.run1(dirsync.Options{}); st.Phase != dirsync.WaitingForApproval {
		t.Errorf("an approval is for one plan: %+v", st)
	}
}

// TestChargedAsDone: what an ended run did not come to is not charged.
func TestChargedAsDone(t *testing.T) {
	s := open(t, nil)
	s.sync()
	s.remove("anna")
	s.modify("bert", "title", "Boss")
	s.cfg.Users = &mortal{s.store, 0}
	if _, err := s.Update(t.Context(), "corp", dirsync.Options{}); err == nil {
		t.Fatal("it was not ended")
	}
	spent, err := s.cfg.State.Spent(t.Context(), "corp", s.clock.Now().Add(-time.Hour))
	if err != nil || spent[dirsync.Disable] != 1 || spent[dirsync.Update] != 0 {
		t.Errorf("%v %v", spent, err)
	}
}

// TestRemovalLooksAgain: whom somebody enabled since the plan was made is not deleted.
func TestRemovalLooksAgain(t *testing.T) {
	s := open(t, nil)
	s.sync()
	s.remove("anna", "bert")
	s.sync()
	s.clock.forward(31 * 24 * time.Hour)
	s.cfg.Users = &meddling{s.store, func() {
		s.store.Update(t.Context(), s.user("anna").GUID, func(u *directory.User) error { u.Enabled = true; return nil })
	}}
	if st := s.sync(); st.Counts[dirsync.Delete] != 1 || s.user("anna").GUID == "" || s.user("bert").GUID != "" {
		t.Errorf("%+v", st.Counts)
	}
}

// picky does not take the photo of one user.
type picky struct {
	Directory
	guid string
}

func (p *picky) SetPhoto(ctx context.Context, guid string, data []byte) (directory.Photo, error) {
	if guid == p.guid {
		return directory.Photo{}, fault.New(fault.Unavailable, "test", "not this one")
	}
	return p.Directory.SetPhoto(ctx, guid, data)
}

// TestOnePhotoThatFails: it keeps the photos of others from nothing.
func TestOnePhotoThatFails(t *testing.T) {
	s := open(t, nil)
	s.sync()
	for _, name := range []string{"anna", "bert", "cora"} {
		s.modify(name, "jpegPhoto:", base64.StdEncoding.EncodeToString(jpeg))
	}
	s.cfg.Users = &picky{s.store, s.user("anna").GUID}
	s.sync()
	if s.user("anna").PhotoHash != "" || s.user("bert").PhotoHash == "" || s.user("cora").PhotoHash == "" {
		t.Error("one photo that fails keeps others from being read")
	}
	s.cfg.Users = s.store
	if s.sync(); s.user("anna").PhotoHash == "" {
		t.Error("the next run does not try again")
	}
}

// meddling lets somebody act between the plan and its being applied.
type meddling struct {
	Directory
	act func()
}

func (m *meddling) ListGroups(ctx context.Context, pattern string, limit int) ([]directory.Group, error) {
	list, err := m.Directory.ListGroups(ctx, pattern, limit)
	if act := m.act; act != nil {
		m.act = nil
		act()
	}
	return list, err
}

// TestAdministratorIsFaster: what is decided while a run is under way holds.
func TestAdministratorIsFaster(t *testing.T) {
	s := open(t, nil)
	for _, name := range []string{"anna", "bert"} {
		s.modify(name, "objectClass", "inetOrgPerson\nobjectClass: user")
	}
	s.sync()
	set := func(name string, enabled bool) {
		if err := s.Decide(t.Context(), func() ([]directory.User, error) {
			u, err := s.store.Update(t.Context(), s.user(name).GUID, func(u *directory.User) error { u.Enabled = enabled; return nil })
			return []directory.User{u}, err
		}); err != nil {
			t.Error(err)
		}
	}
	m := &meddling{s.store, func() { set("anna", false) }}
	s.cfg.Users = m
	s.modify("anna", "userAccountControl", "514")
	s.modify("bert", "userAccountControl", "514")
	if st := s.sync(); st.Counts[dirsync.Disable] != 1 {
		t.Errorf("an administrator disabled anna first: %+v", st.Counts)
	}
	m.act = func() { set("bert", false) }
	s.modify("anna", "userAccountControl", "512")
	s.modify("bert", "userAccountControl", "512")
	if st := s.sync(); st.Counts[dirsync.Reactivate] != 0 || s.user("anna").Enabled || s.user("bert").Enabled {
		t.Errorf("both were disabled by an administrator: %+v", st)
	}
}
