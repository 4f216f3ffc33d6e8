package dirsync

import (
	"testing"

	"trivet/rule/directory"
)

// TestDigestTellsPlansApart: no two plans share a name.
func TestDigestTellsPlansApart(t *testing.T) {
	t.Parallel()
	seen := map[string]Action{}
	for _, a := range []Action{
		{Kind: Update, Changes: []Change{{"Title", "a", "b"}, {"City", "", "c"}}}, {Kind: Update, Changes: []Change{{"Title", "a", "b} {City  c"}}},
		{Kind: Update, Changes: []Change{{"Title", "a b", "c"}}}, {Kind: Update, Changes: []Change{{"Title", "a", "b c"}}},
		{Kind: Create, User: directory.User{Title: "a b"}}, {Kind: Create, User: directory.User{Title: "a", Company: "b"}}, {Kind: Create, User: directory.User{ProxyAddresses: []string{"a b"}}},
		{Kind: Create, User: directory.User{ProxyAddresses: []string{"a", "b"}}}, {Kind: CreateGroup, Group: directory.Group{Mail: "a b"}}, {Kind: CreateGroup, Members: []directory.Member{{User: "a"}}},
		{Kind: CreateGroup, Members: []directory.Member{{Group: "a"}}},
	} {
		name := digest("corp", []Action{a})
		if b, ok := seen[name]; ok || len(name) != 32 {
			t.Errorf("%q is the name of %+v and %+v", name, a, b)
		}
		seen[name] = a
	}
}
