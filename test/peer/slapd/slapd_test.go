package slapd

import (
	"strings"
	"testing"
)

func TestEntriesOutliveTheServerAndReachItsCopy(t *testing.T) {
	s := New(t, Options{Limit: 10})
	s.Root(t, "people")
	s.Apply(t, s.Person("anna", "title: Boss", "objectClass: user", "userAccountControl: 512"))
	c := New(t, Options{Copy: s})
	c.Await(t, "(uid=anna)", 1)
	s.Stop()
	s.Start(t)
	here, there := s.Find(t, "(uid=anna)", "title", "entryUUID"), c.Find(t, "(uid=anna)", "title", "entryUUID")
	if !strings.Contains(here, "title: Boss") || here != there {
		t.Errorf("the server has\n%s\nits copy\n%s", here, there)
	}
	s.Apply(t, s.Person("bert"))
	c.Await(t, "(objectClass=inetOrgPerson)", 2)
}
