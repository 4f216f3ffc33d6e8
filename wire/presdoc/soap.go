package presdoc

import (
	"slices"
	"strconv"

	"trivet/fault"
	"trivet/wire/xmlpull"
)

// Verb is an operation on the contact list.
type Verb uint8

// The verbs.
const (
	SetContact Verb = iota + 1 // adds a contact, or replaces its name and groups
	DeleteContact
	AddGroup
	ModifyGroup
	DeleteGroup
)

var verbs = [...]string{SetContact: "setContact", DeleteContact: "deleteContact", AddGroup: "addGroup", ModifyGroup: "modifyGroup", DeleteGroup: "deleteGroup"}

// String is the element of the operation.
func (v Verb) String() string {
	if int(v) < len(verbs) {
		return verbs[v]
	}
	return ""
}

// ContactOp is an operation on the user's contact list, a SOAP body of TypeSOAP.
// URI, Name (displayName), Groups and Subscribed belong to contacts, GroupID and
// Name to groups. DeltaNum is the number the client believes to be current.
type ContactOp struct {
	Verb        Verb
	URI         string
	Name        string
	Groups      []uint32
	Subscribed  bool
	GroupID     uint32
	ExternalURI string
	DeltaNum    uint32
}

// SOAPOperation returns the name of the first element of a SOAP body, such as
// setContact or directorySearch, without reading further.
func SOAPOperation(b []byte) (string, error) {
	s := xmlpull.New(b, MaxDocument)
	operation := ""
	body(s, func(name string) {
		if operation == "" {
			operation = name
		}
	})
	if operation == "" {
		s.Fail("the SOAP body has no operation")
	}
	return operation, wrap("SOAPOperation", s)
}

// body calls f for each element of the body of an envelope.
func body(s *xmlpull.Scanner, f func(name string)) {
	if !s.Root("Envelope") {
		return
	}
	for name := range s.Children() {
		if name != "Body" {
			continue
		}
		for name := range s.Children() {
			f(name)
		}
	}
}

func wrap(op string, s *xmlpull.Scanner) error { return fault.Wrap("presdoc."+op, s.Finish()) }

// ParseContactOp reads an operation.
func ParseContactOp(b []byte) (ContactOp, error) {
	var o ContactOp
	s := xmlpull.New(b, MaxDocument)
	body(s, func(name string) {
		v := slices.Index(verbs[1:], name) + 1
		if v == 0 || o.Verb != 0 {
			s.Fail("the SOAP body needs one operation of setContact, deleteContact, addGroup, modifyGroup and deleteGroup")
			return
		}
		o.Verb = Verb(v)
		for name := range s.Children() {
			o.read(s, name)
		}
	})
	if o.Verb == 0 {
		s.Fail("the SOAP body has no operation")
	}
	if err := wrap("ParseContactOp", s); err != nil {
		return ContactOp{}, err
	}
	return o, o.check()
}

func (o *ContactOp) read(s *xmlpull.Scanner, name string) {
	ok := true
	switch name {
	case "URI":
		o.URI = s.Text()
	case "displayName", "name":
		o.Name = s.Text()
	case "groups":
		o.Groups = parseIDs(s, s.Text())
	case "subscribed":
		o.Subscribed, ok = xmlpull.Bool(s.Text())
	case "groupID":
		o.GroupID, ok = xmlpull.Uint32(s.Text())
	case "externalURI":
		o.ExternalURI = s.Text()
	case "deltaNum":
		o.DeltaNum, ok = xmlpull.Uint32(s.Text())
	}
	if !ok {
		s.Fail(name + " has a value that is not of its type")
	}
}

// check refuses operations without a subject.
func (o *ContactOp) check() error {
	const op = "presdoc.ParseContactOp"
	switch {
	case o.Verb <= DeleteContact && o.URI == "":
		return fault.New(fault.Invalid, op, o.Verb.String()+" needs a URI")
	case o.Verb == AddGroup && o.Name == "":
		return fault.New(fault.Invalid, op, "addGroup needs a name")
	case (o.Verb == ModifyGroup || o.Verb == DeleteGroup) && o.GroupID == 0:
		return fault.New(fault.Invalid, op, o.Verb.String()+" needs a groupID")
	}
	return nil
}

const (
	envelope    = `<SOAP-ENV:Envelope xmlns:SOAP-ENV="` + nsEnvelope + `"><SOAP-ENV:Body>`
	endEnvelope = `</SOAP-ENV:Body></SOAP-ENV:Envelope>`
)

// Append writes the operation.
func (o ContactOp) Append(b []byte) []byte {
	b = append(append(append(b, envelope+`<m:`...), o.Verb.String()...), ` xmlns:m="`+nsWinRTC+`">`...)
	switch o.Verb {
	case SetContact:
		b = xmlpull.AppendElement(b, "m:displayName", o.Name)
		b = append(appendIDs(append(b, "<m:groups>"...), o.Groups), "</m:groups>"...)
		b = xmlpull.AppendElement(b, "m:subscribed", strconv.FormatBool(o.Subscribed))
		b = xmlpull.AppendElement(b, "m:URI", withScheme(o.URI))
		b = xmlpull.AppendElement(b, "m:externalURI", o.ExternalURI)
	case DeleteContact:
		b = xmlpull.AppendElement(b, "m:URI", withScheme(o.URI))
	case AddGroup, ModifyGroup:
		if o.Verb == ModifyGroup {
			b = appendNumber(b, "m:groupID", o.GroupID)
		}
		b = xmlpull.AppendElement(b, "m:name", o.Name)
		b = xmlpull.AppendElement(b, "m:externalURI", o.ExternalURI)
	case DeleteGroup:
		b = appendNumber(b, "m:groupID", o.GroupID)
	}
	b = appendNumber(b, "m:deltaNum", o.DeltaNum)
	return append(append(append(b, `</m:`...), o.Verb.String()...), `>`+endEnvelope...)
}

func appendNumber(b []byte, name string, n uint32) []byte {
	return xmlpull.AppendElement(b, name, strconv.FormatUint(uint64(n), 10))
}

// AppendGroupID writes the answer to addGroup: the number of the new group.
func AppendGroupID(b []byte, id uint32) []byte {
	b = append(b, envelope+`<m:addGroup xmlns:m="`+nsWinRTC+`">`...)
	return append(appendNumber(b, "m:groupID", id), `</m:addGroup>`+endEnvelope...)
}

// ParseGroupID reads the answer to addGroup.
func ParseGroupID(b []byte) (uint32, error) {
	var id uint32
	s := xmlpull.New(b, MaxDocument)
	body(s, func(name string) {
		for child := range s.Children() {
			if v, ok := xmlpull.Uint32(s.Text()); ok && name == "addGroup" && child == "groupID" {
				id = v
			}
		}
	})
	if id == 0 {
		s.Fail("the answer to addGroup needs a groupID")
	}
	return id, wrap("ParseGroupID", s)
}
