package addressbook

import (
	"context"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/rule/directory"
	"trivet/rule/finder"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

// operation is the SOAP operation of a search.
const operation = "directorySearch"

// SOAP answers the SOAP operations of SIP that are about the directory: it is the
// Other of service/contacts.
func (s *Service) SOAP(_ context.Context, name string, r *sipmux.Request) (*sip.Message, error) {
	const op = "addressbook.SOAP"
	if name != operation {
		return nil, fault.New(fault.Unsupported, op, "this SOAP operation is not known here").About(name)
	}
	if !s.cfg.Rights(r.User).Search {
		return nil, fault.New(fault.Forbidden, op, "the client policy of the user does not allow searches of the directory")
	}
	if err := s.brake.check(r.User, r.Now); err != nil {
		return nil, err
	}
	q, err := presdoc.ParseSearch(r.Body)
	if err != nil {
		return nil, err
	}
	a, err := s.search(q)
	if err != nil {
		return nil, err
	}
	res := r.Reply(200, "")
	res.Add("Content-Type", presdoc.TypeSOAP)
	res.Body = a.Append(nil)
	return res, nil
}

// search answers a directorySearch. Only who can be reached is found: a row is an
// address.
func (s *Service) search(q presdoc.Search) (presdoc.SearchAnswer, error) {
	var a presdoc.SearchAnswer
	terms := make([]finder.Term, 0, len(q.Terms))
	for _, t := range q.Terms {
		x, err := term(t.Attribute, t.Value)
		if err != nil {
			return a, err
		}
		terms = append(terms, x)
	}
	found, more, err := s.find(terms, int(min(q.MaxResults, maxResults)), reachable)
	if err != nil {
		return a, err
	}
	a.More = more
	for _, u := range found {
		a.Rows = append(a.Rows, row(u))
	}
	return a, nil
}

func row(u *directory.User) presdoc.SearchRow {
	return presdoc.SearchRow{
		URI: string(u.SipAddress), DisplayName: u.DisplayName, Title: u.Title, Office: u.Office, Phone: u.Phone,
		Company: u.Company, City: u.City, State: u.State, Country: u.Country, Email: u.WindowsEmailAddress,
	}
}
