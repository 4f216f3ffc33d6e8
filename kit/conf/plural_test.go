package conf_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/kit/conf"
)

const corp = `directory:
  sources:
    - name: corp
      servers: [ldaps://dc1.example.test, "ldap://dc2.example.test:1389"]
      users:
        bases: "ou=people,dc=example,dc=test"
      attributes: {department: [ou, departmentNumber], Title: []}
      budget: {disables: 5}
    - name: other
      kind: inetorgperson
      servers: ldaps://ldap.example.test
      users: {bases: ["o=one", "o=two"], filter: "(objectClass=\\*)"}
      every: 1h
`

func TestSources(t *testing.T) {
	t.Parallel()
	s, err := conf.Load(folder(t, strings.ReplaceAll(corp, `\\`, `\\\\`)), nil)
	if err != nil {
		t.Fatal(err)
	}
	list := s.Directory.Sources
	if len(list) != 2 {
		t.Fatalf("got %+v", list)
	}
	a, b := list[0], list[1]
	if d := cmp.Diff(map[string][]string{"Department": {"ou", "departmentNumber"}, "Title": {}}, a.Attributes); d != "" {
		t.Error(d)
	}
	if a.Kind != "active-directory" || len(a.Servers) != 2 || a.Budget.Disables != 5 || a.Budget.Deletes != 50 || a.Retention != 30*24*time.Hour || a.Users.Bases[0] != "ou=people,dc=example,dc=test" {
		t.Errorf("first source: %+v", a)
	}
	if b.Every != time.Hour || len(b.Users.Bases) != 2 || b.Users.Filter != `(objectClass=\\*)` || b.Attributes != nil || !b.SignIn {
		t.Errorf("second source: %+v", b)
	}
	again, err := conf.Load(folder(t, string(conf.Print(s))), nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, conf.Print(s))
	}
	again.Data = s.Data
	if d := cmp.Diff(s, again); d != "" {
		t.Errorf("settings changed on the way through the file:\n%s", d)
	}
	over, err := conf.Load(t.TempDir(), map[string]string{"directory.sources": `[{name: x, servers: ["ldap://h"], users: {bases: [o=x]}}]`})
	if err != nil || len(over.Directory.Sources) != 1 || over.Directory.Sources[0].Name != "x" {
		t.Errorf("as text: %v %+v", err, over.Directory)
	}
}

func TestSourceRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, from, to, want string }{
		{"unknown key", "      every: 1h", "      evry: 1h", `:13: there is no setting "directory.sources[].evry"; did you mean "directory.sources[].every"?`},
		{"unknown nested key", "disables: 5", "disable: 5", `:8: there is no setting "directory.sources[].budget.disable"; did you mean "directory.sources[].budget.disables"?`},
		{"unknown attribute", "department:", "Departments:", `:7: directory.sources[].attributes knows no "Departments"; it takes DisplayName, `},
		{"double key", "      every: 1h", "      kind: inetorgperson", ":13: directory.sources[].kind is already set in line 10"},
		{"double attribute", "Title: []", "Department: ou", ":7: directory.sources[].attributes.Department is already set above"},
		{"missing name", "- name: other\n      kind", "- kind", ":9: directory.sources[].name is missing"},
		{"missing bases", `        bases: "ou=people,dc=example,dc=test"`, "        bases: []", ":3: directory.sources[].users.bases is missing"},
		{"bad name", "name: corp", "name: Corp 1", ":3: directory.sources[].name needs 1 to 32 small letters"},
		{"bad server", "ldaps://dc1.example.test", "dc1.example.test", `:4: directory.sources[].servers needs a server like ldaps://dc1.example.com`},
		{"bad kind", "kind: inetorgperson", "kind: novell", `:10: directory.sources[].kind needs one of active-directory, inetorgperson, not "novell"`},
		{"bad number", "disables: 5", "disables: -1", ":8: directory.sources[].budget.disables needs a whole number of at least 0"},
		{"no list", "    - name: corp", "      name: corp", ":3: directory.sources needs a list"},
		{"map in a list", `[ou, departmentNumber]`, `[{ou: x}]`, ":7: directory.sources[].attributes.Department needs a list of at most 100 texts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(corp, c.from, c.to, 1)
			if c.name == "no list" {
				text = "directory:\n  sources:\n      name: corp\n"
			}
			if text == corp {
				t.Fatal("nothing was changed")
			}
			_, err := conf.Load(folder(t, text), nil)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want an error with %q", err, c.want)
			}
		})
	}
}
