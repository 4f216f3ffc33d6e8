package addressbook

import (
	"slices"
	"strings"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/finder"
)

// Limits of a search.
const (
	maxResults = 200 // returned, whatever is asked for
	maxTerms   = 16
	maxValue   = 256 // bytes of a term
)

// find looks for up to limit people for whom all terms hold, sorted by name. A limit
// of 0 is the highest one. fault.Invalid when no term has a text.
func (s *Service) find(terms []finder.Term, limit int, keep func(*directory.User) bool) ([]*directory.User, bool, error) {
	const op = "addressbook.find"
	some := false
	for _, t := range terms {
		if len(t.Text) > maxValue {
			return nil, false, fault.Newf(fault.Invalid, op, "the value of a search term may have at most %d bytes", maxValue)
		}
		some = some || strings.TrimSpace(t.Text) != ""
	}
	if !some {
		return nil, false, fault.New(fault.Invalid, op, "a search needs at least one attribute with the beginning of its value")
	}
	if len(terms) > maxTerms {
		return nil, false, fault.Newf(fault.Invalid, op, "a search may have at most %d terms", maxTerms)
	}
	if limit <= 0 || limit > maxResults {
		limit = maxResults
	}
	s.mu.RLock()
	found, more := s.people.Find(terms, limit, keep)
	s.mu.RUnlock()
	slices.SortStableFunc(found, func(a, b *directory.User) int {
		if c := strings.Compare(finder.Fold(a.DisplayName), finder.Fold(b.DisplayName)); c != 0 {
			return c
		}
		return strings.Compare(a.GUID, b.GUID)
	})
	return found, more, nil
}

// term makes a term of an attribute's name and the beginning of its value.
func term(name, value string) (finder.Term, error) {
	i, err := attributeNamed(name)
	if err != nil {
		return finder.Term{}, err
	}
	text := attributes[i].kind.comparable(value)
	if text == "" && strings.TrimSpace(value) != "" {
		return finder.Term{Attrs: 0, Text: value}, nil // no number: nobody has it
	}
	return finder.Term{Attrs: 1 << i, Text: text}, nil
}
