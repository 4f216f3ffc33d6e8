package addressbook

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/rule/directory"
	"trivet/uc"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

const alice = uc.UserURI("sip:alice@example.test")

// person makes a user who can be reached at name@example.test.
func person(name, first, last string, more ...func(*directory.User)) *directory.User {
	u := &directory.User{GUID: "guid-" + name, SipAddress: uc.UserURI("sip:" + name + "@example.test"), Enabled: true,
		DisplayName: first + " " + last, FirstName: first, LastName: last, WindowsEmailAddress: name + "@mail.test"}
	for _, f := range more {
		f(u)
	}
	return u
}

func company(t *testing.T, cfg Config) *Service {
	t.Helper()
	s := New(cfg)
	for _, u := range []*directory.User{
		person("alice", "Alice", "Miller"), person("bob", "Bob", "Müller", func(u *directory.User) {
			u.Title, u.Office, u.Phone, u.Company, u.City, u.State, u.Country = `Head of "R&D" <x>`, "1.23", "+49 30 1234", "Contoso", "Berlin", "BE", "DE"
		}),
		person("bobby", "Bobby", "Tables"), person("hidden", "Bob", "Hidden", func(u *directory.User) { u.HideFromAddressLists = true }),
		person("off", "Bob", "Disabled", func(u *directory.User) { u.Enabled = false }),
		person("mailonly", "Bob", "Mail", func(u *directory.User) { u.SipAddress = "" }),
	} {
		s.Changed(nil, u)
	}
	return s
}

