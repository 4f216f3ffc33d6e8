package directory_test

import (
	"slices"
	"strings"
	"testing"

	"trivet/fault"
	"trivet/rule/directory"
)

func TestReadSheet(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"commas":     "SipAddress,Title,ProxyAddresses,Enabled\nsip:a@b.c,\"Head, of \"\"it\"\"\",smtp:x@y.z;smtp:z@y.z,yes\n",
		"semicolons": "\ufeffsipaddress;TITLE;ProxyAddresses;Enabled\r\nsip:a@b.c;\"Head, of \"\"it\"\"\";\"smtp:x@y.z\nsmtp:z@y.z\n\"; True \r\n;;;\r\n\r\n",
		"tabs":       "Title\tSipAddress\tEnabled\tProxyAddresses\tGuid\n\"Head, of \"\"it\"\"\"\tsip:a@b.c\t1\tsmtp:x@y.z;smtp:z@y.z\t7",
	} {
		s, err := directory.ReadSheet([]byte(in))
		if err != nil || len(s.Rows) != 1 || s.Rows[0].Line != 2 {
			t.Errorf("%s: %+v, %v", name, s, err)
			continue
		}
		u := directory.User{SipAddress: "sip:old@b.c", Department: "stays"}
		if err := s.Apply(s.Rows[0], &u); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		address, _ := s.Cell(s.Rows[0], "SipAddress")
		if u.Title != `Head, of "it"` || !u.Enabled || !slices.Equal(u.ProxyAddresses, []string{"smtp:x@y.z", "smtp:z@y.z"}) || u.SipAddress != "sip:old@b.c" || u.Department != "stays" || address != "sip:a@b.c" {
			t.Errorf("%s: %+v", name, u)
		}
	}
}

func TestSheetCells(t *testing.T) {
	t.Parallel()
	s, err := directory.ReadSheet([]byte("DisplayName,Title,Enabled,EnabledForFederation,WhenChanged,Guid\n,,,perhaps,x,y\n"))
	if err != nil || !slices.Equal(s.Ignored, []string{"WhenChanged", "Guid"}) {
		t.Fatal(s, err)
	}
	u := directory.User{DisplayName: "kept", Title: "gone", Enabled: true, GUID: "kept"}
	if err := s.Apply(s.Rows[0], &u); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "EnabledForFederation needs True or False") {
		t.Errorf("a switch: %v", err)
	}
	if u.DisplayName != "kept" || u.Title != "" || !u.Enabled || u.GUID != "kept" {
		t.Errorf("empty cells: %+v", u)
	}
}

func TestSheetRefusals(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                                 "is empty",
		"Colour,Title\n":                   `has "Colour" as the name of column 1`,
		"Title,,SipAddress\n":              `has "" as the name of column 2`,
		"Title,SipAddress,TITLE\n":         `has the column "TITLE" twice`,
		"Title,SipAddress\na,b\nc\n":       "has 2 columns, but line 3 has 1 cells",
		"Title,SipAddress\na,b\nc,d,e\n":   "has 2 columns, but line 3 has 3 cells",
		"Title,SipAddress\n\"a,b\nc,d\n":   "a quote that is not closed",
		"Title,SipAddress\na\"b,c\n":       "a quote in the middle of a cell in line 2",
		"Title,SipAddress\nx,y\nM\xfcller": "needs to be in UTF-8; line 3 is not",
		strings.Repeat("Title,", 200):      "at most 100 columns",
	} {
		if _, err := directory.ReadSheet([]byte(in)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", in, err, want)
		}
	}
	many := "Title\n" + strings.Repeat("x\n", directory.MaxSheetRows+1)
	if _, err := directory.ReadSheet([]byte(many)); !fault.Is(err, fault.Invalid) {
		t.Errorf("too many rows: %v", err)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	for _, list := range [][]string{nil, {"a"}, {"a", "b"}, {"a;b"}, {"a;b", "c"}} {
		if got := directory.SplitList(directory.JoinList(list)); !slices.Equal(got, list) {
			t.Errorf("%q comes back as %q", list, got)
		}
	}
}

func FuzzReadSheet(f *testing.F) {
	f.Add([]byte("SipAddress,Title\nsip:a@b.c,\"x\ny\"\n"))
	f.Add([]byte("\ufeffSipAddress;Enabled;ProxyAddresses\r\n;True;a;b\r\n"))
	f.Add([]byte("Title\n\"a\"\"b\"\n\n\"\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := directory.ReadSheet(b)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%v", err)
			}
			return
		}
		for _, r := range s.Rows {
			var u directory.User
			if err := s.Apply(r, &u); err != nil && !fault.Is(err, fault.Invalid) {
				t.Errorf("line %d: %v", r.Line, err)
			}
		}
	})
}

func TestNewProperties(t *testing.T) {
	t.Parallel()
	u := alice()
	u.Manager, u.ProxyAddresses = " SIP:Boss@example.test ", []string{"smtp:z@b.c", " a@b.c ", "", "smtp:z@b.c"}
	directory.Normalize(u)
	if u.Manager != "sip:boss@example.test" || !slices.Equal(u.ProxyAddresses, []string{"smtp:a@b.c", "smtp:z@b.c"}) {
		t.Errorf("%+v", u)
	}
	if err := directory.Validate(u); err != nil {
		t.Error(err)
	}
	for property, spoil := range map[string]func(u *directory.User){
		"Manager":        func(u *directory.User) { u.Manager = "the boss" },
		"ProxyAddresses": func(u *directory.User) { u.ProxyAddresses = []string{"smtp:"} },
		"SourceID":       func(u *directory.User) { u.Source = "corp" },
		"Country":        func(u *directory.User) { u.Country = "a\nb" },
	} {
		bad := alice()
		spoil(bad)
		if err := directory.Validate(bad); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), property) {
			t.Errorf("%s: %v", property, err)
		}
	}
	many := alice()
	many.ProxyAddresses = make([]string, directory.MaxProxyAddresses+1)
	if err := directory.Validate(many); !fault.Is(err, fault.Invalid) {
		t.Errorf("too many addresses: %v", err)
	}
	for _, filter := range []string{`Manager -eq "sip:boss@example.test"`, `ProxyAddresses -like "*a@b.c*"`, `HideFromAddressLists -eq $false`, `ClientPolicy -eq $null`, `Source -eq ""`} {
		if f, err := directory.ParseFilter(filter); err != nil || !f.Fits(u) {
			t.Errorf("%s: %v", filter, err)
		}
	}
}

// What a spreadsheet would run is guarded, and every text is read back.
func TestGuardedCells(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"=1+1": "'=1+1", "+49": "'+49", "-": "'-", "@x": "'@x", "'=1": "''=1", "''+": "'''+", "'twas": "'twas", "'": "'", "a=b": "a=b", "\tx": "'\tx",
	} {
		got := directory.GuardCell(text)
		if got != want {
			t.Errorf("%q is guarded as %q, want %q", text, got, want)
		}
		s, err := directory.ReadSheet([]byte("UserPrincipalName,Description\nbob@x.test,\"" + got + "\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if d, _ := s.Cell(s.Rows[0], "Description"); d != strings.TrimSpace(text) {
			t.Errorf("%q is read as %q", got, d)
		}
	}
}
