package addressbook

import (
	"context"
	"strings"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/uc"
	"trivet/wire/soap"
)

// maxExpanding is how many groups are expanded at once.
const maxExpanding = 16

// groupAttributes are the attributes that groups have.
var groupAttributes = map[string]directory.Attribute{
	"displayname": directory.DisplayName, "mail": directory.Mail, "mailnickname": directory.Alias, "msrtcsip-primaryuseraddress": directory.SipAddress,
}

// findGroups finds the groups that a query means. Those of a person's attributes
// that groups lack are held against them.
func (s *Service) findGroups(ctx context.Context, q soap.BookQuery, limit int) ([]directory.Group, error) {
	if s.cfg.Directory == nil || limit <= 0 || isBatch(q.Changes) {
		return nil, nil
	}
	look := directory.Search{Limit: limit}
	if q.Basic != nil {
		look.Terms = []directory.Term{{Attribute: directory.AnyAttribute, Text: q.Basic.Value}}
	}
	for _, c := range q.Changes {
		a, ok := groupAttributes[strings.ToLower(c.SearchOn)]
		if !ok {
			return nil, nil
		}
		look.Terms = append(look.Terms, directory.Term{Attribute: a, Text: c.Value})
	}
	groups, _, err := s.cfg.Directory.SearchGroups(ctx, look)
	return groups, err
}

// distribution is the groupType of a distribution group, [MS-ADTS] 2.2.12: global.
const distribution = "2"

func groupEntry(g *directory.Group, wanted selection) soap.BookEntry {
	var e soap.BookEntry
	for _, a := range []struct{ name, value string }{
		{"displayName", g.DisplayName}, {"msRTCSIP-PrimaryUserAddress", string(g.SipAddress)}, {"mail", g.Mail}, {"mailNickname", g.MailNickname}, {"groupType", distribution},
	} {
		if a.value != "" && wanted.has(a.name) {
			e = append(e, soap.BookAttribute{Name: a.name, Values: []string{a.value}})
		}
	}
	return e
}

// queryMembers answers a QueryDLMember: the direct members of a group, or why they
// are not told.
func (s web) queryMembers(ctx context.Context, user uc.UserURI, e *soap.Envelope) ([]byte, error) {
	mail, err := soap.ParseGroupQuery(e)
	if err != nil {
		return nil, err
	}
	a, err := s.expand(ctx, user, mail)
	if err != nil {
		return nil, err
	}
	return a.Append(nil), nil
}

func (s *Service) expand(ctx context.Context, user uc.UserURI, mail string) (soap.GroupAnswer, error) {
	most := s.cfg.Rights(user).Groups
	if most == 0 {
		return soap.GroupAnswer{State: soap.ExpandNotAuthorized}, nil
	}
	if !s.expanding.TryAcquire(1) {
		return soap.GroupAnswer{State: soap.ExpandBusy}, nil
	}
	defer s.expanding.Release(1)
	x, err := s.cfg.Directory.Expand(ctx, mail, most)
	switch {
	case fault.Is(err, fault.NotFound) || err == nil && x.Group.HideFromAddressLists:
		return soap.GroupAnswer{State: soap.ExpandNotFound}, nil
	case fault.Is(err, fault.Invalid):
		return soap.GroupAnswer{State: soap.ExpandInvalid}, nil
	case err != nil:
		return soap.GroupAnswer{}, err
	case x.Total > most:
		return soap.GroupAnswer{State: soap.ExpandTooLarge}, nil
	}
	a := soap.GroupAnswer{State: soap.ExpandSuccess}
	for _, m := range x.Members {
		if shown, ok := member(m); ok {
			a.Members = append(a.Members, shown)
		}
	}
	return a, nil
}

// member is a member as the answer has it; ok is false for who is hidden.
func member(m directory.Entry) (shown soap.GroupMember, ok bool) {
	switch {
	case m.User != nil:
		return soap.GroupMember{Kind: "User", DisplayName: m.User.DisplayName, URI: sipAddress(m.User), Mail: m.User.WindowsEmailAddress}, !m.User.HideFromAddressLists
	case m.Group != nil:
		return soap.GroupMember{Kind: "Group", DisplayName: m.Group.DisplayName, URI: string(m.Group.SipAddress), Mail: m.Group.Mail}, !m.Group.HideFromAddressLists
	}
	return soap.GroupMember{Kind: "Contact", DisplayName: m.DisplayName, Mail: m.Mail}, true
}
