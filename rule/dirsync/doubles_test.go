package dirsync

import (
	"slices"
	"strings"
	"testing"

	"trivet/rule/directory"
)

// without takes the person at i out of the answer and puts what is broken there.
func (in *Input) without(i int, list ...Broken) {
	in.People, in.Broken = slices.Delete(slices.Clone(in.People), i, i+1), append(in.Broken, list...)
}

// TestBrokenEntryDisables: who spoils his own entry does not keep his access by it.
func TestBrokenEntryDisables(t *testing.T) {
	t.Parallel()
	e := entry("anna", "useraccountcontrol=514", "mail=", "uid=", "cn=")
	e.Attributes["cn"], e.Attributes["uid"], e.Attributes["mail"] = nil, nil, [][]byte{[]byte("a nna@example.test")}
	p, err := mapping(t).Person(e, noon)
	if p.ID != "id-anna" || p.Off != Disabled {
		t.Fatalf("%+v: %v", p, err)
	}
	in := synced(t, "anna", "bert")
	in.without(0, Broken{ID: "id-anna", Label: "anna", Text: "x", DN: "uid=anna,ou=new,dc=example,dc=test", Off: Disabled})
	got := Make(in)
	if list := actions(got); !slices.Equal(list, []string{"Disable user, disabled in the directory: sip:anna@example.test"}) {
		t.Errorf("%q", list)
	}
	if len(got.Known) != 1 || got.Known[0].DN != "uid=anna,ou=new,dc=example,dc=test" {
		t.Errorf("%+v", got.Known)
	}
}

// TestBrokenEntryStays: whose entry is broken is a member and a manager still.
func TestBrokenEntryStays(t *testing.T) {
	t.Parallel()
	in := synced(t, "anna", "bert")
	in.Users[1].Manager = "sip:anna@example.test"
	in.People[1] = person(t, "bert", "manager="+in.People[0].DN)
	in.Groups, in.Members = true, map[string][]directory.Member{}
	for _, name := range []string{"all", "sales"} {
		g := directory.Group{GUID: GUIDOf("corp", name), Source: "corp", SourceID: name, Mail: name + "@example.test", DisplayName: name}
		in.Stored = append(in.Stored, g)
		in.Teams = append(in.Teams, Team{ID: name, DN: "cn=" + name, Group: g})
	}
	all := in.Stored[0].GUID
	in.Teams[0].Members = []string{DNKey(in.People[0].DN), DNKey("cn=sales")}
	in.Members[all] = []directory.Member{{Group: in.Stored[1].GUID}, {User: in.Users[0].GUID}}
	if p := Make(in); len(p.Actions) != 0 {
		t.Fatalf("before: %q", actions(p))
	}
	in.Teams = in.Teams[:1]
	in.without(0, Broken{ID: "id-anna", DN: in.People[0].DN, Label: "anna", Text: "x"}, Broken{ID: "sales", DN: "cn=sales", Label: "sales", Text: "x", Team: true})
	if p := Make(in); len(p.Actions) != 0 {
		t.Errorf("a broken entry changes others: %q", actions(p))
	}
}

// TestOneIdentifierTwice: nobody is chosen of several entries with one identifier.
func TestOneIdentifierTwice(t *testing.T) {
	t.Parallel()
	in := synced(t, "anna", "bert")
	other := person(t, "aaron", "entryuuid=id-anna")
	in.People = append(in.People, other)
	p := Make(in)
	if len(p.Actions) != 0 || len(p.Known) != 0 || len(p.Conflicts) != 2 || !strings.Contains(p.Conflicts[0].Text, "identifier id-anna is that of several entries") {
		t.Errorf("%q %+v %q", actions(p), p.Known, conflicts(p))
	}
	in.People[2].Off = Disabled
	if p = Make(in); len(p.Actions) != 0 {
		t.Errorf("the other entry disables: %q", actions(p))
	}
	in.People[0].Off = Disabled
	if p = Make(in); p.Counts[Disable] != 1 {
		t.Errorf("the entry that is known does not disable: %q", actions(p))
	}
	in.Users, in.Known = in.Users[1:], map[string]Known{}
	if p = Make(in); p.Counts[Create] != 0 {
		t.Errorf("one of two is made: %q", actions(p))
	}

	in = synced(t, "anna")
	in.Broken = []Broken{{ID: "id-anna", DN: "cn=broken", Label: "x", Text: "x"}}
	if p = Make(in); len(p.Conflicts) != 2 || len(p.Known) != 0 {
		t.Errorf("one of them is broken: %q", conflicts(p))
	}
	in = synced(t, "anna")
	in.People = append(in.People, in.People[0])
	if p = Make(in); len(p.Conflicts) != 0 {
		t.Errorf("an entry that was read twice: %q", conflicts(p))
	}

	in = synced(t)
	in.Groups = true
	g := directory.Group{Source: "corp", SourceID: "g", Mail: "g@example.test", DisplayName: "g"}
	in.Teams = []Team{{ID: "g", DN: "cn=a", Group: g}, {ID: "g", DN: "cn=b", Group: g}}
	if p = Make(in); len(p.Actions) != 0 || len(p.Conflicts) != 2 {
		t.Errorf("groups: %q %q", actions(p), conflicts(p))
	}
}
