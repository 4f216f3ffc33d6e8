package directory_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"testing"

	"trivet/fault"
	"trivet/rule/directory"
)

func alice() *directory.User {
	return &directory.User{
		GUID: "b9f5…", SipAddress: "sip:alice@example.test", UserPrincipalName: "alice@example.test", SamAccountName: "alice",
		DisplayName: "Alice Müller", Department: "Sales", LineURI: "tel:+14255550100", Enabled: true,
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want bool
	}{
		{"", true}, {"{}", true},
		{`Enabled -eq $true`, true}, {`enabled -EQ True`, true}, {`Enabled -ne $true`, false},
		{`LineURI -like "tel:+1425*"`, true}, {`LineUri -notlike 'tel:+1425*'`, false},
		{`{DisplayName -like "*müller" -and Department -eq "sales"}`, true},
		{`Department -eq Legal -or Department -eq Sales -and Enabled -eq $false`, false},
		{`Department -eq Sales -or Department -eq Legal -and Enabled -eq $false`, true},
		{`(Department -eq Sales -or Department -eq Legal) -and Enabled -eq $false`, false},
		{`-not (Title -eq $null)`, false}, {`Title -eq ""`, true}, {`Name -like 'Alice ?üller'`, true},
		{`SipAddress -eq "sip:Alice@example.test"`, true},
	} {
		f, err := directory.ParseFilter(c.in)
		if err != nil {
			t.Errorf("ParseFilter(%q): %v", c.in, err)
		} else if got := f.Fits(alice()); got != c.want {
			t.Errorf("filter %q fits alice: %v, want %v", c.in, got, c.want)
		}
	}
}

func TestFilterRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"Colour -eq red", `a property of a user`}, {"Title", `-eq, -ne, -like or -notlike where it has "the end"`},
		{"Title -gt 3", "-eq, -ne"}, {"Title -eq", "a value"}, {"Title -eq -and", "a value"}, {`Title -eq "x`, "a closing quote"},
		{"(Title -eq x", "a closing parenthesis"}, {"Title -eq x Title", "-and, -or or the end"}, {"Title -eq x -and", "a property"},
		{strings.Repeat("(", 40) + "Title -eq x", "nested at most 32"}, {strings.Repeat("x", 5000), "at most 4096 bytes"},
	} {
		if _, err := directory.ParseFilter(c.in); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("ParseFilter(%.30q) = %v, want %q", c.in, err, c.want)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p, s string
		want bool
	}{
		{"", "", true}, {"*", "", true}, {"", "a", false}, {"a*", "Alice", true}, {"*e", "alice", true}, {"a?i*", "alice", true},
		{"*a*b*", "xxaYYb", true}, {"*a*b", "ab c", false}, {"??", "ü", false}, {"?", "ü", true}, {"*" + strings.Repeat("a*", 50) + "b", strings.Repeat("a", 500), false},
	} {
		if got := directory.Match(c.p, c.s); got != c.want {
			t.Errorf("Match(%q, %q) = %v, want %v", c.p, c.s, got, c.want)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := directory.Validate(alice()); err != nil {
		t.Fatalf("alice is refused: %v", err)
	}
	for _, c := range []struct {
		property string
		spoil    func(u *directory.User)
	}{
		{"DisplayName", func(u *directory.User) { u.DisplayName = "" }},
		{"DisplayName", func(u *directory.User) { u.DisplayName = "a\nb" }},
		{"SamAccountName", func(u *directory.User) { u.SamAccountName = "a b" }},
		{"SamAccountName", func(u *directory.User) { u.SamAccountName = strings.Repeat("a", 21) }},
		{"UserPrincipalName", func(u *directory.User) { u.UserPrincipalName = "alice" }},
		{"UserPrincipalName", func(u *directory.User) { u.UserPrincipalName = "sip:alice@example.test" }},
		{"WindowsEmailAddress", func(u *directory.User) { u.WindowsEmailAddress = "@" }},
		{"SipAddress", func(u *directory.User) { u.SipAddress = "sip:Alice@example.test" }},
		{"SipAddress", func(u *directory.User) { u.SipAddress = "alice@example.test" }},
		{"Enabled", func(u *directory.User) { u.SipAddress = "" }},
		{"LineURI", func(u *directory.User) { u.LineURI = "tel:" }},
		{"LineURI", func(u *directory.User) { u.LineURI = "tel:+1 425" }},
		{"LineURI", func(u *directory.User) { u.LineURI = "tel:+1425;ext" }},
		{"LineURI", func(u *directory.User) { u.LineURI = "http:x" }},
		{"AdminRoles", func(u *directory.User) { u.AdminRoles = []string{"root"} }},
		{"Title", func(u *directory.User) { u.Title = strings.Repeat("x", 129) }},
	} {
		u := alice()
		c.spoil(u)
		err := directory.Validate(u)
		if e, ok := err.(*fault.Error); !ok || e.Kind != fault.Invalid || e.Subject != c.property || !strings.Contains(e.Text, c.property) {
			t.Errorf("%s: got %v, want fault.Invalid about it", c.property, err)
		}
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	u := alice()
	u.Title, u.LineURI, u.AdminRoles = " Boss ", "TEL:+1", []string{"CsHelpDesk", "CsAdministrator", "CsHelpDesk"}
	directory.Normalize(u)
	if u.Title != "Boss" || u.LineURI != "tel:+1" || len(u.AdminRoles) != 2 || u.AdminRoles[0] != "CsAdministrator" {
		t.Errorf("got %+v", u)
	}
}

func TestAddressAndPassword(t *testing.T) {
	t.Parallel()
	for in, ok := range map[string]bool{"alice@example.test": true, "SIP:Alice@Example.test": true, "sip:a@b:5060": false, "sip:a@b;x=y": false, "alice": false} {
		if _, err := directory.Address(in); (err == nil) != ok {
			t.Errorf("Address(%q): %v", in, err)
		}
	}
	for in, ok := range map[string]bool{"Passw0rd!": true, "short": false, "ALICE@example.test": false, strings.Repeat("x", 128): false, "äöüäöüäö": true} {
		if err := directory.CheckPassword(alice(), in); (err == nil) != ok {
			t.Errorf("CheckPassword(%q): %v", in, err)
		}
	}
}

func FuzzParseFilter(f *testing.F) {
	f.Add(`{LineURI -like "tel:+1*" -and (Enabled -eq $true -or -not Title -eq 'x')}`)
	f.Add(`((((`)
	f.Fuzz(func(t *testing.T, s string) {
		flt, err := directory.ParseFilter(s)
		if err == nil {
			flt.Fits(alice())
		} else if !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", s, err)
		}
	})
}

func FuzzReadPhoto(f *testing.F) {
	picture := image.NewGray(image.Rect(0, 0, 3, 2))
	for _, encode := range []func(io.Writer) error{
		func(w io.Writer) error { return png.Encode(w, picture) },
		func(w io.Writer) error { return jpeg.Encode(w, picture, nil) },
	} {
		var b bytes.Buffer
		if err := encode(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := directory.ReadPhoto(b)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%v", err)
			}
		} else if !bytes.Equal(p.Data, b) || len(p.Hash) != 40 || p.Type != "image/png" && p.Type != "image/jpeg" {
			t.Errorf("%s %s", p.Type, p.Hash)
		}
	})
}
