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
	"slices"
	"strings"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/groupstate"
	"trivet/store/users"
	"trivet/uc"
)

// demoUser is a line of demo-users.json, for the eyes of the folder's owner.
type demoUser struct {
	SipAddress        uc.UserURI
	UserPrincipalName string
	Password          string
}

type demoPerson struct{ first, last, title, department string }

var demoPeople = [...]demoPerson{
	{"Alice", "Example", "Head of Research", "Research"},
	{"Bob", "Builder", "Engineer", "Works"},
	{"Carol", "Clark", "Accountant", "Finance"},
	{"Dave", "Dean", "Clerk", "Finance"},
}

// makeDemo creates the demonstration users once, in a directory that has no users
// yet, with passwords nobody knows before, each with the others in a group of the
// contact list. The list with the passwords is on disk under a preliminary name
// before anybody is created, so that a start that was interrupted goes on where it
// stopped; existing accounts are never touched.
func (s *server) makeDemo(ctx context.Context, out io.Writer) error {
	const op = "frontend.makeDemo"
	file := s.path("demo-users.json")
	if _, err := os.Stat(file); err == nil {
		fmt.Fprintf(out, "demo users: passwords in %s\n", file)
		return nil
	}
	list, err := s.demoList(ctx, file+".part")
	if err != nil {
		return fault.Wrap(op, err)
	}
	if list == nil {
		s.set.Demo = false // nobody to show how to sign in
		fmt.Fprintln(out, "no demo users: they are made in a folder without users only, and this one has some")
		return nil
	}
	for i := range list {
		if err := s.makeDemoUser(ctx, list[i]); err != nil {
			return fault.Wrap(op, err)
		}
	}
	for _, u := range list {
		if err := s.befriend(ctx, u.SipAddress, list); err != nil {
			return fault.Wrap(op, err)
		}
	}
	if err := os.Rename(file+".part", file); err != nil {
		return fault.Wrap(op, err)
	}
	fmt.Fprintln(out, "demo users (shown once; kept in "+file+"):")
	for _, u := range list {
		fmt.Fprintf(out, "  %-24s password %s\n", u.SipAddress.Bare(), u.Password)
	}
	return nil
}

// demoList reads the list that an interrupted start left in part, or makes and
// stores a new one when the directory is empty; else there is none.
func (s *server) demoList(ctx context.Context, part string) (list []demoUser, err error) {
	text, err := os.ReadFile(part)
	if err == nil {
		return list, json.Unmarshal(text, &list)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if some, err := s.store.List(ctx, users.Query{Limit: 1}); err != nil || len(some) > 0 {
		return nil, err
	}
	for _, d := range demoPeople {
		address := uc.UserURI("sip:" + strings.ToLower(d.first) + "@" + s.set.Domain)
		list = append(list, demoUser{address, address.Bare(), strings.ToLower(rand.Text()[:16])})
	}
	if text, err = json.MarshalIndent(list, "", "  "); err != nil {
		return nil, err
	}
	return list, writeDurably(part, append(text, '\n'))
}

// makeDemoUser creates one user of the list unless there is one of that name.
func (s *server) makeDemoUser(ctx context.Context, d demoUser) error {
	name := d.SipAddress.User()
	i := slices.IndexFunc(demoPeople[:], func(p demoPerson) bool { return strings.EqualFold(p.first, name) })
	if s.people.ByAddress(d.SipAddress) != nil || i < 0 {
		return nil
	}
	p := demoPeople[i]
	_, err := directoryUsers{s}.Create(ctx, directory.User{
		SipAddress: d.SipAddress, UserPrincipalName: d.UserPrincipalName, SamAccountName: name,
		DisplayName: p.first + " " + p.last, FirstName: p.first, LastName: p.last, WindowsEmailAddress: d.UserPrincipalName,
		Title: p.title, Department: p.department, Company: "Example",
		Enabled: true, EnabledForRichPresence: true, EnabledForFederation: true, EnabledForInternet: true,
		RegistrarPool: uc.PoolFQDN(s.fqdn), HomeServer: pool{s}.HomeServer(),
	}, d.Password)
	return err
}

// demoGroup is the name of the group the demo users have each other in.
const demoGroup = "Team"

// befriend gives user the others as contacts in the group; done twice it changes
// nothing.
func (s *server) befriend(ctx context.Context, user uc.UserURI, others []demoUser) error {
	team, err := s.demoTeam(ctx, user)
	if err != nil {
		return err
	}
	for _, o := range others {
		if o.SipAddress == user {
			continue
		}
		contact := groupstate.Contact{URI: string(o.SipAddress), Groups: groupstate.Groups(team), Subscribed: true}
		if _, err := s.groups.Propose(ctx, user, &groupstate.SetContact{User: user, Now: s.groups.now(), Contact: contact, Max: groupstate.MaxContacts}); err != nil {
			return err
		}
	}
	return nil
}

// demoTeam finds or makes the group.
func (s *server) demoTeam(ctx context.Context, user uc.UserURI) (id uint8, err error) {
	err = s.groups.Read(ctx, user, func(state *groupstate.State) {
		if u := state.User(user); u != nil {
			for _, g := range u.Contacts().Groups {
				if g.Name == demoGroup {
					id = g.ID
				}
			}
		}
	})
	if err != nil || id != 0 {
		return id, err
	}
	done, err := s.groups.Propose(ctx, user, &groupstate.AddGroup{User: user, Now: s.groups.now(), Name: demoGroup})
	if err != nil {
		return 0, err
	}
	return done.(groupstate.ContactsResult).GroupID, nil
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
