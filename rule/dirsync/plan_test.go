package dirsync

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"trivet/rule/directory"
	"trivet/uc"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func mapping(t testing.TB) *Mapping {
	t.Helper()
	m, err := NewMapping("corp", "inetorgperson", nil, nil, []string{"example.test"})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// entry is an inetOrgPerson called name; attributes are "name=value".
func entry(name string, attributes ...string) Entry {
	e := Entry{DN: "uid=" + name + ",ou=people,dc=example,dc=test", Attributes: map[string][][]byte{}}
	for _, a := range append([]string{"entryuuid=id-" + name, "uid=" + name, "cn=" + name, "mail=" + name + "@example.test"}, attributes...) {
		k, v, _ := strings.Cut(a, "=")
		if i := slices.Index([]string{"entryuuid", "uid", "cn", "mail"}, k); i >= 0 && len(e.Attributes[k]) > 0 {
			e.Attributes[k] = nil
		}
		e.Attributes[k] = append(e.Attributes[k], []byte(v))
	}
	return e
}

func person(t testing.TB, name string, attributes ...string) Person {
	t.Helper()
	p, err := mapping(t).Person(entry(name, attributes...), noon)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// stored is the user that the plan would make of p.
func stored(p Person) directory.User {
	u := p.User
	u.GUID, u.Enabled = GUIDOf("corp", p.ID), true
	return u
}

var free = Limits{Limit{1000, 100}, Limit{1000, 100}, Limit{1000, 100}, Limit{1000, 100}, Limit{1000, 100}, Limit{1000, 100}}

// case1 is an input with the people as users already there.
func synced(t testing.TB, names ...string) Input {
	in := Input{Source: "corp", Mapping: mapping(t), Now: noon, Retention: 30 * 24 * time.Hour, Limits: free, Known: map[string]Known{}}
	for _, n := range names {
		p := person(t, n)
		u := stored(p)
		in.People, in.Users = append(in.People, p), append(in.Users, u)
		in.Known[p.ID] = Known{ID: p.ID, GUID: u.GUID, DN: p.DN}
	}
	return in
}

func actions(p Plan) (list []string) {
	for _, a := range p.Actions {
		list = append(list, a.String()+": "+a.Label)
	}
	return list
}

func conflicts(p Plan) (list []string) {
	for _, c := range p.Conflicts {
		list = append(list, c.Label+": "+c.Text)
	}
	return list
}

func TestPlan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(in *Input)
		want   []string
		other  func(p Plan) string // "" for right
	}{
		{"nothing to do", func(*Input) {}, nil, func(p Plan) string {
			if len(p.Known)+len(p.Forget)+len(p.Conflicts)+len(p.Exceeded) > 0 {
				return fmt.Sprint(p)
			}
			return ""
		}},
		{"a new one", func(in *Input) { in.People = append(in.People, person(t, "dora")) }, []string{"Create user: sip:dora@example.test"}, nil},
		{"a new one that is disabled", func(in *Input) { in.People = append(in.People, person(t, "dora", "useraccountcontrol=514")) }, nil, func(p Plan) string {
			if p.Skipped[string(Disabled)] != 1 {
				return fmt.Sprint(p.Skipped)
			}
			return ""
		}},
		{"a new one without an address of ours", func(in *Input) { in.People = append(in.People, person(t, "dora", "mail=dora@elsewhere.test")) }, nil, nil},
		{"a property", func(in *Input) { in.People[0] = person(t, "anna", "title=Boss") }, []string{"Change user, Title: sip:anna@example.test"}, nil},
		{"an address", func(in *Input) { in.People[0] = person(t, "anna", "mail=anna.b@example.test") },
			[]string{"Change user, SipAddress, UserPrincipalName, WindowsEmailAddress: sip:anna@example.test"}, nil},
		{"the address is gone", func(in *Input) { in.People[0] = person(t, "anna", "mail=anna@elsewhere.test") },
			[]string{"Change user, UserPrincipalName, WindowsEmailAddress: sip:anna@example.test"}, func(p Plan) string {
				if len(p.Conflicts) != 1 {
					return fmt.Sprint(p.Conflicts)
				}
				return ""
			}},
		{"disabled there", func(in *Input) { in.People[0] = person(t, "anna", "useraccountcontrol=514") },
			[]string{"Disable user, disabled in the directory: sip:anna@example.test"}, nil},
		{"gone", func(in *Input) { in.People = in.People[1:] }, []string{"Disable user, missing in the directory: sip:anna@example.test"}, func(p Plan) string {
			if len(p.Known) != 1 || !p.Known[0].Missing.Equal(noon) {
				return fmt.Sprint(p.Known)
			}
			return ""
		}},
		{"not readable", func(in *Input) {
			in.People, in.Broken = in.People[1:], []Broken{{ID: "id-anna", Label: "anna", Text: "x", DN: in.Known["id-anna"].DN}}
		}, nil, nil},
		{"gone for long", gone(31*24*time.Hour, false), []string{"Delete user: sip:anna@example.test"}, nil},
		{"gone for long, and kept by hand", gone(31*24*time.Hour, true), []string{"Disable user, missing in the directory: sip:anna@example.test"}, nil},
		{"gone not for long", gone(29*24*time.Hour, false), nil, nil},
		{"gone for long, kept for ever", func(in *Input) { gone(900*24*time.Hour, false)(in); in.Retention = 0 }, nil, nil},
		{"back", func(in *Input) {
			in.Users[0].Enabled = false
			in.Known["id-anna"] = Known{ID: "id-anna", GUID: in.Users[0].GUID, DN: in.People[0].DN, Disabled: Missing, Missing: noon}
		}, []string{"Enable user again: sip:anna@example.test"}, func(p Plan) string {
			if len(p.Known) != 1 || !p.Known[0].Missing.IsZero() || p.Known[0].Disabled != Missing {
				return fmt.Sprint(p.Known)
			}
			return ""
		}},
		{"back, and disabled by an administrator", func(in *Input) { in.Users[0].Enabled = false }, nil, func(p Plan) string {
			if p.Kept != 1 {
				return fmt.Sprint(p)
			}
			return ""
		}},
		{"deleted by an administrator", func(in *Input) {
			in.Users = in.Users[1:]
			in.Known["id-anna"] = Known{ID: "id-anna", Removed: true}
		}, nil, nil},
		{"the address was taken by an administrator", func(in *Input) { in.Users[0].SipAddress, in.Users[0].Enabled = "", false }, nil, nil},
		{"a title of an administrator's in a property that is not mapped", func(in *Input) { in.Users[0].MailNickname = "ann" }, nil, nil},
		{"an address of somebody else's", func(in *Input) {
			in.Users = append(in.Users, directory.User{GUID: "1", SipAddress: "sip:dora@example.test", DisplayName: "Local"})
			in.People = append(in.People, person(t, "dora"))
			in.People[0] = person(t, "anna", "mail=dora@example.test", "title=Boss")
		}, []string{"Change user, WindowsEmailAddress, Title: sip:anna@example.test"}, func(p Plan) string {
			if got := fmt.Sprint(conflicts(p)); !strings.Contains(got, "sip:dora@example.test: not created: SipAddress sip:dora@example.test belongs to sip:dora@example.test") ||
				!strings.Contains(got, "kept as it is: SipAddress sip:dora@example.test belongs to") {
				return got
			}
			return ""
		}},
		{"an address of a group", func(in *Input) {
			in.Stored = []directory.Group{{GUID: "g", DisplayName: "Sales", SipAddress: "sip:dora@example.test"}}
			in.People = append(in.People, person(t, "dora"))
		}, nil, nil},
		{"addresses that move on", func(in *Input) {
			in.People[0] = person(t, "anna", "mail=bert@example.test")
			in.People[1] = person(t, "bert", "mail=cora@example.test")
			in.People[2] = person(t, "cora", "mail=new@example.test")
		}, []string{
			"Change user, SipAddress, UserPrincipalName, WindowsEmailAddress: sip:cora@example.test",
			"Change user, SipAddress, UserPrincipalName, WindowsEmailAddress: sip:bert@example.test",
			"Change user, SipAddress, UserPrincipalName, WindowsEmailAddress: sip:anna@example.test",
		}, nil},
		{"the address of one who is deleted", func(in *Input) {
			gone(31*24*time.Hour, false)(in)
			in.People = append(in.People, person(t, "dora", "mail=anna@example.test"))
		}, []string{"Delete user: sip:anna@example.test", "Create user: sip:anna@example.test"}, nil},
		{"a line that is none", func(in *Input) {
			in.Mapping.attributes["LineURI"] = []string{"line"}
			p, err := in.Mapping.Person(entry("anna", "line=tel:x", "title=Boss"), noon)
			if err != nil {
				t.Fatal(err)
			}
			in.People[0] = p
		}, []string{"Change user, Title: sip:anna@example.test"}, func(p Plan) string {
			if len(p.Conflicts) != 1 || !strings.Contains(p.Conflicts[0].Text, "LineURI") {
				return fmt.Sprint(p.Conflicts)
			}
			return ""
		}},
		{"a manager, who is new", func(in *Input) {
			in.People[0] = person(t, "anna", "manager=UID=dora, OU=People,dc=example,dc=test")
			in.People = append(in.People, person(t, "dora"))
		}, []string{"Change user, Manager: sip:anna@example.test", "Create user: sip:dora@example.test"}, func(p Plan) string {
			if c := p.Actions[0].Changes; c[0].New != "sip:dora@example.test" {
				return fmt.Sprint(c)
			}
			return ""
		}},
		{"the same entry twice", func(in *Input) { in.People = append(in.People, in.People...) }, nil, nil},
		{"no entries", func(in *Input) { in.People = nil }, []string{
			"Disable user, missing in the directory: sip:anna@example.test", "Disable user, missing in the directory: sip:bert@example.test",
			"Disable user, missing in the directory: sip:cora@example.test",
		}, func(p Plan) string {
			if len(p.Exceeded) != 1 || p.Exceeded[0] != "the directory shows no user where it had 3" {
				return fmt.Sprint(p.Exceeded)
			}
			return ""
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := synced(t, "anna", "bert", "cora")
			c.change(&in)
			p := Make(in)
			if got := actions(p); !slices.Equal(got, c.want) {
				t.Errorf("got\n%s\nwant\n%s\n%v", strings.Join(got, "\n"), strings.Join(c.want, "\n"), conflicts(p))
			}
			if c.other != nil {
				if wrong := c.other(p); wrong != "" {
					t.Error(wrong)
				}
			}
			if again := Make(in); again.ID != p.ID {
				t.Error("the same input gave another plan")
			}
		})
	}
}

