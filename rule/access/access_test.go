package access_test

import (
	"testing"

	"pgregory.net/rapid"

	"trivet/fault"
	"trivet/rule/access"
	"trivet/uc"
)

const (
	alice = uc.UserURI("sip:alice@contoso.test")
	bob   = uc.UserURI("sip:bob@contoso.test")
	eve   = uc.UserURI("sip:eve@partner.test")
)

func grant(container int, t access.MemberType, value string) access.Grant {
	return access.Grant{Container: container, Member: access.Member{Type: t, Value: value}}
}

var usual = []access.Grant{grant(200, access.SameEnterprise, ""), grant(100, access.Federated, "")}

func TestPlace(t *testing.T) {
	colleague := access.Watcher{URI: bob, Realm: access.Company}
	partner := access.Watcher{URI: eve, Realm: access.Partner}
	with := func(g ...access.Grant) []access.Grant { return append(g, usual...) }
	for _, c := range []struct {
		name    string
		grants  []access.Grant
		watcher access.Watcher
		privacy bool
		want    int
	}{
		{"self", nil, access.Watcher{URI: alice, Realm: access.Company}, true, access.Self},
		{"somebody who claims to be the owner", nil, access.Watcher{URI: alice}, false, access.Default},
		{"stranger", usual, access.Watcher{URI: bob}, false, access.Default},
		{"stranger with a granted name", with(grant(400, access.User, "bob@contoso.test")), access.Watcher{URI: bob}, false, access.Default},
		{"stranger with a granted domain", with(grant(400, access.Domain, "contoso.test")), access.Watcher{URI: bob}, false, access.Default},
		{"stranger with a blocked name", with(grant(32000, access.User, "bob@contoso.test")), access.Watcher{URI: bob}, false, access.Blocked},
		{"colleague", usual, colleague, false, access.Colleagues},
		{"colleague of a user whose client made no entries", nil, colleague, false, access.Colleagues},
		{"partner", usual, partner, false, access.External},
		{"partner of a user whose client made no entries", nil, partner, false, access.External},
		{"public", usual, access.Watcher{URI: eve, Realm: access.PublicUser}, false, access.Default},
		{"public blocked", with(grant(32000, access.PublicCloud, "")), access.Watcher{URI: eve, Realm: access.PublicUser}, false, access.Blocked},
		{"user before realm", with(grant(300, access.User, "bob@contoso.test")), colleague, false, access.Workgroup},
		{"user in a lower container than the realm", with(grant(100, access.User, "bob@contoso.test")), colleague, false, access.External},
		{"domain before realm", with(grant(400, access.Domain, "partner.test")), partner, false, access.Personal},
		{"user before domain", with(grant(32000, access.Domain, "partner.test"), grant(300, access.User, "eve@partner.test")), partner, false, access.Workgroup},
		{"blocked wins among user entries", with(grant(400, access.User, "bob@contoso.test"), grant(32000, access.User, "bob@contoso.test")), colleague, false, access.Blocked},
		{"highest of equals", with(grant(400, access.User, "bob@contoso.test"), grant(300, access.User, "bob@contoso.test")), colleague, false, access.Personal},
		{"realm before everyone", with(grant(400, access.Everyone, "")), colleague, false, access.Colleagues},
		{"everyone", with(grant(100, access.Everyone, "")), access.Watcher{URI: eve}, false, access.External},
		{"everyone blocked", []access.Grant{grant(32000, access.Everyone, "")}, partner, false, access.Blocked},
		{"everyone does not lower a realm without entry", []access.Grant{grant(100, access.Everyone, "")}, colleague, false, access.Colleagues},
		{"realm moved", []access.Grant{grant(300, access.SameEnterprise, "")}, colleague, false, access.Workgroup},
		{"other domain", with(grant(400, access.Domain, "contoso.test")), partner, false, access.External},
		{"subdomain is another domain", with(grant(400, access.Domain, "test")), partner, false, access.External},
		{"privacy mode hides from unlisted colleagues", usual, colleague, true, access.Default},
		{"privacy mode hides from unlisted partners", usual, partner, true, access.Default},
		{"privacy mode shows to listed colleagues", usual, access.Watcher{URI: bob, Realm: access.Company, Listed: true}, true, access.Colleagues},
		{"privacy mode shows to listed partners", usual, access.Watcher{URI: eve, Realm: access.Partner, Listed: true}, true, access.External},
		{"privacy mode leaves the workgroup", with(grant(300, access.User, "bob@contoso.test")), colleague, true, access.Workgroup},
		{"privacy mode leaves friends", with(grant(400, access.User, "bob@contoso.test")), colleague, true, access.Personal},
		{"privacy mode leaves blocked", with(grant(32000, access.User, "bob@contoso.test")), colleague, true, access.Blocked},
	} {
		if got := access.Place(alice, c.grants, c.watcher, c.privacy); got != c.want {
			t.Errorf("%s: container %d, want %d", c.name, got, c.want)
		}
	}
}

