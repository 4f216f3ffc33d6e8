package dirsync

import (
	"cmp"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"trivet/rule/directory"
)

// Kind is what an action does.
type Kind uint8

// The kinds, in the order in which they are applied. Their numbers are stored.
const (
	Disable Kind = iota
	Delete
	Update
	Reactivate
	Create
	DeleteGroup
	CreateGroup
	UpdateGroup
	kindCount
)

var kindNames = [kindCount]string{
	"Disable user", "Delete user", "Change user", "Enable user again", "Create user", "Delete group", "Create group", "Change group",
}

func (k Kind) String() string { return kindNames[k] }

// Action is one step of a plan.
type Action struct {
	Kind    Kind
	ID      string // SourceID
	GUID    string // of the user or the group, also of one to create
	Label   string // address or name, for people
	Reason  Reason // of Disable
	Changes []Change
	User    directory.User  // of Create
	Group   directory.Group // of CreateGroup, UpdateGroup: the whole
	Members []directory.Member
	// MembersChange says that an UpdateGroup sets the members too.
	MembersChange bool
}

// String says what the action does, for a list of what would be done.
func (a Action) String() string {
	switch {
	case a.Reason != "":
		return a.Kind.String() + ", " + string(a.Reason)
	case a.Kind == CreateGroup || a.Kind == UpdateGroup && a.MembersChange:
		return fmt.Sprintf("%s, %d members", a.Kind, len(a.Members))
	case len(a.Changes) > 0:
		names := make([]string, len(a.Changes))
		for i, c := range a.Changes {
			names[i] = c.Property
		}
		return a.Kind.String() + ", " + strings.Join(names, ", ")
	}
	return a.Kind.String()
}

// Conflict is what cannot be done for one entry, in a sentence.
type Conflict struct{ Label, Text string }

// Broken is an entry that nobody can be made of. Whoever was made of it stays, as
// a member and as a manager too, and is disabled when the entry says so.
type Broken struct {
	ID, Label, Text string
	DN, Origin      string
	Off             Reason
	Team            bool // it would have been a group
}

// Counts are numbers of actions by kind.
type Counts [kindCount]int

// Input is what a plan is made of.
type Input struct {
	Source    string
	Mapping   *Mapping
	Now       time.Time
	Retention time.Duration // 0: nobody is deleted
	First     bool          // nothing of this source has ever been applied: creating is free
	Groups    bool          // groups are synchronised

	People  []Person
	Teams   []Team
	Users   []directory.User // all there are
	Stored  []directory.Group
	Members map[string][]directory.Member // of the groups of the source, by GUID
	Known   map[string]Known              // by ID
	Broken  []Broken                      // entries that could not be read

	Limits Limits
	Spent  Counts // applied without approval within the last 24 hours
	// Granted are the digests of actions of an earlier plan that was within the budget
	// or approved, and is not done yet: they need no approval any more.
	Granted map[string]bool
}

// Plan is what the directory asks for.
type Plan struct {
	ID      string // the same for the same actions
	Actions []Action
	Counts  Counts
	Known   []Known  // to be remembered, whatever becomes of the actions
	Forget  []string // IDs that need not be remembered any more

	Conflicts []Conflict     // one line for each user that is not as the directory asks
	Skipped   map[string]int // entries nobody is made of, by why
	Kept      int            // users whom an administrator disabled, and the directory did not
	Exceeded  []string       // limits that the plan is over, each a sentence; none: it may be applied
	Users     int            // of the source that are stored
	People    int            // entries
	Teams     int
}

// Make compares the directory with what is stored.
func Make(in Input) Plan {
	m := &maker{Input: in, byID: map[string]*directory.User{}, guids: map[string]bool{}, holders: map[string]string{}, skipped: map[string]int{}, guidOf: map[string]string{}, final: map[string]*directory.User{}}
	m.people()
	m.broken()
	m.missing()
	m.settle()
	m.managers()
	if in.Groups {
		m.teams()
	}
	p := m.plan
	p.Skipped, p.Users, p.People, p.Teams = m.skipped, len(m.byID), len(m.persons), len(in.Teams)
	for _, b := range m.Broken {
		p.Conflicts = append(p.Conflicts, Conflict{b.Label, b.Text})
	}
	slices.SortStableFunc(p.Conflicts, func(a, b Conflict) int { return cmp.Compare(a.Label, b.Label) })
	slices.SortStableFunc(p.Actions, func(a, b Action) int { return cmp.Compare(a.Kind, b.Kind) })
	for _, a := range p.Actions {
		p.Counts[a.Kind]++
	}
	p.Exceeded = m.exceeded(&p)
	p.ID = digest(in.Source, p.Actions)
	return p
}

// digest names the actions of a plan.
func digest(source string, actions []Action) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", source)
	lines := make([]string, 0, len(actions))
	for _, a := range actions {
		lines = append(lines, a.Digest())
	}
	slices.Sort(lines)
	for _, l := range lines {
		io.WriteString(h, l)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Digest names an action: every field of it, in a form that no two actions share.
func (a Action) Digest() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%#v", a))
	return hex.EncodeToString(sum[:16])
}

// GUIDOf is the GUID that a user or group of a source gets: its identifier there
// where that is a GUID, else one made of source and identifier (RFC 9562 5.5).
func GUIDOf(source, id string) string {
	if directory.IsGUID(id) {
		return id
	}
	sum := sha1.Sum([]byte("trivet directory source\x00" + source + "\x00" + id))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x50, b[8]&0x3f|0x80
	return uuidText(b)
}
