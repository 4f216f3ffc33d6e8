package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/store/users"
)

func group(name string) users.Group {
	return users.Group{
		Mail: name + "@Example.test", DisplayName: name + " Güter", Description: "D", MailNickname: name + "-list", HideFromAddressLists: true,
	}
}

func makeGroup(t *testing.T, s users.Store, g users.Group, members ...directory.Member) users.Group {
	t.Helper()
	made, err := s.CreateGroup(t.Context(), g, members...)
	if err != nil {
		t.Fatalf("CreateGroup(%s): %v", g.Mail, err)
	}
	return made
}

func groups(t *testing.T, s users.Store) {
	full := group("sales")
	full.SipAddress, full.Source, full.SourceID = "sip:sales@example.test", "corp", "1"
	want := makeGroup(t, s, full)
	if want.GUID == "" || !want.WhenCreated.Equal(Now) || !want.WhenChanged.Equal(Now) {
		t.Errorf("CreateGroup gave %+v", want)
	}
	for name, get := range map[string]func() (users.Group, error){
		"Group":         func() (users.Group, error) { return s.Group(t.Context(), want.GUID) },
		"GroupByMail":   func() (users.Group, error) { return s.GroupByMail(t.Context(), "SALES@example.test") },
		"GroupBySource": func() (users.Group, error) { return s.GroupBySource(t.Context(), "corp", "1") },
		"by mail":       func() (users.Group, error) { return s.FindGroup(t.Context(), "Sales@example.test") },
		"by address":    func() (users.Group, error) { return s.FindGroup(t.Context(), "sip:sales@example.test") },
		"by GUID":       func() (users.Group, error) { return s.FindGroup(t.Context(), strings.ToUpper(want.GUID)) },
		"by alias":      func() (users.Group, error) { return s.FindGroup(t.Context(), "Sales-List") },
		"by name":       func() (users.Group, error) { return s.FindGroup(t.Context(), "SALES GÜTER") },
	} {
		got, err := get()
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
	for name, err := range map[string]error{
		"Group": second(s.Group(t.Context(), "none")), "GroupByMail": second(s.GroupByMail(t.Context(), "")), "FindGroup": second(s.FindGroup(t.Context(), "x")),
		"GroupBySource": second(s.GroupBySource(t.Context(), "", "")), "Expand": second(s.Expand(t.Context(), "none@example.test", 0)),
		"DeleteGroup": s.DeleteGroup(t.Context(), "none"), "AddMembers": second(s.AddMembers(t.Context(), "none", directory.Member{Mail: "a@b.c"})),
	} {
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%s of nothing: %v, want fault.NotFound", name, err)
		}
	}
	makeGroup(t, s, group("all"))
	var mails []string
	list, err := s.ListGroups(t.Context(), "", 0)
	for _, g := range list {
		mails = append(mails, g.Mail)
	}
	if err != nil || !slices.Equal(mails, []string{"all@Example.test", "sales@Example.test"}) {
		t.Errorf("ListGroups: %v, %v", mails, err)
	}
	if list, err := s.ListGroups(t.Context(), "s*@example.test", 5); err != nil || len(list) != 1 {
		t.Errorf("ListGroups of a pattern: %v, %v", list, err)
	}
	if list, err := s.ListGroups(t.Context(), "", 1); err != nil || len(list) != 1 {
		t.Errorf("ListGroups with a limit: %v, %v", list, err)
	}
}

func second[T any](_ T, err error) error { return err }

