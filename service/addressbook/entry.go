package addressbook

import (
	"context"
	"slices"
	"strings"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/finder"
	"trivet/uc"
	"trivet/wire/soap"
)

// searchEntry answers a SearchAbEntry.
func (s web) searchEntry(ctx context.Context, user uc.UserURI, e *soap.Envelope) ([]byte, error) {
	may := s.cfg.Rights(user)
	if !may.Search {
		return nil, fault.New(fault.Forbidden, "addressbook.searchEntry", "the client policy of the user does not allow searches of the address book")
	}
	q, err := soap.ParseBookQuery(e)
	if err != nil {
		return nil, err
	}
	limit := int(min(q.Max, maxResults))
	if limit == 0 {
		limit = maxResults
	}
	found, err := s.findPeople(q, limit)
	if err != nil {
		return nil, err
	}
	wanted := selected(q.Return)
	entries := make([]soap.BookEntry, 0, len(found))
	for _, u := range found {
		entries = append(entries, s.entry(ctx, u, wanted, may.Photos))
	}
	groups, err := s.findGroups(ctx, q, limit-len(entries))
	if err != nil {
		return nil, err
	}
	for i := range groups {
		entries = append(entries, groupEntry(&groups[i], wanted))
	}
	return soap.AppendBookAnswer(nil, entries), nil
}

// findPeople finds whom a query means.
func (s *Service) findPeople(q soap.BookQuery, limit int) ([]*directory.User, error) {
	if q.Basic != nil {
		terms, err := basicTerms(q)
		if err != nil {
			return nil, err
		}
		found, _, err := s.find(terms, limit, nil)
		return found, err
	}
	terms, err := changeTerms(q.Changes)
	if err != nil {
		return nil, err
	}
	if !isBatch(q.Changes) {
		found, _, err := s.find(terms, limit, nil)
		return found, err
	}
	var all []*directory.User
	for _, t := range terms {
		found, _, err := s.find([]finder.Term{t}, limit, nil)
		if err != nil {
			return nil, err
		}
		for _, u := range found {
			if len(all) < limit && !slices.Contains(all, u) {
				all = append(all, u)
			}
		}
	}
	return all, nil
}

// isBatch reports whether a ChangeSearch asks for several people at once, which
// clients do to look up many addresses: then an attribute comes more than once.
// Otherwise the queries describe one person.
func isBatch(list []soap.BookTerm) bool {
	for i, t := range list {
		if slices.ContainsFunc(list[:i], func(o soap.BookTerm) bool { return strings.EqualFold(o.SearchOn, t.SearchOn) }) {
			return true
		}
	}
	return false
}

// changeTerms are the terms of a ChangeSearch. Addresses are meant as a whole.
func changeTerms(list []soap.BookTerm) ([]finder.Term, error) {
	terms := make([]finder.Term, 0, len(list))
	for _, c := range list {
		t, err := term(c.SearchOn, c.Value)
		if err != nil {
			return nil, err
		}
		t.Exact = t.Attrs&addresses != 0
		terms = append(terms, t)
	}
	return terms, nil
}

// basicTerms are the terms of a BasicSearch: every word of the value begins a word
// of any of the attributes. A value of digits is a telephone number where one of the
// attributes is one, and a value typed on the keys of a phone is nothing else.
func basicTerms(q soap.BookQuery) ([]finder.Term, error) {
	const op = "addressbook.basicTerms"
	if v := q.Basic.Verb; v != "" && !strings.EqualFold(v, "BeginsWith") {
		return nil, fault.New(fault.Unsupported, op, "the Verb of a BasicSearch must be BeginsWith").About(v)
	}
	var set uint64
	for _, name := range q.Basic.Attributes {
		i, err := attributeNamed(name)
		if err != nil {
			return nil, err
		}
		set |= 1 << i
	}
	if set == 0 {
		set = 1<<len(attributes) - 1
	}
	value := address.comparable(q.Basic.Value)
	if number := digits(value); set&phones != 0 && number != "" && (q.FromDialPad || strings.Trim(value, "+-./() 0123456789") == "") {
		return []finder.Term{{Attrs: set & phones, Text: number}}, nil
	}
	var terms []finder.Term
	for word := range strings.FieldsSeq(value) {
		terms = append(terms, finder.Term{Attrs: set &^ phones, Text: word})
	}
	return terms, nil
}

// column is an attribute of an answer.
type column struct {
	name string
	many bool
	of   func(u *directory.User) string
}

// columns are the attributes of answers, in their order. Photos have three more.
var columns = makeColumns()

func makeColumns() []column {
	list := make([]column, len(attributes))
	for i, a := range attributes {
		name, _, _ := strings.Cut(a.names, " ")
		list[i] = column{name, a.kind == phone, a.get}
	}
	return list
}

// selection says which attributes are wanted, in lower case; nil: all.
type selection map[string]bool

func (s selection) has(name string) bool { return s == nil || s[strings.ToLower(name)] }

// selected reads the list of attributes that a client wants. Names that we do not
// have are passed over: clients ask for more than there is.
func selected(names []string) selection {
	if len(names) == 0 {
		return nil
	}
	s := selection{}
	for _, name := range names {
		s[strings.ToLower(name)] = true
		if i, err := attributeNamed(name); err == nil {
			first, _, _ := strings.Cut(attributes[i].names, " ")
			s[strings.ToLower(first)] = true
		}
	}
	return s
}

// entry is a person as the answer has it. Attributes without value are left out.
func (s *Service) entry(ctx context.Context, u *directory.User, wanted selection, photos bool) soap.BookEntry {
	var e soap.BookEntry
	for _, c := range columns {
		if v := c.of(u); v != "" && wanted.has(c.name) {
			e = append(e, soap.BookAttribute{Name: c.name, Values: []string{v}, Many: c.many})
		}
	}
	if !photos || u.PhotoHash == "" {
		return e
	}
	for _, p := range s.photoOf(ctx, u, wanted) {
		e = append(e, soap.BookAttribute{Name: p.name, Values: []string{p.value}})
	}
	return e
}
