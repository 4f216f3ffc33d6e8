package access

import "trivet/uc"

// Realm is where a watcher comes from, as far as it is proven.
type Realm uint8

// The realms.
const (
	Stranger   Realm = iota // not authenticated, or by nobody we trust
	Company                 // a user of this deployment
	Partner                 // federated
	PublicUser              // of a public instant messaging provider
)

// realms gives the member type that stands for a realm, and the container in
// which its people are as long as the user has not placed that type anywhere.
// Lync clients make these entries at their first sign-in; users of other clients
// never do.
var realms = [...]struct {
	member   MemberType
	fallback int
}{
	Stranger:   {0, Default},
	Company:    {SameEnterprise, Colleagues},
	Partner:    {Federated, External},
	PublicUser: {PublicCloud, Default},
}

// Watcher is who wants to see. Listed says that the owner has the watcher in the
// contact list; it matters in privacy mode only.
type Watcher struct {
	URI    uc.UserURI
	Realm  Realm
	Listed bool
}

// Place returns the container of a watcher. The most specific member type that
// matches wins (user, domain, realm, everyone), among equal ones the highest
// container, so a blocked person is blocked. A stranger's claimed address counts
// only against the stranger: it may lead to Blocked and nowhere else. In privacy
// mode 100 and 200 are for listed contacts, others get 0.
func Place(owner uc.UserURI, grants []Grant, w Watcher, privacy bool) int {
	if w.URI == owner && w.Realm == Company {
		return Self
	}
	at := match(grants, w)
	if privacy && !w.Listed && (at == External || at == Colleagues) {
		return Default
	}
	return at
}

func match(grants []Grant, w Watcher) int {
	rank, at := len(memberTypes), Default
	placed := false // the watcher's realm has an entry somewhere
	for _, g := range grants {
		t := g.Member.Type
		placed = placed || t == realms[w.Realm].member
		if t < User || t > Everyone || !g.Member.matches(w) || w.Realm == Stranger && t < SameEnterprise && g.Container != Blocked {
			continue
		}
		if r := memberTypes[t].rank; r < rank || r == rank && g.Container > at {
			rank, at = r, g.Container
		}
	}
	if !placed && rank > memberTypes[SameEnterprise].rank && at != Blocked && realms[w.Realm].fallback > at {
		return realms[w.Realm].fallback
	}
	return at
}

func (m Member) matches(w Watcher) bool {
	switch m.Type {
	case User:
		return m.Value == w.URI.Bare()
	case Domain:
		return m.Value == w.URI.Domain()
	case Everyone:
		return true
	}
	return m.Type == realms[w.Realm].member
}
