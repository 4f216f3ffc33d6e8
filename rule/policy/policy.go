// Package policy describes the policies and configurations of a deployment, each
// kind once: a struct whose fields are the parameters, with type, default, range,
// help and effect in their tags. Cmdlets, stored form, in-band provisioning, the
// manual and what services read all come from that description. Names, defaults
// and ranges are the product's where it has them; docs/policies.md says where not.
//
// An instance of a kind has a scope: Global, a site, or a tag that is granted to
// users. For a user the tag counts before the site before Global; what an instance
// does not set has the default of the kind.
//
// A Book is all instances at one moment, resolved. It never changes, so readers
// need no lock; a change makes a new one. Everything here is pure.
package policy

import (
	"strings"

	"trivet/fault"
)

// Kind is the description of one policy or configuration.
type Kind struct {
	Noun    string // "CsPresencePolicy"
	About   string // what it holds, as a noun phrase: "limits of presence"
	Grant   string // property of directory.User that names the tag; "" cannot be granted, has no tags
	Shipped []Shipped
	Params  []Param

	fresh func() any      // a *T with the defaults
	tells bool            // some of it is told to clients
	rule  func(any) error // between parameters; nil for none
}

// Shipped is a tag that exists from the start.
type Shipped struct {
	Name   string
	Values Values
}

// Of is a kind whose instances are read as *T.
type Of[T any] struct{ *Kind }

// kinds is every kind, by noun. A kind is one file and its line here.
var kinds = [...]*Kind{
	AddressBookConfiguration.Kind,
	ClientPolicy.Kind,
	ConferencingPolicy.Kind,
	PresencePolicy.Kind,
	PrivacyConfiguration.Kind,
	ProxyConfiguration.Kind,
	RegistrarConfiguration.Kind,
	UserServicesConfiguration.Kind,
	WebServiceConfiguration.Kind,
}

// Kinds lists every kind, by noun.
func Kinds() []*Kind { return append([]*Kind(nil), kinds[:]...) }

// ByNoun returns the kind called noun, in any case; nil if there is none.
func ByNoun(noun string) *Kind {
	for _, k := range kinds {
		if strings.EqualFold(k.Noun, noun) {
			return k
		}
	}
	return nil
}

// Param returns the parameter called name, in any case; nil if there is none.
func (k *Kind) Param(name string) *Param {
	for i := range k.Params {
		if strings.EqualFold(k.Params[i].Name, name) {
			return &k.Params[i]
		}
	}
	return nil
}

// Scope is what an instance is for.
type Scope uint8

// The scopes, the weakest first.
const (
	Global Scope = iota
	Site
	Tag
)

var prefixes = [...]string{Site: "Site:", Tag: "Tag:"}

// Identity names one instance of a kind.
type Identity struct {
	Scope Scope
	Name  string // of the site or the tag; "" for Global
}

// String is "Global", "Site:Name" or "Tag:Name".
func (i Identity) String() string {
	if i.Scope == Global {
		return "Global"
	}
	return prefixes[i.Scope] + i.Name
}

// Same reports whether both name the same instance: names match in any case.
func (i Identity) Same(j Identity) bool {
	return i.Scope == j.Scope && strings.EqualFold(i.Name, j.Name)
}

const maxName = 64 // bytes of a tag or a site

// ParseIdentity reads "Global", "Site:Name", "Tag:Name" or, for a kind with tags,
// the bare name of a tag. Errors are fault.Invalid about Identity.
func (k *Kind) ParseIdentity(text string) (Identity, error) {
	s := strings.TrimSpace(text)
	if s == "" || strings.EqualFold(s, "Global") {
		return Identity{}, nil
	}
	id := Identity{Tag, s}
	for scope, prefix := range prefixes {
		if prefix != "" && len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
			id = Identity{Scope(scope), strings.TrimSpace(s[len(prefix):])}
		}
	}
	switch {
	case id.Scope == Tag && k.Grant == "":
		return Identity{}, invalid("Identity", "Identity needs Global or Site:NAME, not %q: %s cannot be granted to users", clip(text), k.Noun)
	case id.Name == "" || len(id.Name) > maxName || !printable(id.Name) || strings.ContainsAny(id.Name, `*?"`):
		return Identity{}, invalid("Identity", `Identity needs a name of 1 to %d bytes without * ? and ", not %q`, maxName, clip(id.Name))
	}
	return id, nil
}

func invalid(subject, format string, args ...any) error {
	return fault.Newf(fault.Invalid, "policy.Check", format, args...).About(subject)
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
