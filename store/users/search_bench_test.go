package users_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"trivet/rule/directory"
	"trivet/store/users"
	"trivet/uc"
)

var (
	firstNames = []string{"Anna", "Bob", "Carol", "Dieter", "Émile", "François", "Günther", "Hélène", "Jörg", "Małgorzata", "Olga", "Søren", "Zoë", "Alice", "Michael", "Sarah"}
	lastNames  = []string{"Müller", "Smith", "Łukasiewicz", "García", "Østergaard", "Schneider", "Dubois", "Rossi", "Nowak", "Jones", "Weiß", "Åkesson", "van der Berg", "O'Brien"}
	areas      = []string{"Sales", "Research", "Finance", "Legal", "Operations", "Support", "Marketing", "Procurement"}
)

// crowd is a person of a large company.
func crowd(i int) users.New {
	first, last := firstNames[i%len(firstNames)], lastNames[i/len(firstNames)%len(lastNames)]
	login := fmt.Sprintf("user%05d", i)
	return users.New{User: users.User{
		SipAddress: uc.UserURI("sip:" + login + "@example.test"), UserPrincipalName: login + "@example.test", SamAccountName: login,
		DisplayName: fmt.Sprintf("%s %s%d", first, last, i/200), FirstName: first, LastName: fmt.Sprintf("%s%d", last, i/200),
		WindowsEmailAddress: login + ".mail@example.test", MailNickname: login, Company: "Example Works", Department: areas[i%len(areas)],
		Office: fmt.Sprintf("Building %d", i%50), Title: "Engineer", City: "Springfield", Phone: fmt.Sprintf("+1 425 555 %05d", i), Enabled: true,
	}}
}

func BenchmarkSearch(b *testing.B) {
	const people = 80_000
	s, err := users.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "users.db"), users.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	list := make([]users.New, people)
	for i := range list {
		list[i] = crowd(i)
	}
	start := time.Now()
	if _, err := s.Create(b.Context(), list...); err != nil {
		b.Fatal(err)
	}
	b.Logf("created %d users in %v", people, time.Since(start))
	for _, c := range []struct {
		name  string
		terms []directory.Term
	}{
		{"one letter", []directory.Term{{Text: "a"}}},
		{"first name", []directory.Term{{Attribute: directory.FirstName, Text: "fran"}}},
		{"two words", []directory.Term{{Text: "mal lukasiewicz1"}}},
		{"address", []directory.Term{{Text: "user04711.mail@example.test"}}},
		{"phone", []directory.Term{{Attribute: directory.Phone, Text: "+1 (425) 555-047"}}},
		{"two wide rows", []directory.Term{{Attribute: directory.Company, Text: "example"}, {Attribute: directory.Department, Text: "s"}}},
		{"nobody, two wide rows", []directory.Term{{Attribute: directory.FirstName, Text: "anna"}, {Attribute: directory.Department, Text: "res"}}},
		{"nobody", []directory.Term{{Text: "xyzzy"}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				found, _, err := s.Search(b.Context(), directory.Search{Terms: c.terms, Limit: 20, Homed: true})
				if err != nil {
					b.Fatal(err)
				}
				n = len(found)
			}
			b.ReportMetric(float64(n), "found")
		})
	}
}
