package cmdlet_test

import (
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/admin/client"
	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/kit/log"
)

// fileName is the file of a cmdlet: "Get-CsUserPoolInfo" is in get_user_pool_info.go.
func fileName(name string) string {
	words := regexp.MustCompile(`[A-Z]+[a-z]*`).FindAllString(strings.Replace(name, "-Cs", "", 1), -1)
	return strings.ToLower(strings.Join(words, "_")) + ".go"
}

func TestCatalogueAndFilesAgree(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*_*.go")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") {
			got = append(got, f)
		}
	}
	names := []string{}
	for _, c := range cmdlet.All() {
		if names = append(names, c.Name); c.Kind == nil {
			want = append(want, fileName(c.Name))
		}
	}
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("catalogue and files differ:\n%s", d)
	}
	if !slices.IsSorted(names) {
		t.Errorf("the catalogue is not sorted: %v", names)
	}
}

func TestEveryCmdletIsComplete(t *testing.T) {
	t.Parallel()
	for _, c := range cmdlet.All() {
		if !strings.HasSuffix(c.Synopsis, ".") || !strings.HasPrefix(c.Example, c.Name) {
			t.Errorf("%s: synopsis %q or example %q", c.Name, c.Synopsis, c.Example)
		}
		if changes := !strings.HasPrefix(c.Name, "Get-") && !strings.HasPrefix(c.Name, "Test-"); changes != c.Changes {
			t.Errorf("%s: Changes is %v", c.Name, c.Changes)
		}
		seen := map[string]bool{}
		for _, p := range c.AllParams() {
			if p.Help == "" || seen[strings.ToLower(p.Name)] {
				t.Errorf("%s -%s has no help, or is there twice", c.Name, p.Name)
			}
			seen[strings.ToLower(p.Name)] = true
			if strings.HasSuffix(p.Name, "Password") && !p.Switch != p.Secret || strings.HasSuffix(p.Name, "Credential") && !p.Secret {
				t.Errorf("%s -%s is no secret", c.Name, p.Name)
			}
		}
		if help := c.Help(); !strings.Contains(help, c.Synopsis) {
			t.Errorf("help of %s: %s", c.Name, help)
		}
	}
}

