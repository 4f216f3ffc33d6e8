package directory

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"trivet/fault"
	"trivet/uc"
)

// Group is a distribution group. Members are kept apart from it: see Member.
type Group struct {
	GUID string // as of a User; no user has the same
	Mail string // user@domain, unique among groups, any case
	// SipAddress is the address by which the group is added to contact lists,
	// unique among groups and users; "" = by its mail address only.
	SipAddress           uc.UserURI
	DisplayName          string
	Description          string
	MailNickname         string // the alias
	HideFromAddressLists bool

	Source   string // as of a User
	SourceID string

	WhenCreated time.Time
	WhenChanged time.Time // of the group or of who is in it
}

// Member says who is in a group: a user or a group of the directory, by GUID, or
// an external contact, by mail address and name. Exactly one of User, Group and
// Mail is set.
type Member struct {
	User        string
	Group       string
	Mail        string
	DisplayName string // of a contact
}

// Entry is a member as it is shown. One of User and Group is set, or neither for
// an external contact with Mail and DisplayName.
type Entry struct {
	User        *User
	Group       *Group
	Mail        string
	DisplayName string
}

// Member returns what the entry stands for.
func (e Entry) Member() Member {
	switch {
	case e.User != nil:
		return Member{User: e.User.GUID}
	case e.Group != nil:
		return Member{Group: e.Group.GUID}
	}
	return Member{Mail: e.Mail, DisplayName: e.DisplayName}
}

// Expansion is a group with its direct members by display name. Groups inside are
// shown as groups. Total counts all members, also those beyond the limit.
type Expansion struct {
	Group   Group
	Members []Entry
	Total   int
}

// Identities returns the names by which g can be asked for, the most specific
// first.
func (g *Group) Identities() []string {
	list := []string{g.GUID, g.Mail}
	for _, s := range []string{string(g.SipAddress), g.MailNickname, g.DisplayName} {
		if s != "" {
			list = append(list, s)
		}
	}
	return list
}

// groupTexts are the text properties of a group with the most bytes of each.
var groupTexts = []struct {
	name string
	max  int
	at   func(g *Group) *string
}{
	{"Mail", 256, func(g *Group) *string { return &g.Mail }},
	{"DisplayName", 256, func(g *Group) *string { return &g.DisplayName }},
	{"Description", 1024, func(g *Group) *string { return &g.Description }},
	{"MailNickname", 64, func(g *Group) *string { return &g.MailNickname }},
	{"Source", 64, func(g *Group) *string { return &g.Source }},
	{"SourceID", 128, func(g *Group) *string { return &g.SourceID }},
}

// NormalizeGroup brings g's properties to their stored form.
func NormalizeGroup(g *Group) {
	for _, f := range groupTexts {
		p := f.at(g)
		*p = strings.TrimSpace(*p)
	}
}

// ValidateGroup checks every property of a normalized g by itself. Errors are
// fault.Invalid, with the property as subject.
func ValidateGroup(g *Group) error {
	for _, f := range groupTexts {
		if err := checkText(f.name, f.max, *f.at(g)); err != nil {
			return err
		}
	}
	switch {
	case g.DisplayName == "":
		return invalid("DisplayName", "a name", "")
	case !isMail(g.Mail):
		return invalid("Mail", "an e-mail address like sales@example.test", g.Mail)
	case (g.Source == "") != (g.SourceID == ""):
		return fault.New(fault.Invalid, op, "Source and SourceID need to be given together").About("SourceID")
	}
	if g.SipAddress != "" {
		if a, err := Address(string(g.SipAddress)); err != nil || a != g.SipAddress {
			return invalid("SipAddress", "an address like sip:sales@example.test", string(g.SipAddress))
		}
	}
	return nil
}

// ValidateMember checks m by itself.
func ValidateMember(m Member) error {
	set := 0
	for _, s := range []string{m.User, m.Group, m.Mail} {
		if s != "" {
			set++
		}
	}
	switch {
	case set != 1:
		return fault.New(fault.Invalid, op, "Member needs to be a user, a group, or the mail address of a contact").About("Member")
	case m.Mail == "":
		return nil
	case !isMail(m.Mail) || len(m.Mail) > 256:
		return invalid("Member", "an e-mail address like alice@elsewhere.test", m.Mail)
	}
	return checkText("Member", 256, m.DisplayName)
}

func isMail(s string) bool {
	_, err := Address(s)
	return err == nil && !strings.Contains(s, ":")
}

func checkText(name string, most int, s string) error {
	if len(s) > most {
		return fault.Newf(fault.Invalid, op, "%s may have at most %d bytes; it has %d", name, most, len(s)).About(name)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return invalid(name, "text without control characters", s)
	}
	return nil
}
