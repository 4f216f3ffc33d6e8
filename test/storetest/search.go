package storetest

import (
	"fmt"
	"strings"
	"testing"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/store/users"
	"trivet/uc"
)

// listed are people with the attributes that searches look at.
var listed = []users.User{
	{
		SamAccountName: "anna", DisplayName: "Anna-Lena Müller", FirstName: "Anna-Lena", LastName: "Müller", WindowsEmailAddress: "a.mueller@mail.test",
		MailNickname: "annal", Title: "Engineer", Company: "Example Works", Department: "Research", Office: "B 12", City: "Köln", Phone: "+49 (221) 555-0100",
		ProxyAddresses: []string{"smtp:lena@old.test", "X400:C=DE;S=Zzz"}, LineURI: "tel:+492215550100;ext=777",
	},
	{SamAccountName: "an", DisplayName: "An Nguyen", FirstName: "An", LastName: "Nguyễn", Company: "Example Works", Department: "Sales", MobilePhone: "0171 234"},
	{SamAccountName: "bob", DisplayName: "O'Brien, Bob", FirstName: "Bob", LastName: "O'Brien", Company: "Elsewhere", Department: "Sales"},
	{SamAccountName: "straus", DisplayName: "Łucja Strauß", FirstName: "Łucja", LastName: "Strauß", Department: "Research"},
	{SamAccountName: "tanaka", DisplayName: "田中 太郎"},
	{SamAccountName: "hidden", DisplayName: "Anna Hidden", FirstName: "Anna", HideFromAddressLists: true},
	{SamAccountName: "unhomed", DisplayName: "Anna Unhomed", FirstName: "Anna"},
}

func search(t *testing.T, s users.Store) {
	for _, u := range listed {
		u.UserPrincipalName = u.SamAccountName + "@example.test"
		if u.SamAccountName != "unhomed" {
			u.SipAddress = uc.UserURI("sip:" + u.SamAccountName + "@example.test")
		}
		if _, err := s.Create(t.Context(), users.New{User: u}); err != nil {
			t.Fatal(err)
		}
	}
	type terms = []directory.Term
	at := func(a directory.Attribute, text string) directory.Term {
		return directory.Term{Attribute: a, Text: text}
	}
	any := func(text string) terms { return terms{{Text: text}} }
	for _, c := range []struct {
		terms terms
		want  string
	}{
		{any("ann"), "unhomed anna"}, {any("ANNA"), "unhomed anna"}, {any("müll"), "anna"}, {any("Mull"), "anna"}, {any("lena"), "anna"},
		{any("anna research"), "anna"}, {any("anna sales"), ""}, {any("na"), ""}, {any("nguyen"), "an"}, {any("Nguyễn"), "an"},
		{any("o'brien"), "bob"}, {any("brien"), "bob"}, {any("strauss"), "straus"}, {any("STRAUẞ"), "straus"}, {any("lucja"), "straus"},
		{any("田"), "tanaka"}, {any("太郎"), "tanaka"}, {any("中"), ""}, {any("hidden"), ""},
		{any("a.mueller@mail.test"), "anna"}, {any("A.Mueller@m"), "anna"}, {any("mail"), ""}, {any("smtp:lena@old.test"), "anna"}, {any("zzz"), ""},
		{any("sip:bob@example.test"), "bob"}, {any("bob@"), "bob"}, {any("example"), "an anna"}, {any("annal"), "anna"},
		{any("+49 221 555"), "anna"}, {any("0171 234"), "an"}, {any("777"), "anna"},
		{terms{at(directory.FirstName, "an")}, "an unhomed anna"}, {terms{at(directory.LastName, "an")}, ""}, {terms{at(directory.LastName, "mu")}, "anna"},
		{terms{at(directory.DisplayName, "le mü")}, "anna"}, {terms{at(directory.Mail, "lena")}, "anna"}, {terms{at(directory.Mail, "lena@old")}, "anna"},
		{terms{at(directory.SipAddress, "sip:anna@example.test")}, "anna"}, {terms{at(directory.SipAddress, "anna")}, "anna"},
		{terms{at(directory.Alias, "annal")}, "anna"}, {terms{at(directory.Phone, "+49-221")}, "anna"}, {terms{at(directory.Phone, "221")}, ""},
		{terms{at(directory.Title, "eng")}, "anna"}, {terms{at(directory.Company, "works")}, "an anna"}, {terms{at(directory.Office, "12")}, "anna"},
		{terms{at(directory.Place, "koln")}, "anna"}, {terms{at(directory.Department, "res")}, "anna straus"},
		{terms{at(directory.Company, "ex"), at(directory.Department, "sal")}, "an"}, {terms{at(directory.Company, "ex"), at(directory.Department, "x")}, ""},
		{terms{at(directory.Company, ""), at(directory.Department, "sal")}, "an bob"}, {terms{at(directory.Company, "*")}, ""}, {nil, ""},
		{any(`" OR first_name : a*`), ""}, {any("an\x00 ("), "an unhomed anna"},
	} {
		if got := found(t, s, directory.Search{Terms: c.terms, Limit: 10}); got != c.want {
			t.Errorf("%v: found %q, want %q", c.terms, got, c.want)
		}
	}
	if got := found(t, s, directory.Search{Terms: any("ann"), Limit: 10, Homed: true}); got != "anna" {
		t.Errorf("homed: found %q", got)
	}
	list, more, err := s.Search(t.Context(), directory.Search{Terms: any("an"), Limit: 1})
	if err != nil || !more || len(list) != 1 || list[0].SamAccountName != "an" {
		t.Errorf("one of many is %v, %v, %v, want the one whose name it is", list, more, err)
	}
	for i, bad := range []directory.Search{{Limit: 0}, {Limit: directory.MaxResults + 1}, {Limit: 1, Terms: make(terms, directory.MaxTerms+1)}, {Limit: 1, Terms: terms{at(99, "x")}}, {Limit: 1, Terms: any(strings.Repeat("x", 300))}} {
		if _, _, err := s.Search(t.Context(), bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("bad search %d: %v", i, err)
		}
	}
	follow(t, s)
}

