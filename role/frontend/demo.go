package frontend

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/groupstate"
	"trivet/uc"
)

// demoUser is a line of demo-users.json, for the eyes of the folder's owner.
type demoUser struct {
	SipAddress        uc.UserURI
	UserPrincipalName string
	Password          string
}

var demoPeople = [...]struct{ first, last, title, department string }{
	{"Alice", "Example", "Head of Research", "Research"},
	{"Bob", "Builder", "Engineer", "Works"},
	{"Carol", "Clark", "Accountant", "Finance"},
	{"Dave", "Dean", "Clerk", "Finance"},
}

// makeDemo creates the demonstration users once, with passwords nobody knows
// before, each with the others in a group of the contact list.
func (s *server) makeDemo(ctx context.Context, out io.Writer) error {
	const op = "frontend.makeDemo"
	file := s.path("demo-users.json")
	if _, err := os.Stat(file); err == nil {
		fmt.Fprintf(out, "demo users: passwords in %s\n", file)
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fault.Wrap(op, err)
	}
	var made []demoUser
	for _, d := range demoPeople {
		u, err := s.makeDemoUser(ctx, d.first, d.last, d.title, d.department)
		if err != nil {
			return fault.Wrap(op, err)
		}
		made = append(made, u)
	}
	for _, u := range made {
		if err := s.befriend(ctx, u.SipAddress, made); err != nil {
			return fault.Wrap(op, err)
		}
	}
	text, err := json.MarshalIndent(made, "", "  ")
	if err != nil {
		return fault.Wrap(op, err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
		return fault.Wrap(op, err)
	}
	fmt.Fprintln(out, "demo users (shown once; kept in "+file+"):")
	for _, u := range made {
		fmt.Fprintf(out, "  %-24s password %s\n", u.SipAddress.Bare(), u.Password)
	}
	return nil
}

// makeDemoUser creates one user, or gives an existing one of that name a new
// password: a start that was interrupted goes on where it stopped.
func (s *server) makeDemoUser(ctx context.Context, firstName, last, title, department string) (demoUser, error) {
	name := strings.ToLower(firstName)
	address := uc.UserURI("sip:" + name + "@" + s.set.Domain)
	d := demoUser{address, address.Bare(), strings.ToLower(rand.Text()[:16])}
	all := directoryUsers{s}
	if u, err := s.store.ByAddress(ctx, address); err == nil {
		return d, all.SetPassword(ctx, u.GUID, d.Password)
	}
	_, err := all.Create(ctx, directory.User{
		SipAddress: address, UserPrincipalName: address.Bare(), SamAccountName: name,
		DisplayName: firstName + " " + last, FirstName: firstName, LastName: last, WindowsEmailAddress: address.Bare(),
		Title: title, Department: department, Company: "Example",
		Enabled: true, EnabledForRichPresence: true, EnabledForFederation: true, EnabledForInternet: true, RegistrarPool: uc.PoolFQDN(s.fqdn), HomeServer: pool{s}.HomeServer(),
	}, d.Password)
	return d, err
}

// demoGroup is the name of the group the demo users have each other in.
const demoGroup = "Team"

func (s *server) befriend(ctx context.Context, user uc.UserURI, others []demoUser) error {
	now := s.groups.now()
	done, err := s.groups.Propose(ctx, user, &groupstate.AddGroup{User: user, Now: now, Name: demoGroup})
	if err != nil {
		if fault.Is(err, fault.Exists) {
			return nil
		}
		return err
	}
	team := done.(groupstate.ContactsResult).GroupID
	for _, o := range others {
		if o.SipAddress == user {
			continue
		}
		contact := groupstate.Contact{URI: string(o.SipAddress), Groups: groupstate.Groups(team), Subscribed: true}
		if _, err := s.groups.Propose(ctx, user, &groupstate.SetContact{User: user, Now: now, Contact: contact, Max: uint32(s.set.Limits.Contacts)}); err != nil {
			return err
		}
	}
	return nil
}

// announce tells the person at the terminal what there is. The last line begins
// "ready"; scripts wait for it.
func (s *server) announce(out io.Writer) {
	if s.set.Demo {
		fmt.Fprintf(out, "\nThree ways to sign in as alice@%s:\n", s.set.Domain)
		fmt.Fprintf(out, "  Lync-capable client   server %s, TLS, authentication NTLM or TLS-DSK; trust %s\n", shown(s.sipTLS), s.path("ca.pem"))
		fmt.Fprintf(out, "  SIP client            sip:alice@%s through sip:%s;transport=tls, or %s over TCP or UDP\n", s.set.Domain, shown(s.sipTLS), shown(s.sipTCP))
		fmt.Fprintf(out, "  shell                 trivet Test-CsRegistration -TargetFqdn %s -UserSipAddress alice@%s\n\n", shown(s.sipTLS), s.set.Domain)
	}
	web := ""
	if s.sipWS.IsValid() {
		web += "  sip/ws " + s.sipWS.String()
	}
	if s.sipWSS.IsValid() {
		web += "  sip/wss " + s.sipWSS.String()
	}
	fmt.Fprintf(out, "ready  %s  sip/tls %s  sip/tcp %s  sip/udp %s%s  https %s  data %s\n",
		s.set.FQDN, shown(s.sipTLS), shown(s.sipTCP), shown(s.sipUDP), web, shown(s.https), s.set.Data)
}

// shown is an address as people read it.
func shown(a interface {
	IsValid() bool
	String() string
}) string {
	if !a.IsValid() {
		return "off"
	}
	return a.String()
}
