package auth

import (
	"context"
	"strings"
	"testing"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/store/users"
)

// elsewhere knows one password, that of users of the source "corp".
type elsewhere struct {
	asked []string // names of the users, "" for nobody
	down  bool
}

func (e *elsewhere) Check(_ context.Context, u directory.User, password string) (bool, error) {
	e.asked = append(e.asked, u.SamAccountName)
	if e.down {
		return false, fault.New(fault.Unavailable, "test", "no server of the directory answers")
	}
	return u.Source == "corp" && password == "kept elsewhere" || password == "", nil // the empty one, as a careless directory does
}

func TestPasswordsKeptElsewhere(t *testing.T) {
	h := open(t)
	h.add("alice", true)
	ext := &elsewhere{}
	h.cfg.External = ext
	for _, name := range []string{"erin", "frank"} {
		u := directory.User{SipAddress: "sip:erin@contoso.test", UserPrincipalName: name + "@corp.test", SamAccountName: name, DisplayName: name, Enabled: name == "erin", Source: "corp", SourceID: name}
		if name == "frank" {
			u.SipAddress = "sip:frank@contoso.test"
		}
		if _, err := h.store.Create(t.Context(), users.New{User: u}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		login, password, asked string // asked about whom, "-" for not at all
		kind                   fault.Kind
		ok                     bool
	}{
		{"erin@contoso.test", "kept elsewhere", "erin", 0, true},
		{"erin", "wrong", "erin", fault.Unauthenticated, false},
		{"erin", "", "erin", fault.Unauthenticated, false},
		{"erin", strings.Repeat("x", 1000), "erin", fault.Unauthenticated, false},
		{"frank", "kept elsewhere", "frank", fault.Forbidden, false},
		{"alice@contoso.test", password, "-", 0, true},
		{"alice@contoso.test", "wrong", "alice.sam", fault.Unauthenticated, false}, // costs as much as for the others
		{"alice@contoso.test", "kept elsewhere", "alice.sam", fault.Unauthenticated, false},
		{"nobody", "kept elsewhere", "", fault.Unauthenticated, false},
	} {
		ext.asked = nil
		u, err := h.Password(t.Context(), here, c.login, c.password)
		if c.ok && (err != nil || u.SipAddress == "") || !c.ok && !fault.Is(err, c.kind) {
			t.Errorf("%q with %.20q: %v", c.login, c.password, err)
		}
		if asked := append(ext.asked, "-")[0]; asked != c.asked {
			t.Errorf("%q with %.20q: asked about %q", c.login, c.password, asked)
		}
	}

	ext.down = true
	for _, login := range []string{"erin", "nobody", "alice@contoso.test"} {
		if _, err := h.Password(t.Context(), here, login, "wrong"); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s while nobody can say: %v", login, err)
		}
	}
	for range 11 {
		h.Password(t.Context(), here, "alice@contoso.test", "wrong")
		h.Password(t.Context(), here, "erin", "kept elsewhere")
	}
	if _, err := h.Password(t.Context(), here, "alice@contoso.test", password); !fault.Is(err, fault.Overload) {
		t.Errorf("an outage elsewhere is free time for guessing here: %v", err)
	}
	if _, err := h.Password(t.Context(), here, "erin", "kept elsewhere"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("waiting for the end of the outage is punished: %v", err)
	}
}
