package conference

import (
	"strings"

	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/cccp"
)

// place is a conference: its organizer and its id.
type place struct {
	organizer uc.UserURI
	id        string
}

// factoryKind is the kind of the address at which conferences are made.
const factoryKind = "focusfactory"

// address is an address of this service (see also place.alias): "sip:organizer@domain;gruu;opaque=app:conf:"
// with "focusfactory" or a kind, "id" and the id behind it.
type address struct {
	place
	kind string // factoryKind, cccp.Focus, cccp.Chat
}

// Factory is the address at which the user makes conferences.
func Factory(user uc.UserURI) string {
	return string(user) + ";gruu;opaque=app:" + App + ":" + factoryKind
}

// uri is the address of the focus or of an MCU of a conference.
func (p place) uri(kind string) string {
	return string(p.organizer) + ";gruu;opaque=app:" + App + ":" + kind + ":id:" + p.id
}

// Focus is the address of a conference.
func Focus(organizer uc.UserURI, id string) string { return place{organizer, id}.uri(cccp.Focus) }

// aliasMark begins the user part of an alias.
const aliasMark = "app." + App + "."

// alias is another address of the focus, for clients that cut off parameters:
// "sip:app.conf.ID.organizer@domain".
func (p place) alias() string { return "sip:" + aliasMark + p.id + "." + p.organizer.Bare() }

// parse reads an address of ours; parameters in any order, what follows a question
// mark is ignored.
func parse(uri string) (a address, ok bool) {
	uri, _, _ = strings.Cut(uri, "?")
	bare, params, _ := strings.Cut(uri, ";")
	if _, user, _ := strings.Cut(bare, ":"); strings.HasPrefix(user, aliasMark) {
		a.kind = cccp.Focus
		id, organizer, _ := strings.Cut(user[len(aliasMark):], ".")
		who, err := uc.ParseUserURI(organizer)
		a.id, a.organizer = id, who
		return a, err == nil && groupstate.ConferenceID(id)
	}
	organizer, err := uc.ParseUserURI(bare)
	if err != nil {
		return a, false
	}
	a.organizer = organizer
	for p := range strings.SplitSeq(params, ";") {
		rest, found := strings.CutPrefix(p, "opaque=app:"+App+":")
		if !found {
			continue
		}
		if rest == factoryKind {
			a.kind = factoryKind
			return a, true
		}
		a.kind, a.id, _ = strings.Cut(rest, ":id:")
		return a, (a.kind == cccp.Focus || a.kind == cccp.Chat) && groupstate.ConferenceID(a.id)
	}
	return a, false
}