func lookup(t testing.TB, name string) cmdlet.Cmdlet {
	t.Helper()
	c, err := cmdlet.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParse(t *testing.T) {
	t.Parallel()
	no, yes := false, true
	for _, c := range []struct {
		name, args string
		want       cmdlet.Given
	}{
		{"Get-CsUser", "", cmdlet.Given{Values: map[string]any{}}},
		{"get-csuser", "alice", cmdlet.Given{Values: map[string]any{"Identity": "alice"}}},
		{"Get-CsUser", "-IDENTITY|alice|-f|Enabled -eq $true|-As|JSON", cmdlet.Given{Values: map[string]any{"Identity": "alice", "Filter": "Enabled -eq $true"}, As: "json"}},
		{"Get-CsUser", "--identity=alice|-resultsize:5", cmdlet.Given{Values: map[string]any{"Identity": "alice", "ResultSize": "5"}}},
		{"New-CsUser", "bob|-Generate|-WhatIf", cmdlet.Given{Values: map[string]any{"Identity": "bob", "GeneratePassword": true}, WhatIf: true}},
		{"New-CsUser", "bob|-Password:-secret|-Enabled:$false", cmdlet.Given{Values: map[string]any{"Identity": "bob", "Password": "-secret", "Enabled": false}}},
		{"Set-CsUser", "-Enabled|$false|-Identity|bob|-Phone|-5", cmdlet.Given{Values: map[string]any{"Identity": "bob", "Enabled": "$false", "Phone": "-5"}}},
		{"Remove-CsUser", "bob|-Confirm:$false", cmdlet.Given{Values: map[string]any{"Identity": "bob"}, Confirm: &no}},
		{"Remove-CsUser", "bob|-Confirm|-Force|-Verbose", cmdlet.Given{Values: map[string]any{"Identity": "bob"}, Confirm: &yes, Force: true, Verbose: true}},
		{"Set-CsUserPassword", "bob|-Password|-", cmdlet.Given{Values: map[string]any{"Identity": "bob", "Password": "-"}}},
		{"Get-CsUser", "--json", cmdlet.Given{Values: map[string]any{}, As: "json"}},
		{"Get-CsUser", "-Json|-As|json", cmdlet.Given{Values: map[string]any{}, As: "json"}},
		{"Get-CsUser", "-?", cmdlet.Given{Values: map[string]any{}, Help: true}},
	} {
		got, err := lookup(t, c.name).Parse(split(c.args))
		if d := cmp.Diff(c.want, got); err != nil || d != "" {
			t.Errorf("%s %s: %v\n%s", c.name, c.args, err, d)
		}
	}
}

func split(args string) []string {
	if args == "" {
		return nil
	}
	return strings.Split(args, "|")
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, args, want string }{
		{"Get-CsUser", "-Colour|red", "-Colour is no parameter of Get-CsUser; see trivet help Get-CsUser"},
		{"Get-CsUser", "-WhatIf", "-WhatIf is no parameter of Get-CsUser"},
		{"Get-CsUser", "a|b", `Get-CsUser does not know what "b" is for; name the parameter`},
		{"Get-CsUser", "-Identity", "-Identity needs a value: text"},
		{"Get-CsUser", "-Identity|-Filter|x", "-Identity needs a value before -Filter; write -Identity:VALUE"},
		{"Get-CsUser", "-Identity|a|-Identity|b", "-Identity is given twice"},
		{"Get-CsUser", "-As|xml", `-As needs one of table, list, json, csv, not "xml"`},
		{"Get-CsUser", "-As|table|--json", "-Json and -As table exclude each other"},
		{"Get-CsUser", "-ResultSize|many", `-ResultSize needs a whole number, not "many"`},
		{"Set-CsUser", "x|-E|$true", "-E may mean -Enabled or -EnterpriseVoiceEnabled or -EnabledForFederation; write more of it"},
		{"Set-CsUser", "x|-Enabled|perhaps", `-Enabled needs $true or $false, not "perhaps"`},
		{"Set-CsUser", "-Title|x", "-Identity is missing; give The user"},
		{"Enable-CsUser", "x|-SipAddressType|Guess", "-SipAddressType needs one of UserPrincipalName, SamAccountName, EmailAddress, FirstLastName"},
		{"New-CsUser", "x|-Gen:maybe", `-GeneratePassword needs $true or $false, not "maybe"`},
		{"Get-CsCertificate", "-Type|Default,Other", `-Type needs one of Default, WebServicesInternal, WebServicesExternal, TlsDsk, not "Other"`},
	} {
		cmd := lookup(t, c.name)
		given, err := cmd.Parse(split(c.args))
		if err == nil {
			_, err = cmd.Bind(given.Values)
		}
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: got %v, want %q", c.name, c.args, err, c.want)
		}
	}
	for typed, near := range map[string]string{
		"Get-CsUsr": "Get-CsUser", "get-csuesr": "Get-CsUser", "GetUser": "Get-CsUser", "Set-CsUserPasword": "Set-CsUserPassword", "Modify-CsUser": "CsUser",
		"Get-CsClientPolicies": "Get-CsClientPolicy", "Invoke-Something": "", strings.Repeat("Get-CsUser", 1e5): "",
	} {
		_, err := cmdlet.Lookup(typed)
		if _, hint, _ := strings.Cut(client.Sentence(err), "did you mean "); !strings.Contains(hint, near) || near == "" && hint != "" {
			t.Errorf("%.80s: %v", typed, err)
		}
	}
}

func TestBindFromJSON(t *testing.T) {
	t.Parallel()
	got, err := lookup(t, "Get-CsUser").Bind(map[string]any{"identity": "a", "ResultSize": float64(5)})
	if d := cmp.Diff(&cmdlet.GetUser{Identity: "a", ResultSize: 5}, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	title := ""
	enabled := false
	got, err = lookup(t, "Set-CsUser").Bind(map[string]any{"Identity": "a", "Title": nil, "Enabled": false})
	if d := cmp.Diff(&cmdlet.SetUser{Identity: "a", Personal: cmdlet.Personal{Title: &title}, Enabled: &enabled}, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	got, err = lookup(t, "New-CsUser").Bind(map[string]any{"Identity": "a", "Password": "p"})
	if n, ok := got.(*cmdlet.NewUser); err != nil || !ok || !n.Enabled || n.Password != log.Secret("p") {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []map[string]any{{"Identity": []any{"a"}}, {"Identity": map[string]any{}}, {"Identity": "a", "IDENTITY": "b"}} {
		if _, err := lookup(t, "Get-CsUser").Bind(bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestGeneratedPasswords(t *testing.T) {
	t.Parallel()
	a, err1 := cmdlet.GeneratePassword()
	b, err2 := cmdlet.GeneratePassword()
	if err1 != nil || err2 != nil || a == b || !regexp.MustCompile(`^[a-z2-9]{4}(-[a-z2-9]{4}){3}$`).MatchString(a) {
		t.Errorf("%q, %q, %v, %v", a, b, err1, err2)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("-Identity|alice|-As|json")
	f.Add("-Type:Default,TlsDsk|-WhatIf:$true")
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range cmdlet.All() {
			given, err := c.Parse(split(s))
			if err == nil {
				var r cmdlet.Runner
				if r, err = c.Bind(given.Values); err == nil && reflect.ValueOf(r).IsNil() {
					t.Errorf("%s %q: neither parameters nor an error", c.Name, s)
				}
			}
			if err != nil && !fault.Is(err, fault.Invalid) {
				t.Errorf("%s %q: %v", c.Name, s, err)
			}
		}
	})
}