// gone has the first entry missing for d.
func gone(d time.Duration, enabled bool) func(in *Input) {
	return func(in *Input) {
		in.People, in.Users[0].Enabled = in.People[1:], enabled
		in.Known["id-anna"] = Known{ID: "id-anna", GUID: in.Users[0].GUID, DN: in.Known["id-anna"].DN, Disabled: Missing, Missing: noon.Add(-d)}
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	names := make([]string, 40)
	for i := range names {
		names[i] = fmt.Sprintf("user%02d", i)
	}
	for _, c := range []struct {
		missing, spent int
		limit          Limit
		first, over    bool
	}{
		{4, 0, Limit{100, 10}, false, false}, {5, 0, Limit{100, 10}, false, true}, {2, 3, Limit{100, 10}, false, true}, {3, 0, Limit{100, 1}, false, false},
		{4, 0, Limit{100, 1}, false, true}, {1, 0, Limit{0, 100}, false, true}, {1, 0, Limit{100, 0}, false, true}, {39, 0, Limit{100, 100}, false, false},
		{6, 0, Limit{5, 100}, false, true}, {6, 0, Limit{5, 100}, true, true},
	} {
		in := synced(t, names...)
		in.People, in.Limits.Disables, in.Spent[Disable], in.First = in.People[c.missing:], c.limit, c.spent, c.first
		if p := Make(in); len(p.Exceeded) > 0 != c.over {
			t.Errorf("%+v: %q", c, p.Exceeded)
		}
	}
	in := Input{Source: "corp", Mapping: mapping(t), Now: noon, First: true}
	for _, n := range names {
		in.People = append(in.People, person(t, n))
	}
	if p := Make(in); len(p.Exceeded) > 0 || p.Counts[Create] != 40 {
		t.Errorf("a first run: %q", p.Exceeded)
	}
	if in.First = false; len(Make(in).Exceeded) != 1 {
		t.Error("forty new users are within a budget of none")
	}
}

func TestPlanChangesItsName(t *testing.T) {
	t.Parallel()
	in := synced(t, "anna", "bert")
	in.People[0] = person(t, "anna", "title=Boss")
	a := Make(in)
	in.People[0] = person(t, "anna", "title=Chief")
	if b := Make(in); a.ID == b.ID {
		t.Error("plans that set different titles have the same name")
	}
}

func team(t testing.TB, name string, members ...string) Team {
	t.Helper()
	e := Entry{DN: "cn=" + name + ",ou=groups", Attributes: map[string][][]byte{"entryuuid": {[]byte("id-" + name)}, "cn": {[]byte(name)}, "mail": {[]byte(name + "@example.test")}}}
	for _, m := range members {
		e.Attributes["member"] = append(e.Attributes["member"], []byte(m))
	}
	g, err := mapping(t).Team(e)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestGroups(t *testing.T) {
	t.Parallel()
	in := synced(t, "anna", "bert")
	in.Groups = true
	in.People = append(in.People, person(t, "dora"))
	anna, bert, dora := in.People[0].DN, in.People[1].DN, in.People[2].DN
	in.Teams = []Team{team(t, "sales", anna, dora, "cn=ALL , ou=groups", "cn=nobody"), team(t, "all", anna, bert)}
	p := Make(in)
	want := []string{"Create user: sip:dora@example.test", "Create group, 2 members: all", "Create group, 3 members: sales"}
	if got := actions(p); !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
	in.Members = map[string][]directory.Member{}
	for _, a := range p.Actions[1:] {
		a.Group.GUID = a.GUID
		in.Stored = append(in.Stored, a.Group)
		in.Members[a.GUID] = a.Members
	}
	in.Users = append(in.Users, p.Actions[0].User)
	in.Users[2].Enabled = true
	if p := Make(in); len(p.Actions) > 0 {
		t.Errorf("once applied: %q", actions(p))
	}
	in.Teams = []Team{team(t, "sales", anna)}
	if got := actions(Make(in)); !slices.Equal(got, []string{"Delete group: all", "Change group, 1 members: sales"}) {
		t.Errorf("got %q", got)
	}
	in.Teams = nil
	if p := Make(in); len(p.Exceeded) != 1 {
		t.Errorf("no groups at all: %q", p.Exceeded)
	}
	in.Groups = false
	if p := Make(in); len(p.Actions) > 0 {
		t.Errorf("groups are not synchronised: %q", actions(p))
	}
}

func TestPersonOfActiveDirectory(t *testing.T) {
	t.Parallel()
	m, err := NewMapping("ad", "active-directory", map[string][]string{"Department": {"ou"}, "Title": {}}, nil, []string{"Example.Test"})
	if err != nil {
		t.Fatal(err)
	}
	e := Entry{DN: "CN=Anna", Attributes: map[string][][]byte{
		"objectguid": {{0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}},
		"cn":         {[]byte("Anna\nAmes")}, "samaccountname": {[]byte("anna")}, "userprincipalname": {[]byte("anna@corp.local")},
		"proxyaddresses": {[]byte("SMTP:a@example.test"), []byte("SIP:Anna.Ames@example.test")}, "mail": {[]byte("a@example.test")}, "title": {[]byte("x")}, "ou": {[]byte("Sales")},
		"useraccountcontrol": {[]byte("512")}, "accountexpires": {[]byte("9223372036854775807")}, "physicaldeliveryofficename": {[]byte(strings.Repeat("ö", 100))},
	}}
	p, err := m.Person(e, noon)
	if err != nil {
		t.Fatal(err)
	}
	u := p.User
	if p.ID != "00112233-4455-6677-8899-aabbccddeeff" || u.SipAddress != "sip:anna.ames@example.test" || u.DisplayName != "Anna Ames" || u.Title != "" ||
		u.Department != "Sales" || len(u.Office) != 128 || p.Off != "" || GUIDOf("ad", p.ID) != p.ID {
		t.Errorf("got %+v", p)
	}
	for expires, want := range map[string]Reason{"0": "", "133500000000000000": Expired, "143500000000000000": ""} {
		e.Attributes["accountexpires"] = [][]byte{[]byte(expires)}
		if p, _ := m.Person(e, noon); p.Off != want {
			t.Errorf("accountExpires %s: %q", expires, p.Off)
		}
	}
	for locked, want := range map[string]Reason{"000001010000Z": Disabled, "20260301115900Z": ""} {
		if p := person(t, "anna", "pwdaccountlockedtime="+locked); p.Off != want {
			t.Errorf("pwdAccountLockedTime %s: %q", locked, p.Off)
		}
	}
	if p := person(t, "anna", "nsaccountlock=TRUE"); p.Off != Disabled {
		t.Error("nsAccountLock does not disable")
	}
	delete(e.Attributes, "objectguid")
	if _, err := m.Person(e, noon); err == nil {
		t.Error("an entry without an identifier is somebody")
	}
}

func TestDNKey(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"cn=Anna Ames,dc=example", "CN = anna  ames , DC=Example", `cn=Anna\20Ames,dc=example`, `cn="anna ames";dc=example`},
		{`cn=a\,b,o=x`, `cn=a\2Cb,o=x`, `cn="a,b",o=x`}, {"cn=a+uid=b,o=x", "CN=A + UID=b, o=x"},
	} {
		for _, s := range same {
			if DNKey(s) == "" || DNKey(s) != DNKey(same[0]) {
				t.Errorf("%s is %q, %s is %q", s, DNKey(s), same[0], DNKey(same[0]))
			}
		}
	}
	if DNKey("cn=a,b,o=x") != "" || DNKey(`cn=a\,o=x`) == DNKey("cn=a,o=x") {
		t.Error("names that differ are equal, or no name is one")
	}
}

