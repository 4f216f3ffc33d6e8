package dirsync

import (
	"slices"
	"strings"
	"testing"
	"time"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/dirsync"
	"trivet/test/peer/slapd"
)

func TestCheck(t *testing.T) {
	s := open(t, nil)
	s.sync()
	anna := s.user("anna")
	for _, c := range []struct {
		name     string
		user     directory.User
		password string
		want     bool
	}{
		{"right", anna, "secret of anna", true}, {"wrong", anna, "secret of bert", false}, {"none", anna, "", false},
		{"nobody", directory.User{}, "secret of anna", false}, {"nobody, none", directory.User{}, "", false},
		{"somebody of here", directory.User{GUID: "1", SipAddress: "sip:dora@example.test"}, "secret of anna", false},
		{"somebody of another source", directory.User{Source: "other", SourceID: anna.SourceID}, "secret of anna", false},
	} {
		if ok, err := s.Check(t.Context(), c.user, c.password); ok != c.want || err != nil {
			t.Errorf("%s: %v %v", c.name, ok, err)
		}
	}
	// An empty password does succeed with the directory itself.
	if ok, err := s.sources[0].bind(t.Context(), s.ldap.URL, proof{dn: s.dn("anna"), id: anna.SourceID}, 0); ok || err == nil || !strings.Contains(err.Error(), "Empty password") {
		t.Errorf("an empty password is sent: %v %v", ok, err)
	}

	s.modify("anna", "userPassword", "another")
	if ok, _ := s.Check(t.Context(), anna, "secret of anna"); ok {
		t.Error("a former password is right")
	}
	s.remove("anna")
	if ok, err := s.Check(t.Context(), anna, "another"); ok || err != nil {
		t.Errorf("one who is gone signs in: %v %v", ok, err)
	}
}

// TestCheckOfANameThatIsAnothers: the name of an entry proves nothing about who has it
// now.
func TestCheckOfANameThatIsAnothers(t *testing.T) {
	s := open(t, nil)
	s.sync()
	anna := s.user("anna")
	s.remove("anna")
	s.ldap.Apply(t, s.ldap.Person("anna")) // somebody else, with an identifier of his own
	if ok, err := s.Check(t.Context(), anna, "secret of anna"); ok || err != nil {
		t.Errorf("whoever has the name now opens the account: %v %v", ok, err)
	}
	s.remove("anna")
	if ok, err := s.Check(t.Context(), anna, "secret of anna"); ok || err != nil {
		t.Errorf("nobody has the name: %v %v", ok, err)
	}
}

// TestCheckTellsNothingByTime: who is not known takes as long as who is.
func TestCheckTellsNothingByTime(t *testing.T) {
	s := open(t, nil)
	s.sync()
	anna := s.user("anna")
	took := func(u directory.User, password string) time.Duration {
		var list []time.Duration
		for range 25 {
			began := time.Now()
			if ok, err := s.Check(t.Context(), u, password); ok || err != nil {
				t.Fatal(ok, err)
			}
			list = append(list, time.Since(began))
		}
		slices.Sort(list)
		return list[len(list)/4] // of a busy machine the quicker ones
	}
	known := took(anna, "wrong")
	for name, other := range map[string]time.Duration{"nobody": took(directory.User{}, "wrong"), "an empty password": took(anna, "")} {
		if ratio := float64(other) / float64(known); ratio < 0.4 || ratio > 2.5 {
			t.Errorf("%s takes %v, a wrong password %v", name, other, known)
		}
	}
}

func TestTwoServers(t *testing.T) {
	s := open(t, nil)
	other := slapd.New(t, slapd.Options{Copy: s.ldap})
	other.Await(t, "(objectClass=inetOrgPerson)", 3)
	s.list = load(t, settings(t, s.ldap, map[string]any{"servers": []string{s.ldap.URL, other.URL}, "ca": bundle(t, s.ldap.CA, other.CA)}))
	s.start()
	s.sync()
	anna := s.user("anna")
	s.ldap.Stop()
	other.Apply(t, "") // it runs
	if st := s.sync(); st.Server != other.URL || st.Counts != (dirsync.Counts{}) {
		t.Errorf("the first server is down: %+v", st)
	}
	for range 3 {
		if ok, err := s.Check(t.Context(), anna, "secret of anna"); !ok || err != nil {
			t.Errorf("the first server is down: %v %v", ok, err)
		}
	}
	other.Stop()
	if _, err := s.Update(t.Context(), "", dirsync.Options{}); !fault.Is(err, fault.Unavailable) || s.States()[0].Failures != 1 {
		t.Errorf("both are down: %v", err)
	}
	for _, u := range []directory.User{anna, {}} {
		if ok, err := s.Check(t.Context(), u, "secret of anna"); ok || !fault.Is(err, fault.Unavailable) {
			t.Errorf("both are down: %v %v", ok, err)
		}
	}
	s.ldap.Start(t)
	if st := s.sync(); st.Server != s.ldap.URL || st.Failures != 0 || st.Problem != "" {
		t.Errorf("the first server is back: %+v", st)
	}
	s.clock.forward(time.Minute)
	if ok, err := s.Check(t.Context(), anna, "secret of anna"); !ok || err != nil {
		t.Errorf("the first server is back: %v %v", ok, err)
	}
}