// ask sends a search as SIP does.
func ask(t *testing.T, s *Service, user uc.UserURI, body []byte) (presdoc.SearchAnswer, error) {
	t.Helper()
	m, err := sip.Parse([]byte("SERVICE sip:example.test SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bKa\r\nFrom: <sip:alice@example.test>;tag=1\r\n" +
		"To: <sip:example.test>\r\nCall-ID: c\r\nCSeq: 1 SERVICE\r\nContent-Length: 0\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	m.Body = body
	res, err := s.SOAP(context.Background(), operation, &sipmux.Request{Message: m, User: user, Now: time.Unix(1, 0)})
	if err != nil {
		return presdoc.SearchAnswer{}, err
	}
	if res.Status != 200 || res.Get("Content-Type") != presdoc.TypeSOAP {
		t.Fatalf("got %s", res)
	}
	a, err := presdoc.ParseSearchAnswer(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a, nil
}

// query is a directorySearch of pairs of attribute and value.
func query(limit uint32, pairs ...string) []byte {
	q := presdoc.Search{MaxResults: limit}
	for i := 0; i < len(pairs); i += 2 {
		q.Terms = append(q.Terms, presdoc.Term{Attribute: pairs[i], Value: pairs[i+1]})
	}
	return q.Append(nil)
}

func TestDirectorySearch(t *testing.T) {
	s := company(t, Config{})
	for _, c := range []struct {
		what  string
		query []byte
		want  string
		more  bool
	}{
		{"beginning of the first name", query(100, "givenName", "bo"), "bob bobby", false},
		{"both names", query(100, "givenName", "bo", "sn", "tab"), "bobby", false},
		{"umlaut left out", query(100, "sn", "muller"), "bob", false},
		{"umlaut written out", query(100, "sn", "MÜLL"), "bob", false},
		{"mail", query(100, "mail", "alice@"), "alice", false},
		{"address with scheme", query(100, "msRTCSIP-PrimaryUserAddress", "SIP:bob"), "bob bobby", false},
		{"address without", query(100, "msRTCSIP-PrimaryUserAddress", "bob@"), "bob", false},
		{"the exact address before others", query(1, "msRTCSIP-PrimaryUserAddress", "sip:bob@example.test"), "bob", false},
		{"company and country", query(100, "company", "cont", "c", "de"), "bob", false},
		{"any word of the display name", query(100, "displayName", "tables"), "bobby", false},
		{"a phone number, however spelled", query(100, "telephoneNumber", "(49) 30/12"), "bob", false},
		{"nobody", query(100, "sn", "x"), "", false},
		{"hidden", query(100, "sn", "hid"), "", false},
		{"disabled", query(100, "sn", "dis"), "", false},
		{"without an address", query(100, "sn", "mail"), "", false},
		{"limit", query(1, "givenName", "bo"), "bob", true},
		{"no limit", query(0, "givenName", "bo"), "bob bobby", false},
		{"a number that is none", query(0, "telephoneNumber", "x"), "", false},
	} {
		a, err := ask(t, s, alice, c.query)
		var got []string
		for _, r := range a.Rows {
			name, _, _ := strings.Cut(strings.TrimPrefix(r.URI, "sip:"), "@")
			got = append(got, name)
		}
		if err != nil || strings.Join(got, " ") != c.want || a.More != c.more {
			t.Errorf("%s: %q, more %v, %v; want %q", c.what, got, a.More, err, c.want)
		}
	}
}

func TestRowHasEverything(t *testing.T) {
	a, err := ask(t, company(t, Config{}), alice, query(1, "sn", "müller"))
	want := presdoc.SearchRow{URI: "sip:bob@example.test", DisplayName: "Bob Müller", Title: `Head of "R&D" <x>`, Office: "1.23", Phone: "+49 30 1234",
		Company: "Contoso", City: "Berlin", State: "BE", Country: "DE", Email: "bob@mail.test"}
	if err != nil || len(a.Rows) != 1 || a.Rows[0] != want {
		t.Errorf("%+v, %v", a.Rows, err)
	}
}

func TestRefusedSearches(t *testing.T) {
	s := company(t, Config{Rights: func(u uc.UserURI) Rights { return Rights{Search: u == alice} }})
	for _, c := range []struct {
		what  string
		user  uc.UserURI
		body  []byte
		kind  fault.Kind
		about string
	}{
		{"policy", "sip:bob@example.test", query(1, "sn", "m"), fault.Forbidden, "policy"},
		{"empty", alice, query(1), fault.Invalid, "at least one attribute"},
		{"blank", alice, query(1, "sn", " "), fault.Invalid, "at least one attribute"},
		{"unknown attribute", alice, query(1, "shoeSize", "4"), fault.Invalid, "a search is by"},
		{"long value", alice, query(1, "sn", strings.Repeat("x", 300)), fault.Invalid, "at most 256"},
		{"not XML", alice, []byte("find bob"), fault.Invalid, ""},
	} {
		if _, err := ask(t, s, c.user, c.body); !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.about) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	r := &sipmux.Request{User: alice}
	if _, err := s.SOAP(t.Context(), "setACE", r); !fault.Is(err, fault.Unsupported) {
		t.Errorf("another operation: %v", err)
	}
}

func TestTheBookFollowsTheDirectory(t *testing.T) {
	s := company(t, Config{})
	count := func(value string) int {
		a, err := ask(t, s, alice, query(0, "displayName", value))
		if err != nil {
			t.Fatal(err)
		}
		return len(a.Rows)
	}
	was, is := person("carol", "Carol", "Old"), person("carol", "Carol", "New")
	s.Changed(nil, was)
	if count("old") != 1 {
		t.Error("a new user is not found")
	}
	s.Changed(was, is)
	if count("old") != 0 || count("new") != 1 {
		t.Error("a changed user is found by what he was")
	}
	hidden := *is
	hidden.HideFromAddressLists = true
	s.Changed(is, &hidden)
	if count("new") != 0 {
		t.Error("a user who was hidden is found")
	}
	s.Changed(&hidden, is)
	s.Changed(is, nil)
	if count("new") != 0 {
		t.Error("a deleted user is found")
	}
}

func TestSearchesAreBounded(t *testing.T) {
	s := company(t, Config{})
	var err error
	for range burst + 1 {
		if _, err = ask(t, s, alice, query(1, "sn", "m")); err != nil {
			break
		}
	}
	if !fault.Is(err, fault.Overload) {
		t.Errorf("%d searches in a second: %v", burst+1, err)
	}
	if _, err = ask(t, s, "sip:bob@example.test", query(1, "sn", "m")); err != nil {
		t.Errorf("the brake of one user holds another: %v", err)
	}
}

// BenchmarkDirectorySearch is a search in a company of 80,000.
func BenchmarkDirectorySearch(b *testing.B) {
	s := New(Config{})
	for i := range 80_000 {
		s.Changed(nil, person(fmt.Sprintf("user%d", i), fmt.Sprintf("First%d", i%997), fmt.Sprintf("Last%d", i%4999)))
	}
	q, err := presdoc.ParseSearch(query(100, "givenName", "f", "sn", "last12"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if a, err := s.search(q); err != nil || len(a.Rows) != 100 {
			b.Fatal(len(a.Rows), err)
		}
	}
}