// TestWhoSeesWhat is the table of privacy relationships, row by row.
func TestWhoSeesWhat(t *testing.T) {
	for _, c := range []struct {
		container                                                 int
		availability, work, mobile, home, freeBusy, meeting, note bool
	}{
		{0, false, false, false, false, false, false, false},
		{100, true, false, false, false, false, false, true},
		{200, true, true, false, false, true, false, true},
		{300, true, true, true, false, true, true, true},
		{400, true, true, true, true, true, false, true},
		{32000, false, false, false, false, false, false, false},
	} {
		s := access.Sees(c.container)
		for _, f := range []struct {
			name string
			got  bool
			want bool
		}{
			{"name and e-mail", s.Has(access.Name | access.Email), true},
			{"availability", s.Has(access.Availability), c.availability},
			{"work phone", access.ShowsField(c.container, "phone/work"), c.work},
			{"mobile", access.ShowsField(c.container, "phone/mobile"), c.mobile},
			{"cell", access.ShowsField(c.container, "phone/cell"), c.mobile},
			{"home", access.ShowsField(c.container, "phone/home"), c.home},
			{"other", access.ShowsField(c.container, "phone/other"), c.home},
			{"office", access.ShowsField(c.container, "office"), c.work},
			{"title", access.ShowsField(c.container, "title"), c.availability},
			{"company", access.ShowsField(c.container, "company"), c.availability},
			{"a field of the future", access.ShowsField(c.container, "shoeSize"), false},
			{"calendar", access.Shows(c.container, "calendarData"), c.freeBusy},
			{"working hours", s.Has(access.WorkingHours), c.freeBusy},
			{"meeting", s.Has(access.Meeting), c.meeting},
			{"note", access.Shows(c.container, "note"), c.note},
			{"contact card", access.Shows(c.container, "contactCard"), true},
			{"state", access.Shows(c.container, "state"), c.availability || c.container == access.Blocked},
			{"offline in any case", access.LooksOffline(c.container), c.container == access.Blocked},
			{"routing", access.Shows(c.container, "routing"), false},
			{"device", access.Shows(c.container, "device"), false},
		} {
			if f.got != f.want {
				t.Errorf("container %d: %s %v, want %v", c.container, f.name, f.got, f.want)
			}
		}
	}
}

func TestShowsToSelfAndNobody(t *testing.T) {
	for _, name := range []string{"state", "routing", "device", "userProperties", "alerts"} {
		if !access.Shows(access.Self, name) || access.Shows(2, name) || access.Shows(3, name) {
			t.Errorf("%s: self %v, 2 %v, 3 %v", name, access.Shows(1, name), access.Shows(2, name), access.Shows(3, name))
		}
	}
	if !access.Shows(5000, "note") || access.Shows(5000, "routing") {
		t.Error("a container of the user's own shows what is for watchers, and only that")
	}
}

