package directory_test

import (
	"bytes"
	"fmt"
	"testing"

	rule "trivet/rule/directory"
	"trivet/rule/policy"
	"trivet/store/central"
	"trivet/store/users"
	"trivet/uc"
)

// TestReload: a server that lost its files takes a snapshot, tells so, finds groups
// by their words, and spreads users over routing groups as the others do.
func TestReload(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	p := newPool(t, 0, nil)
	for i := range 5 { // groups 1 to 4, and 1 again
		if _, err := p.on[0].users.Create(ctx, newUser(fmt.Sprint("u", i))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.on[1].users.CreateGroup(ctx, users.Group{Mail: "sales@example.test", DisplayName: "Sales in Åre"}); err != nil {
		t.Fatal(err)
	}
	s := p.on[2]
	policies, err := central.OpenPolicies(ctx, s.config, "Main", nil)
	if err != nil {
		t.Fatal(err)
	}
	reloads := 0
	s.users.OnReload(func() { reloads++ })
	s.config.OnReload(func() {
		if err := policies.Reload(ctx); err != nil {
			t.Error(err)
		}
		reloads++
	})
	kind := policy.ByNoun("CsPresencePolicy")
	id := policy.Identity{Scope: policy.Tag, Name: "Made elsewhere"}
	if _, err := p.on[0].config.Change(ctx, "admin", kind.Noun, id.String(), func([]byte) ([]byte, error) { return []byte("{}"), nil }); err != nil {
		t.Fatal(err)
	}
	has := func() (ok bool) {
		_, ok = policies.Book().Find(kind, id)
		return ok
	}
	if !has() {
		t.Error("a policy that another server made is not in the book")
	}
	p.snapshot(p.on[0])
	if err := s.m.Forget(ctx); err != nil {
		t.Fatal(err)
	}
	if has() || reloads != 2 {
		t.Errorf("after Forget: %d reloads, in the book: %v", reloads, has())
	}
	if err := s.m.Restore(bytes.NewReader(p.snap)); err != nil {
		t.Fatal(err)
	}
	if !has() || reloads != 4 {
		t.Errorf("after Restore: %d reloads, in the book: %v", reloads, has())
	}
	q := rule.Search{Terms: []rule.Term{{Text: "sales are"}}, Limit: 5}
	if list, _, err := s.users.SearchGroups(ctx, q); err != nil || len(list) != 1 {
		t.Errorf("found %d groups, %v", len(list), err)
	}
	made, err := s.users.Create(ctx, newUser("next"))
	if err != nil || made[0].RoutingGroup != uc.GroupID(2) {
		t.Errorf("the next user is in group %d, %v", made[0].RoutingGroup, err)
	}
	p.alike()
}
