package soap

import (
	"trivet/fault"
	"trivet/wire/xmlpull"
)

// ActionExpand is the SOAPAction of a QueryDLMember.
const ActionExpand = "DistributionListExpander/QueryDLMember"

// Expansion states how the expansion of a group went, [MS-DLX] 2.2.5.1.
type Expansion string

// The states.
const (
	ExpandInvalid       Expansion = "Invalid"                  // the address is not one of a group, or another failure
	ExpandSuccess       Expansion = "Success"                  //
	ExpandTooLarge      Expansion = "MemberCountLimitExceeded" // more members than the server lists
	ExpandNotAuthorized Expansion = "NotAuthorized"            //
	ExpandNotFound      Expansion = "NotFound"                 //
	ExpandBusy          Expansion = "SimultaneousRequestLimitExceeded"
)

const maxMail = 320

// AppendGroupQuery writes the body of QueryDLMember: who is in the group with that
// mail address.
func AppendGroupQuery(b []byte, mail string) []byte {
	b = append(b, `<QueryDLMember xmlns="`+nsDLX+`"><groupMailAddress>`...)
	b = appendText(b, mail)
	return append(b, `</groupMailAddress></QueryDLMember>`...)
}

// ParseGroupQuery reads it: the mail address of the group.
func ParseGroupQuery(e *Envelope) (string, error) {
	const op = "soap.ParseGroupQuery"
	mail := e.Body.Path("QueryDLMember", "groupMailAddress").Value()
	if mail == "" || len(mail) > maxMail {
		return "", fault.New(fault.Invalid, op, "QueryDLMember must have one groupMailAddress, the address of a group")
	}
	return mail, nil
}

// GroupAnswer is the answer: the members of a group, when State is ExpandSuccess.
type GroupAnswer struct {
	State   Expansion
	Members []GroupMember
}

// GroupMember is a user, a group or a contact. Those who cannot be reached here
// have no URI.
type GroupMember struct {
	Kind        string // "User", "Group" or "Contact"
	DisplayName string
	URI         string // "sip:…"
	Mail        string
}

// fields are the elements of a member.
func (m *GroupMember) fields() [4]struct {
	name string
	at   *string
} {
	return [4]struct {
		name string
		at   *string
	}{{"Type", &m.Kind}, {"DisplayName", &m.DisplayName}, {"SipUri", &m.URI}, {"MailAddress", &m.Mail}}
}

// Append writes the envelope. [MS-DLX] has the names down to ResponseStatus; those
// of the elements in Members are ours.
func (a GroupAnswer) Append(b []byte) []byte {
	b = append(b, envelopeOpen+`<QueryDLMemberResponse xmlns="`+nsDLX+`"><QueryDLMemberResult><ResponseStatus>`...)
	b = appendText(b, string(a.State))
	b = append(b, `</ResponseStatus><Members>`...)
	for i := range a.Members {
		b = append(b, `<Member>`...)
		for _, f := range a.Members[i].fields() {
			if *f.at == "" {
				continue
			}
			b = append(append(append(b, '<'), f.name...), '>')
			b = appendText(b, *f.at)
			b = append(append(append(b, "</"...), f.name...), '>')
		}
		b = append(b, `</Member>`...)
	}
	return append(b, `</Members></QueryDLMemberResult></QueryDLMemberResponse>`+envelopeClose...)
}

// ParseGroupAnswer reads the envelope, as a client does.
func ParseGroupAnswer(doc []byte) (GroupAnswer, error) {
	const op = "soap.ParseGroupAnswer"
	var a GroupAnswer
	s := xmlpull.New(doc, maxAnswer)
	walk(s, []string{"QueryDLMemberResponse", "QueryDLMemberResult"}, func(string) {
		for name := range s.Children() {
			switch name {
			case "ResponseStatus":
				a.State = Expansion(s.Text())
			case "Members":
				for range s.Children() {
					a.Members = append(a.Members, readMember(s))
				}
			}
		}
	})
	if err := s.Finish(); err != nil {
		return GroupAnswer{}, fault.Wrap(op, err)
	}
	if a.State == "" {
		return GroupAnswer{}, fault.New(fault.Invalid, op, "the answer has no ResponseStatus")
	}
	return a, nil
}

func readMember(s *xmlpull.Scanner) GroupMember {
	var m GroupMember
	for name := range s.Children() {
		for _, f := range m.fields() {
			if f.name == name {
				*f.at = s.Text()
			}
		}
	}
	return m
}