// follow changes people and finds them as they are.
func follow(t *testing.T, s users.Store) {
	t.Helper()
	anna, hidden := must(s.Find(t.Context(), "anna")), must(s.Find(t.Context(), "hidden"))
	for _, c := range []struct {
		guid   string
		change func(u *users.User) error
		text   string
		want   string
	}{
		{anna.GUID, func(u *users.User) error { u.LastName, u.DisplayName = "Schmidt", "Anna Schmidt"; return nil }, "muller", ""},
		{anna.GUID, func(u *users.User) error { u.Title = "Boss"; return nil }, "schmidt boss", "anna"},
		{hidden.GUID, func(u *users.User) error { u.HideFromAddressLists = false; return nil }, "hidden", "hidden"},
		{anna.GUID, func(u *users.User) error { u.HideFromAddressLists = true; return nil }, "schmidt", ""},
		{anna.GUID, func(u *users.User) error { u.HideFromAddressLists = false; return nil }, "schmidt", "anna"},
	} {
		if _, err := s.Update(t.Context(), c.guid, c.change); err != nil {
			t.Fatal(err)
		}
		if got := found(t, s, directory.Search{Terms: []directory.Term{{Text: c.text}}, Limit: 9}); got != c.want {
			t.Errorf("after a change %q finds %q, want %q", c.text, got, c.want)
		}
	}
	if err := s.Delete(t.Context(), anna.GUID); err != nil {
		t.Fatal(err)
	}
	if got := found(t, s, directory.Search{Terms: []directory.Term{{Text: "schmidt"}}, Limit: 9}); got != "" {
		t.Errorf("a deleted user is found: %q", got)
	}
}

func found(t *testing.T, s users.Store, q directory.Search) string {
	t.Helper()
	list, more, err := s.Search(t.Context(), q)
	if err != nil || more {
		t.Errorf("Search(%+v): %v, more: %v", q, err, more)
	}
	var names []string
	for _, u := range list {
		names = append(names, u.SamAccountName)
	}
	return strings.Join(names, " ")
}

func searchGroups(t *testing.T, s users.Store) {
	for i, name := range []string{"Vertrieb Süd", "Vertrieb Nord", "Leitung"} {
		g := users.Group{Mail: fmt.Sprintf("g%d@example.test", i), DisplayName: name, MailNickname: fmt.Sprintf("alias%d", i), HideFromAddressLists: name == "Leitung"}
		makeGroup(t, s, g)
	}
	check := func(text, want string) {
		t.Helper()
		list, more, err := s.SearchGroups(t.Context(), directory.Search{Terms: []directory.Term{{Text: text}}, Limit: 5})
		var names []string
		for _, g := range list {
			names = append(names, g.MailNickname)
		}
		if got := strings.Join(names, " "); err != nil || more || got != want {
			t.Errorf("%q: found %q, %v, %v, want %q", text, got, more, err, want)
		}
	}
	check("vert", "alias1 alias0")
	check("sud vertrieb", "alias0")
	check("g1@example.test", "alias1")
	check("alias0", "alias0")
	check("leitung", "")
	g, err := s.GroupByMail(t.Context(), "g0@example.test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateGroup(t.Context(), g.GUID, func(g *users.Group) error { g.DisplayName = "Einkauf"; return nil }); err != nil {
		t.Fatal(err)
	}
	check("sud", "")
	check("eink", "alias0")
	if err := s.DeleteGroup(t.Context(), g.GUID); err != nil {
		t.Fatal(err)
	}
	check("eink", "")
}