func groupRefusals(t *testing.T, s users.Store) {
	alice := create(t, s, "alice")[0]
	first := group("sales")
	first.SipAddress, first.Source, first.SourceID = "sip:sales@example.test", "corp", "1"
	makeGroup(t, s, first)
	other := makeGroup(t, s, group("other"))
	for _, c := range []struct {
		kind     fault.Kind
		property string
		spoil    func(g *users.Group)
	}{
		{fault.Exists, "Mail", func(g *users.Group) { g.Mail = "SALES@example.test" }},
		{fault.Exists, "SipAddress", func(g *users.Group) { g.SipAddress = "sip:sales@example.test" }},
		{fault.Exists, "SipAddress", func(g *users.Group) { g.SipAddress = alice.SipAddress }},
		{fault.Exists, "SourceID", func(g *users.Group) { g.Source, g.SourceID = "corp", "1" }},
		{fault.Invalid, "SourceID", func(g *users.Group) { g.Source = "corp" }},
		{fault.Invalid, "Mail", func(g *users.Group) { g.Mail = "sales" }},
		{fault.Invalid, "DisplayName", func(g *users.Group) { g.DisplayName = " " }},
		{fault.Invalid, "Description", func(g *users.Group) { g.Description = "a\x00b" }},
		{fault.Invalid, "SipAddress", func(g *users.Group) { g.SipAddress = "sip:A@b" }},
	} {
		fresh := group("fresh")
		c.spoil(&fresh)
		_, err := s.CreateGroup(t.Context(), fresh)
		subject(t, "CreateGroup", err, c.kind, c.property)
		_, err = s.UpdateGroup(t.Context(), other.GUID, func(g *users.Group) error { c.spoil(g); return nil })
		subject(t, "UpdateGroup", err, c.kind, c.property)
	}
	_, err := s.CreateGroup(t.Context(), group("late"), directory.Member{Mail: "x@elsewhere.test"}, directory.Member{User: "none"})
	if !fault.Is(err, fault.NotFound) {
		t.Errorf("a member whom nobody knows: %v", err)
	}
	taken := account("x")
	taken.User.SipAddress = "sip:sales@example.test"
	_, err = s.Create(t.Context(), taken)
	subject(t, "Create with a group's address", err, fault.Exists, "SipAddress")
	_, err = s.Update(t.Context(), alice.GUID, func(u *users.User) error { u.SipAddress = "sip:sales@example.test"; return nil })
	subject(t, "Update to a group's address", err, fault.Exists, "SipAddress")
	if list, err := s.ListGroups(t.Context(), "", 0); err != nil || len(list) != 2 {
		t.Errorf("refused groups stayed: %v, %v", list, err)
	}
}

// members are the members of a group as "u:sam", "g:alias" or "c:mail name".
func members(t *testing.T, s users.Store, address string, limit int) (string, int) {
	t.Helper()
	x, err := s.Expand(t.Context(), address, limit)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range x.Members {
		switch {
		case e.User != nil:
			list = append(list, "u:"+fold(e.User.SamAccountName))
		case e.Group != nil:
			list = append(list, "g:"+e.Group.MailNickname)
		default:
			list = append(list, "c:"+e.Mail+" "+e.DisplayName)
		}
	}
	return strings.Join(list, ", "), x.Total
}

func fold(s string) string { return strings.ToLower(s) }