func TestParseMember(t *testing.T) {
	for _, c := range []struct {
		kind, value string
		want        access.Member
		bad         bool
	}{
		{"user", "bob@Contoso.test", access.Member{Type: access.User, Value: "bob@contoso.test"}, false},
		{"user", "sip:bob@contoso.test", access.Member{Type: access.User, Value: "bob@contoso.test"}, false},
		{"user", "bob", access.Member{}, true},
		{"domain", "Partner.Test", access.Member{Type: access.Domain, Value: "partner.test"}, false},
		{"domain", "", access.Member{}, true},
		{"domain", "a@b", access.Member{}, true},
		{"sameEnterprise", "", access.Member{Type: access.SameEnterprise}, false},
		{"everyone", "ignored", access.Member{Type: access.Everyone}, false},
		{"friends", "", access.Member{}, true},
		{"", "", access.Member{}, true},
	} {
		got, err := access.ParseMember(c.kind, c.value)
		if got != c.want || (err != nil) != c.bad || err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s %q: %v, %v", c.kind, c.value, got, err)
		}
	}
	for _, name := range []string{"user", "domain", "sameEnterprise", "federated", "publicCloud", "everyone"} {
		if m, err := access.ParseMemberType(name); err != nil || m.String() != name {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

func TestCheckGrant(t *testing.T) {
	for id, want := range map[int]fault.Kind{-1: fault.Invalid, 32768: fault.Invalid, 0: fault.Forbidden, 1: fault.Forbidden, 3: fault.Forbidden} {
		if err := access.CheckGrant(grant(id, access.Everyone, "")); !fault.Is(err, want) {
			t.Errorf("container %d: %v", id, err)
		}
	}
	for _, id := range []int{4, 100, 32000, 32767} {
		if err := access.CheckGrant(grant(id, access.Everyone, "")); err != nil {
			t.Errorf("container %d: %v", id, err)
		}
	}
}

func TestPlaceDoesNotDependOnOrderAndBlockHolds(t *testing.T) {
	member := rapid.Custom(func(t *rapid.T) access.Grant {
		kind := access.MemberType(rapid.IntRange(1, 6).Draw(t, "type"))
		value := ""
		switch kind {
		case access.User:
			value = rapid.SampledFrom([]string{"bob@contoso.test", "eve@partner.test"}).Draw(t, "user")
		case access.Domain:
			value = rapid.SampledFrom([]string{"contoso.test", "partner.test"}).Draw(t, "domain")
		}
		return grant(rapid.SampledFrom([]int{100, 200, 300, 400, 777, 32000}).Draw(t, "container"), kind, value)
	})
	rapid.Check(t, func(t *rapid.T) {
		grants := rapid.SliceOfN(member, 0, 8).Draw(t, "grants")
		w := access.Watcher{URI: rapid.SampledFrom([]uc.UserURI{bob, eve}).Draw(t, "watcher"), Realm: access.Realm(rapid.IntRange(0, 3).Draw(t, "realm")), Listed: rapid.Bool().Draw(t, "listed")}
		privacy := rapid.Bool().Draw(t, "privacy")
		want := access.Place(alice, grants, w, privacy)
		if got := access.Place(alice, rapid.Permutation(grants).Draw(t, "mixed"), w, privacy); got != want {
			t.Fatalf("%d in one order, %d in another", want, got)
		}
		blocked := append(grants, grant(access.Blocked, access.User, w.URI.Bare()))
		if got := access.Place(alice, blocked, w, privacy); got != access.Blocked {
			t.Fatalf("blocked but in %d", got)
		}
	})
}

func FuzzParseMember(f *testing.F) {
	f.Add("user", "sip:Alice@contoso.test")
	f.Add("domain", "Contoso.test ")
	f.Add("everyone", "")
	f.Fuzz(func(t *testing.T, kind, value string) {
		m, err := access.ParseMember(kind, value)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%q %q: %v", kind, value, err)
			}
			return
		}
		if typ, err := access.ParseMemberType(m.Type.String()); err != nil || typ != m.Type {
			t.Errorf("the type %v is read as %v, %v", m.Type, typ, err)
		}
		if again, err := access.ParseMember(m.Type.String(), m.Value); err != nil || again != m {
			t.Errorf("%+v is read again as %+v, %v", m, again, err)
		}
	})
}
