// Package access decides who may see what of a user's presence: into which
// container a watcher falls and what that container shows. It follows the
// containers of [MS-PRES] 3.2 and the privacy relationships of Lync. All functions
// are pure and safe for concurrent use.
//
// A watcher sees what is published in the watcher's one container, cut to what
// Sees and Shows allow. What the server itself adds (the aggregated state, the
// directory's contact card) is made for the container by the same table.
package access

import (
	"strings"

	"trivet/fault"
	"trivet/uc"
)

// The containers with a meaning. Ids go from 0 to MaxContainer; others exist once
// something is published in them.
const (
	Default      = 0     // whoever matches nothing else; its membership is fixed
	Self         = 1     // the user's own settings
	Aggregation  = 2     // states of the user, for 100, 200 and 400
	Aggregation3 = 3     // the same for 300
	External     = 100   // federated
	Colleagues   = 200   // the same company
	Workgroup    = 300   // may interrupt do not disturb
	Personal     = 400   // friends and family
	Blocked      = 32000 // sees an offline person
	MaxContainer = 32767
)

// MemberType says what a member of a container matches.
type MemberType uint8

// The member types of [MS-PRES] 2.2.2, from the most specific.
const (
	User MemberType = iota + 1
	Domain
	SameEnterprise
	Federated
	PublicCloud
	Everyone
)

var memberTypes = [...]struct {
	name   string
	rank   int  // lower is more specific
	valued bool // has a value
}{
	User:           {"user", 1, true},
	Domain:         {"domain", 2, true},
	SameEnterprise: {"sameEnterprise", 3, false},
	Federated:      {"federated", 3, false},
	PublicCloud:    {"publicCloud", 3, false},
	Everyone:       {"everyone", 4, false},
}

// ParseMemberType reads the type attribute of a member.
func ParseMemberType(s string) (MemberType, error) {
	for t := User; t <= Everyone; t++ {
		if memberTypes[t].name == s {
			return t, nil
		}
	}
	return 0, fault.New(fault.Invalid, "access.ParseMemberType",
		"the type of a member must be user, domain, sameEnterprise, federated, publicCloud or everyone")
}

// String returns the name used in documents, "" for a value that is no type.
func (t MemberType) String() string {
	if int(t) < len(memberTypes) {
		return memberTypes[t].name
	}
	return ""
}

// Member is an entry of a container's list. Value is a bare lower case address for
// User, a lower case domain for Domain, else empty.
type Member struct {
	Type  MemberType
	Value string
}

// Grant puts a member into a container.
type Grant struct {
	Container int
	Member    Member
}

// ParseMember reads a member as documents spell it: a user with or without "sip:".
func ParseMember(kind, value string) (Member, error) {
	const op = "access.ParseMember"
	t, err := ParseMemberType(kind)
	if err != nil {
		return Member{}, err
	}
	switch {
	case t == User:
		u, err := uc.ParseUserURI(value)
		if err != nil {
			return Member{}, fault.Wrap(op, err)
		}
		return Member{t, u.Bare()}, nil
	case t == Domain:
		d := strings.ToLower(strings.TrimSpace(value))
		if d == "" || len(d) > 253 || strings.ContainsAny(d, "@:/<>\" \t\r\n") {
			return Member{}, fault.New(fault.Invalid, op, "a domain member needs a domain such as example.test as its value")
		}
		return Member{t, d}, nil
	}
	return Member{Type: t}, nil
}

// CheckContainer refuses ids outside of 0 to MaxContainer.
func CheckContainer(id int) error {
	if id < 0 || id > MaxContainer {
		return fault.New(fault.Invalid, "access.CheckContainer", "a container id must be a number from 0 to 32767")
	}
	return nil
}

// CheckGrant refuses members in containers whose membership is not the user's to
// change: everyone else is in 0 and nobody but the user is in 1, 2 and 3.
func CheckGrant(g Grant) error {
	if err := CheckContainer(g.Container); err != nil {
		return err
	}
	if g.Container <= Aggregation3 {
		return fault.New(fault.Forbidden, "access.CheckGrant", "the members of containers 0 to 3 are fixed")
	}
	return nil
}
