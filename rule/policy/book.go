package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Instance is one policy as it is stored.
type Instance struct {
	Kind     *Kind
	Identity Identity
	Values   Values
	Version  uint64    // of the store, when it was changed last; 0 for a Global that never was
	Changed  time.Time // zero likewise
	By       string    // who changed it
}

// Book is all policies at one moment, resolved for one site. It is immutable.
type Book struct {
	site    string
	shelves map[*Kind]*shelf
}

type shelf struct {
	list []Instance // Global, sites, tags, each by name
	base *entry     // for users without a tag
	tags map[string]*entry
}

// entry is an instance resolved.
type entry struct {
	value any // the *T
	told  []Property
}

// Compile resolves instances for the servers of a site. Of a kind without Global
// the defaults hold. Errors are fault.Invalid about the instance.
func Compile(site string, list []Instance) (*Book, error) {
	b := &Book{site: site, shelves: make(map[*Kind]*shelf, len(kinds))}
	for _, k := range kinds {
		b.shelves[k] = &shelf{list: []Instance{{Kind: k}}, tags: map[string]*entry{}}
	}
	for _, in := range list {
		if s := b.shelves[in.Kind]; in.Identity.Scope == Global {
			s.list[0] = in
		} else {
			s.list = append(s.list, in)
		}
	}
	for _, s := range b.shelves {
		if err := s.resolve(site); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (s *shelf) resolve(site string) error {
	slices.SortFunc(s.list, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.Identity.Scope, b.Identity.Scope), cmp.Compare(strings.ToLower(a.Identity.Name), strings.ToLower(b.Identity.Name)))
	})
	for _, in := range s.list {
		value, err := in.Kind.make(in.Values)
		if err != nil {
			return err
		}
		v := &entry{value, in.Kind.tell(in.Values)}
		switch in.Identity.Scope {
		case Global:
			s.base = v
		case Site:
			if strings.EqualFold(in.Identity.Name, site) {
				s.base = v
			}
		case Tag:
			s.tags[in.Identity.Name] = v
			s.tags[strings.ToLower(in.Identity.Name)] = v
		}
	}
	return nil
}

// Site is the site for which the book is resolved.
func (b *Book) Site() string { return b.site }

// List returns the instances of a kind: Global, sites, tags, each by name.
func (b *Book) List(k *Kind) []Instance { return slices.Clone(b.shelves[k].list) }

// Find returns one instance.
func (b *Book) Find(k *Kind, id Identity) (Instance, bool) {
	list := b.shelves[k].list
	i := slices.IndexFunc(list, func(in Instance) bool { return in.Identity.Same(id) })
	if i < 0 {
		return Instance{}, false
	}
	return list[i], true
}

// effective is what holds for a user with this tag, "" for none. A tag that does
// not exist counts as none.
func (b *Book) effective(k *Kind, tag string) *entry {
	s := b.shelves[k]
	if tag == "" {
		return s.base
	}
	if v, ok := s.tags[tag]; ok {
		return v
	}
	if v, ok := s.tags[strings.ToLower(tag)]; ok {
		return v
	}
	return s.base
}

// For returns what holds for a user who was granted tag, "" for none; of a kind
// without tags, tag is "". The value is shared and must not be changed. It takes
// constant time and neither locks nor allocates.
func (k Of[T]) For(b *Book, tag string) *T { return b.effective(k.Kind, tag).value.(*T) }

// Default returns what holds where nothing is stored.
func (k Of[T]) Default() *T { return k.fresh().(*T) }
