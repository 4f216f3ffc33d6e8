package soap

import (
	"slices"
	"strings"

	"trivet/fault"
	"trivet/wire/xmlpull"
)

// nsDLX is the namespace of the address book web query and of the expansion of
// groups, [MS-DLX] 2.2.1.
const nsDLX = "DistributionListExpander"

// ActionSearch is the SOAPAction of a SearchAbEntry.
const ActionSearch = "DistributionListExpander/IAddressBook/SearchAbEntry"

// BookQuery is SearchAbEntry: people (and groups) are looked for in the address
// book. It has either Changes or Basic.
type BookQuery struct {
	// Changes are attributes with values: of one person, or of many when an
	// attribute comes more than once.
	Changes []BookTerm
	// Basic looks for a beginning in any of several attributes.
	Basic       *BookBasic
	FromDialPad bool     // the value was typed on the keys of a phone
	Max         uint32   // most entries wanted; 0: not said
	Return      []string // attributes wanted; none: all
}

// BookTerm is the ChangeSearchQuery of one attribute.
type BookTerm struct{ SearchOn, Value string }

// BookBasic is the BasicSearch.
type BookBasic struct {
	Attributes []string
	Value      string
	Verb       string // "BeginsWith"
}

const (
	maxBookTerms = 64
	maxBookNames = 64
)

// BodyName is the name of the one element in the body of an envelope, which is the
// operation; "" when there is none or more than one.
func (e *Envelope) BodyName() string {
	if len(e.Body.Children) != 1 {
		return ""
	}
	return e.Body.Children[0].Local
}

// ParseBookQuery reads the body of an envelope.
func ParseBookQuery(e *Envelope) (BookQuery, error) {
	const op = "soap.ParseBookQuery"
	var q BookQuery
	x := e.Body.Path("SearchAbEntry", "AbEntryRequest")
	if x == nil {
		return q, fault.New(fault.Invalid, op, "SearchAbEntry must have one AbEntryRequest")
	}
	if err := q.readTerms(x); err != nil {
		return BookQuery{}, err
	}
	meta := x.Path("Metadata")
	var ok bool
	if q.Max, ok = xmlpull.Uint32(meta.Path("MaxResultNum").Value()); !ok {
		return BookQuery{}, fault.New(fault.Invalid, op, "MaxResultNum must be a number")
	}
	if q.FromDialPad, ok = xmlpull.Bool(meta.Path("FromDialPad").Value()); !ok {
		return BookQuery{}, fault.New(fault.Invalid, op, "FromDialPad must be true or false")
	}
	var err error
	q.Return, err = names("ReturnList", meta.Path("ReturnList").Value())
	return q, err
}

func (q *BookQuery) readTerms(x *Element) error {
	const op = "soap.ParseBookQuery"
	change, basic := x.Path("ChangeSearch"), x.Path("BasicSearch")
	if (change == nil) == (basic == nil) {
		return fault.New(fault.Invalid, op, "AbEntryRequest must have one ChangeSearch or one BasicSearch")
	}
	if basic != nil {
		list, err := names("SearchList", basic.Path("SearchList").Value())
		q.Basic = &BookBasic{Attributes: list, Value: basic.Path("Value").Value(), Verb: basic.Path("Verb").Value()}
		return err
	}
	for _, c := range change.Children {
		if len(q.Changes) == maxBookTerms {
			return fault.Newf(fault.Limit, op, "a ChangeSearch may have at most %d queries", maxBookTerms)
		}
		t := BookTerm{SearchOn: c.Path("SearchOn").Value(), Value: c.Path("Value").Value()}
		if t.SearchOn == "" || t.Value == "" {
			return fault.New(fault.Invalid, op, "a ChangeSearchQuery must have one SearchOn and one Value")
		}
		q.Changes = append(q.Changes, t)
	}
	if q.Changes == nil {
		return fault.New(fault.Invalid, op, "a ChangeSearch must have at least one query")
	}
	return nil
}

// names reads a list with commas.
func names(what, s string) ([]string, error) {
	if strings.Count(s, ",") >= maxBookNames {
		return nil, fault.Newf(fault.Limit, "soap.names", "%s may have at most %d names", what, maxBookNames)
	}
	list := strings.Split(s, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	if list = slices.DeleteFunc(list, func(name string) bool { return name == "" }); len(list) == 0 {
		return nil, nil
	}
	return list, nil
}

// Append writes the body of the request, as a client does.
func (q BookQuery) Append(b []byte) []byte {
	b = append(b, `<SearchAbEntry xmlns="`+nsDLX+`"><AbEntryRequest>`...)
	if q.Basic != nil {
		b = append(b, `<BasicSearch><SearchList>`...)
		b = appendText(b, strings.Join(q.Basic.Attributes, ","))
		b = append(b, `</SearchList><Value>`...)
		b = appendText(b, q.Basic.Value)
		b = append(b, `</Value><Verb>`...)
		b = appendText(b, q.Basic.Verb)
		b = append(b, `</Verb></BasicSearch>`...)
	} else {
		b = append(b, `<ChangeSearch>`...)
		for _, t := range q.Changes {
			b = append(b, `<AbEntryRequest.ChangeSearchQuery><SearchOn>`...)
			b = appendText(b, t.SearchOn)
			b = append(b, `</SearchOn><Value>`...)
			b = appendText(b, t.Value)
			b = append(b, `</Value></AbEntryRequest.ChangeSearchQuery>`...)
		}
		b = append(b, `</ChangeSearch>`...)
	}
	b = append(b, `<Metadata><FromDialPad>`...)
	b = append(b, map[bool]string{true: "true", false: "false"}[q.FromDialPad]...)
	b = append(b, `</FromDialPad><MaxResultNum>`...)
	b = appendInt(b, int(q.Max))
	b = append(b, `</MaxResultNum><ReturnList>`...)
	b = appendText(b, strings.Join(q.Return, ","))
	return append(b, `</ReturnList></Metadata></AbEntryRequest></SearchAbEntry>`...)
}