func TestReferral(t *testing.T) {
	s := open(t, nil)
	branch := slapd.New(t, slapd.Options{Suffix: "ou=branch,ou=people," + s.ldap.Suffix, Knows: s.ldap})
	branch.Root(t)
	branch.Apply(t, branch.PersonIn(branch.Suffix, "dora"))
	s.ldap.Apply(t, "dn: "+branch.Suffix+"\nobjectClass: referral\nobjectClass: extensibleObject\nou: branch\nref: "+branch.URL+"/"+branch.Suffix+"\n\n")
	both := bundle(t, s.ldap.CA, branch.CA)

	start := func(change map[string]any) *site {
		change["ca"] = both
		x := &site{T: t, ldap: s.ldap, clock: s.clock, dir: t.TempDir(), list: load(t, settings(t, s.ldap, change))}
		x.start()
		return x
	}
	x := start(map[string]any{})
	if _, err := x.Update(t.Context(), "", dirsync.Options{}); err == nil || !strings.Contains(err.Error(), "name it in referral-servers") || x.user("anna").GUID != "" {
		t.Errorf("a stranger's server is given the password, or what it has is left out: %v", err)
	}
	x = start(map[string]any{"referrals": "ignore"})
	if st := x.sync(); st.Users != 3 {
		t.Errorf("referrals are ignored: %+v", st)
	}
	x = start(map[string]any{"referral-servers": []string{branch.URL}})
	if st := x.sync(); st.Users != 4 || x.user("dora").GUID == "" {
		t.Errorf("referrals are followed: %+v", st)
	}
	for password, want := range map[string]bool{"secret of dora": true, "secret of anna": false} {
		if ok, err := x.Check(t.Context(), x.user("dora"), password); ok != want || err != nil {
			t.Errorf("%s: %v %v", password, ok, err)
		}
	}
	branch.Stop()
	if _, err := x.Update(t.Context(), "", dirsync.Options{}); err == nil || !x.user("dora").Enabled {
		t.Errorf("a server that is referred to is down: %v", err)
	}
}

// TestReferralOfAWholeSearch: the server has nothing below the base itself.
func TestReferralOfAWholeSearch(t *testing.T) {
	near := slapd.New(t, slapd.Options{})
	far := slapd.New(t, slapd.Options{Suffix: "dc=far,dc=test", Knows: near})
	far.Root(t, "people", "groups")
	far.Apply(t, far.Person("dora"))
	gate := slapd.New(t, slapd.Options{Refer: far.URL})
	gate.Root(t)
	for trusted, want := range map[string]int{far.URL: 1, gate.TLS: 0} {
		s := &site{T: t, clock: &hand{}, dir: t.TempDir(), list: load(t, settings(t, gate, map[string]any{
			"ca": bundle(t, gate.CA, far.CA), "referral-servers": []string{trusted},
			"users": map[string]any{"bases": []string{"ou=people," + far.Suffix}}, "groups": map[string]any{"bases": []string{}},
		}))}
		s.start()
		r, err := s.Update(t.Context(), "", dirsync.Options{})
		if (err == nil) != (want == 1) || r[0].State.Users != want {
			t.Errorf("passwords may go to %s: %v %+v", trusted, err, r)
		}
		if want == 0 {
			continue
		}
		if ok, err := s.Check(t.Context(), s.user("dora"), "secret of dora"); !ok || err != nil {
			t.Errorf("the bind is referred too: %v %v", ok, err)
		}
	}
}

func TestServersThatDoNotAnswerAreAskedLast(t *testing.T) {
	d, now := newDoor(), time.Now()
	all := []string{"a", "b", "c"}
	for _, c := range []struct {
		down  string
		after time.Duration
		want  []string
	}{
		{"", 0, all}, {"a", time.Second, []string{"b", "c", "a"}}, {"b", 2 * time.Second, []string{"c", "a", "b"}},
		{"c", 3 * time.Second, []string{"a"}}, {"", time.Minute, all},
	} {
		if c.down != "" {
			d.mark(c.down, now)
		}
		if got := d.order(all, now.Add(c.after)); !slices.Equal(got, c.want) {
			t.Errorf("%s is down: %q", c.down, got)
		}
	}
}
