package slapd

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Apply carries out the records of an LDIF text (RFC 2849) as the manager. A
// record without changetype is added.
func (s *Server) Apply(t testing.TB, ldif string) {
	t.Helper()
	if out, err := s.run(ldif, "ldapmodify", "-a"); err != nil {
		t.Fatalf("ldapmodify: %v: %s", err, out)
	}
}

// Find returns the LDIF of the entries below the suffix that fit a filter, with
// the attributes asked for.
func (s *Server) Find(t testing.TB, filter string, attributes ...string) string {
	t.Helper()
	out, err := s.run("", "ldapsearch", append([]string{"-LLL", "-o", "ldif-wrap=no", "-b", s.Suffix, filter}, attributes...)...)
	if err != nil {
		t.Fatalf("ldapsearch: %v: %s", err, out)
	}
	return out
}

func (s *Server) run(in, program string, args ...string) (string, error) {
	cmd := exec.Command(program, append([]string{"-x", "-M", "-H", s.URL, "-D", s.Manager(), "-w", Password}, args...)...)
	cmd.Stdin = strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Root makes the entry of the suffix and units below it.
func (s *Server) Root(t testing.TB, units ...string) {
	t.Helper()
	first, _, _ := strings.Cut(s.Suffix, ",")
	kind, name, _ := strings.Cut(first, "=")
	class := map[string]string{"dc": "domain", "ou": "organizationalUnit", "o": "organization"}[kind]
	var b strings.Builder
	fmt.Fprintf(&b, "dn: %s\nobjectClass: %s\n%s: %s\n\n", s.Suffix, class, kind, name)
	for _, u := range units {
		fmt.Fprintf(&b, "dn: ou=%s,%s\nobjectClass: organizationalUnit\nou: %[1]s\n\n", u, s.Suffix)
	}
	s.Apply(t, b.String())
}

// Person is the LDIF of an inetOrgPerson ou=people with the password "secret of
// NAME". Lines are further ones, "title: Boss".
func (s *Server) Person(name string, lines ...string) string {
	return s.PersonIn("ou=people,"+s.Suffix, name, lines...)
}

// PersonIn is Person below another entry.
func (s *Server) PersonIn(base, name string, lines ...string) string {
	head := fmt.Sprintf("dn: uid=%s,%s\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: %[1]s\nsn: %[1]s\nmail: %[1]s@example.test\nuserPassword: secret of %[1]s\n", name, base)
	if len(lines) > 0 {
		head += strings.Join(lines, "\n") + "\n"
	}
	return head + "\n"
}

// Await waits until the server has n entries that fit a filter, as one that
// copies another does after a moment.
func (s *Server) Await(t testing.TB, filter string, n int) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(30 * time.Second); ; <-tick.C {
		out, err := s.run("", "ldapsearch", "-LLL", "-o", "ldif-wrap=no", "-b", s.Suffix, filter, "1.1")
		if got := strings.Count(out, "dn: "); err == nil && got == n {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%s does not come to %d entries of %s: %v\n%s", s.URL, n, filter, err, out)
		}
	}
}
