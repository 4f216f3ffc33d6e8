package presdoc

import "trivet/wire/xmlpull"

// Search asks the directory, a SOAP body of TypeSOAP: persons whose attributes
// begin with the values of all terms.
type Search struct {
	MaxResults uint32
	Terms      []Term
}

// Term is an attribute (givenName, sn, mail, company, c,
// msRTCSIP-PrimaryUserAddress) and the beginning of its value.
type Term struct{ Attribute, Value string }

// SearchAnswer is what was found. More says that there were more than allowed.
type SearchAnswer struct {
	More bool
	Rows []SearchRow
}

// SearchRow is a person.
type SearchRow struct {
	URI, DisplayName, Title, Office, Phone, Company, City, State, Country, Email string
}

// columns are the attributes of a row.
var columns = [...]struct {
	name  string
	field func(*SearchRow) *string
}{
	{"uri", func(r *SearchRow) *string { return &r.URI }},
	{"displayName", func(r *SearchRow) *string { return &r.DisplayName }},
	{"title", func(r *SearchRow) *string { return &r.Title }},
	{"office", func(r *SearchRow) *string { return &r.Office }},
	{"phone", func(r *SearchRow) *string { return &r.Phone }},
	{"company", func(r *SearchRow) *string { return &r.Company }},
	{"city", func(r *SearchRow) *string { return &r.City }},
	{"state", func(r *SearchRow) *string { return &r.State }},
	{"country", func(r *SearchRow) *string { return &r.Country }},
	{"email", func(r *SearchRow) *string { return &r.Email }},
}

// ParseSearch reads a directorySearch with its array of terms.
func ParseSearch(b []byte) (Search, error) {
	var q Search
	found := false
	s := xmlpull.New(b, MaxDocument)
	body(s, func(name string) {
		switch name {
		case "directorySearch":
			found = true
			q.readLimit(s)
		case "Array":
			q.readTerms(s)
		}
	})
	if !found {
		s.Fail("the SOAP body has no directorySearch")
	}
	if err := wrap("ParseSearch", s); err != nil {
		return Search{}, err
	}
	return q, nil
}

func (q *Search) readLimit(s *xmlpull.Scanner) {
	for name := range s.Children() {
		if name != "maxResults" {
			continue
		}
		var ok bool
		if q.MaxResults, ok = xmlpull.Uint32(s.Text()); !ok {
			s.Fail("maxResults must be a number")
		}
	}
}

func (q *Search) readTerms(s *xmlpull.Scanner) {
	for name := range s.Children() {
		if name != "row" || full(s, len(q.Terms), 16, "search terms") {
			continue
		}
		t := Term{s.Attr("attrib"), s.Attr("value")}
		if t.Attribute == "" || t.Value == "" {
			s.Fail("a search term needs attrib and value")
		}
		q.Terms = append(q.Terms, t)
	}
}

// Append writes the question.
func (q Search) Append(b []byte) []byte {
	b = append(b, envelope+`<m:directorySearch xmlns:m="`+nsWinRTC+`"><m:filter m:href="#searchArray"/>`...)
	b = appendNumber(b, "m:maxResults", q.MaxResults)
	b = append(b, `</m:directorySearch><m:Array xmlns:m="`+nsWinRTC+`" m:id="searchArray">`...)
	for _, t := range q.Terms {
		b = xmlpull.AppendAttr(append(b, "<m:row"...), "m:attrib", t.Attribute)
		b = append(xmlpull.AppendAttr(b, "m:value", t.Value), "/>"...)
	}
	return append(b, `</m:Array>`+endEnvelope...)
}

// Append writes the answer.
func (a SearchAnswer) Append(b []byte) []byte {
	b = append(b, envelope+`<m:directorySearch xmlns:m="`+nsWinRTC+`"><m:moreAvailable>`...)
	if a.More {
		b = append(b, "true"...)
	} else {
		b = append(b, "false"...)
	}
	b = append(b, `</m:moreAvailable></m:directorySearch><m:Array xmlns:m="`+nsWinRTC+`">`...)
	for i := range a.Rows {
		b = append(b, "<m:row"...)
		for _, c := range columns {
			v := *c.field(&a.Rows[i])
			if c.name == "uri" {
				v = withScheme(v)
			}
			b = xmlpull.AppendAttr(b, c.name, v)
		}
		b = append(b, "/>"...)
	}
	return append(b, `</m:Array>`+endEnvelope...)
}

// ParseSearchAnswer reads the answer.
func ParseSearchAnswer(b []byte) (SearchAnswer, error) {
	var a SearchAnswer
	s := xmlpull.New(b, MaxDocument)
	body(s, func(name string) {
		for child := range s.Children() {
			switch {
			case name == "directorySearch" && child == "moreAvailable":
				a.More, _ = xmlpull.Bool(s.Text())
			case name == "Array" && child == "row" && !full(s, len(a.Rows), MaxRows, "rows"):
				var r SearchRow
				for _, c := range columns {
					*c.field(&r) = s.Attr(c.name)
				}
				a.Rows = append(a.Rows, r)
			}
		}
	})
	if err := wrap("ParseSearchAnswer", s); err != nil {
		return SearchAnswer{}, err
	}
	return a, nil
}
