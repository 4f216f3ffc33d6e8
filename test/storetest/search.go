package storetest

import (
	"fmt"
	"strings"
	"testing"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/store/users"
)

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
	check("SÜD", "alias0")
	check("mail", "")
	check("nord zzz", "")
	check(`" OR display_name : v*`, "")
	check("*", "")
	check("vert\x00 (", "alias1 alias0")
	if list, more, err := s.SearchGroups(t.Context(), directory.Search{Terms: []directory.Term{{Text: "v"}}, Limit: 1}); err != nil || !more || len(list) != 1 {
		t.Errorf("one of many is %v, %v, %v", list, more, err)
	}
	for _, c := range []struct {
		a    directory.Attribute
		text string
		want int
	}{{directory.DisplayName, "vert", 2}, {directory.Alias, "vert", 0}, {directory.Alias, "alias", 2}, {directory.Mail, "g0@ex", 1}, {directory.SipAddress, "g0@ex", 0}} {
		list, _, err := s.SearchGroups(t.Context(), directory.Search{Terms: []directory.Term{{Attribute: c.a, Text: c.text}}, Limit: 9})
		if err != nil || len(list) != c.want {
			t.Errorf("%d %q: %v, %v", c.a, c.text, list, err)
		}
	}
	long := []directory.Term{{Text: strings.Repeat("x", 300)}}
	for i, bad := range []directory.Search{{Limit: 0}, {Limit: directory.MaxResults + 1}, {Limit: 1, Terms: make([]directory.Term, directory.MaxTerms+1)}, {Limit: 1, Terms: []directory.Term{{Attribute: 99, Text: "x"}}}, {Limit: 1, Terms: long}} {
		if _, _, err := s.SearchGroups(t.Context(), bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("bad search %d: %v", i, err)
		}
	}
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