func FuzzDNKey(f *testing.F) {
	f.Add(`cn="a\"b"+uid=x\2c , ou=\`)
	f.Fuzz(func(t *testing.T, s string) {
		if k := DNKey(s); k != "" && DNKey(k) != k {
			t.Errorf("%q: %q becomes %q", s, k, DNKey(k))
		}
	})
}

// FuzzPerson: whatever a directory sends, what becomes a user may be stored.
func FuzzPerson(f *testing.F) {
	f.Add("anna", "anna@example.test", "tel:+1", []byte{1, 2}, "9999999999999999999")
	f.Fuzz(func(t *testing.T, uid, mail, line string, id []byte, expires string) {
		m := mapping(t)
		m.attributes["LineURI"] = []string{"line"}
		p, err := m.Person(Entry{DN: uid, Attributes: map[string][][]byte{
			"uid": {[]byte(uid)}, "mail": {[]byte(mail)}, "line": {[]byte(line)}, "entryuuid": {id}, "accountexpires": {[]byte(expires)}, "manager": {[]byte(line)},
		}}, noon)
		if err != nil || p.User.SipAddress == "" {
			return
		}
		plan := Make(Input{Source: "corp", Mapping: m, Now: noon, People: []Person{p}, First: true})
		if p.Off == "" && len(plan.Actions) != 1 {
			t.Fatalf("%+v: %v", p, plan)
		}
		for _, a := range plan.Actions {
			if err := directory.Validate(&a.User); err != nil || a.User.SipAddress == uc.UserURI("") {
				t.Error(err)
			}
		}
	})
}