func groupMembers(t *testing.T, s users.Store) {
	made := create(t, s, "bob", "alice")
	bob, alice := directory.Member{User: made[0].GUID}, directory.Member{User: strings.ToUpper(made[1].GUID)}
	guest := directory.Member{Mail: "Zoe@elsewhere.test", DisplayName: "Zoe"}
	inner := makeGroup(t, s, group("inner"), bob)
	g := makeGroup(t, s, group("outer"), guest, directory.Member{Group: inner.GUID}, bob, alice)
	check := func(want string) {
		t.Helper()
		if got, total := members(t, s, g.Mail, 0); got != want || total != strings.Count(want, ":") {
			t.Errorf("members %q, total %d, want %q", got, total, want)
		}
	}
	check("u:alice, u:bob, g:inner-list, c:Zoe@elsewhere.test Zoe")
	if got, total := members(t, s, g.GUID, 2); got != "u:alice, u:bob" || total != 4 {
		t.Errorf("two members are %q of %d", got, total)
	}
	counts := []struct {
		want int
		do   func() (int, error)
	}{
		{0, func() (int, error) { return s.AddMembers(t.Context(), g.GUID, alice, bob) }},
		{1, func() (int, error) {
			return s.AddMembers(t.Context(), g.GUID, directory.Member{Mail: "zoe@elsewhere.test", DisplayName: "Zoe Z."})
		}},
		{1, func() (int, error) { return s.RemoveMembers(t.Context(), g.GUID, bob, bob) }},
		{0, func() (int, error) { return s.RemoveMembers(t.Context(), g.GUID, bob) }},
	}
	for i, c := range counts {
		if n, err := c.do(); err != nil || n != c.want {
			t.Errorf("change %d: %d, %v, want %d", i, n, err, c.want)
		}
	}
	check("u:alice, g:inner-list, c:zoe@elsewhere.test Zoe Z.")
	for i, want := range []int{3, 0} { // alice and the group go, bob comes
		if n, err := s.SetMembers(t.Context(), g.GUID, bob, directory.Member{Mail: "zoe@elsewhere.test", DisplayName: "Zoe Z."}); err != nil || n != want {
			t.Errorf("SetMembers, time %d: %d, %v, want %d", i+1, n, err, want)
		}
	}
	check("u:bob, c:zoe@elsewhere.test Zoe Z.")
	for _, bad := range []directory.Member{{}, {User: bob.User, Group: inner.GUID}, {Mail: "zoe"}, {Mail: "z@b.c", DisplayName: "a\nb"}} {
		_, err := s.SetMembers(t.Context(), g.GUID, alice, bad)
		subject(t, "SetMembers", err, fault.Invalid, "Member")
	}
	check("u:bob, c:zoe@elsewhere.test Zoe Z.")
	if err := s.Delete(t.Context(), bob.User); err != nil {
		t.Fatal(err)
	}
	check("c:zoe@elsewhere.test Zoe Z.")
	if got, _ := members(t, s, inner.Mail, 0); got != "" {
		t.Errorf("a deleted user is in a group: %s", got)
	}
	if n, err := s.AddMembers(t.Context(), g.GUID, directory.Member{Group: inner.GUID}); err != nil || n != 1 {
		t.Errorf("a group as a member: %d, %v", n, err)
	}
	if err := s.DeleteGroup(t.Context(), inner.GUID); err != nil {
		t.Fatal(err)
	}
	check("c:zoe@elsewhere.test Zoe Z.")
}

func groupCycles(t *testing.T, s users.Store) {
	var chain []users.Group
	for i := range 5 {
		var inside []directory.Member
		if i > 0 {
			inside = append(inside, directory.Member{Group: chain[i-1].GUID})
		}
		chain = append(chain, makeGroup(t, s, group(fmt.Sprintf("g%d", i)), inside...))
	}
	for _, outer := range chain {
		_, err := s.AddMembers(t.Context(), chain[0].GUID, directory.Member{Group: outer.GUID})
		subject(t, "a group inside itself", err, fault.Invalid, "Member")
	}
	synced := group("synced")
	synced.Source, synced.SourceID = "corp", "7"
	loop := makeGroup(t, s, synced)
	if n, err := s.AddMembers(t.Context(), loop.GUID, directory.Member{Group: loop.GUID}); err != nil || n != 1 {
		t.Errorf("a cycle of a directory source: %d, %v", n, err)
	}
	if got, total := members(t, s, loop.Mail, 0); got != "g:synced-list" || total != 1 {
		t.Errorf("the cycle is shown as %q of %d", got, total)
	}
	if n, err := s.AddMembers(t.Context(), chain[0].GUID, directory.Member{Group: loop.GUID}); err != nil || n != 1 {
		t.Errorf("a group that contains itself joins another: %d, %v", n, err)
	}
}
