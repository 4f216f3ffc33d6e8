package cmdlet

import (
	"context"
	"slices"
	"strings"
	"time"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/uc"
)

// groupRow is a distribution group as Get-CsDistributionGroup shows it.
type groupRow struct {
	Identity             string
	Mail                 string
	SipAddress           uc.UserURI
	DisplayName          string
	MailNickname         string
	Description          string
	HideFromAddressLists bool
	Source               string
	SourceID             string
	Guid                 string
	WhenCreated          time.Time
	WhenChanged          time.Time
}

var groupTable = []string{"DisplayName", "Mail", "SipAddress", "Description"}

func groupRowOf(g directory.Group) groupRow {
	return groupRow{
		Identity: g.Mail, Mail: g.Mail, SipAddress: g.SipAddress, DisplayName: g.DisplayName, MailNickname: g.MailNickname, Description: g.Description,
		HideFromAddressLists: g.HideFromAddressLists, Source: g.Source, SourceID: g.SourceID, Guid: g.GUID, WhenCreated: g.WhenCreated, WhenChanged: g.WhenChanged,
	}
}

// memberRow is somebody in a group.
type memberRow struct {
	Group       string // mail
	Type        string // "User", "Group", "Contact"
	DisplayName string
	SipAddress  uc.UserURI
	Mail        string
}

func memberRowOf(g directory.Group, e directory.Entry) memberRow {
	switch {
	case e.User != nil:
		return memberRow{g.Mail, "User", e.User.DisplayName, e.User.SipAddress, e.User.WindowsEmailAddress}
	case e.Group != nil:
		return memberRow{g.Mail, "Group", e.Group.DisplayName, e.Group.SipAddress, e.Group.Mail}
	}
	return memberRow{g.Mail, "Contact", e.DisplayName, "", e.Mail}
}

// ownGroup finds the group that a changing cmdlet is about: one that was made
// here. Those of a directory source are changed there.
func (c *Call) ownGroup(ctx context.Context, identity string) (directory.Group, error) {
	g, err := c.Deployment.Groups().FindGroup(ctx, identity)
	if err == nil && g.Source != "" {
		return g, fault.Newf(fault.Forbidden, "cmdlet.ownGroup", "-Identity names a group of the directory source %s; change it there", g.Source).About("Identity")
	}
	return g, err
}

// member reads who is meant: a user, a group, or the mail address of somebody
// outside the deployment, who gets the name.
func (c *Call) member(ctx context.Context, text, name string) (directory.Member, error) {
	u, err := c.Deployment.Users().Find(ctx, text)
	if !fault.Is(err, fault.NotFound) {
		return directory.Member{User: u.GUID}, err
	}
	g, err := c.Deployment.Groups().FindGroup(ctx, text)
	if !fault.Is(err, fault.NotFound) {
		return directory.Member{Group: g.GUID}, err
	}
	a, err := directory.Address(text)
	if err != nil || strings.Contains(text, ":") {
		return directory.Member{}, wrong("Member", "needs users, groups or mail addresses, and %q is none of them", clip(text))
	}
	if slices.ContainsFunc(c.Deployment.Pool().Domains(), func(d string) bool { return strings.EqualFold(d, a.Domain()) }) {
		return directory.Member{}, wrong("Member", "names %q, whom the directory does not have", clip(text))
	}
	return directory.Member{Mail: strings.TrimSpace(text), DisplayName: or(name, strings.TrimSpace(text))}, nil
}

func (c *Call) members(ctx context.Context, texts []string, name string) ([]directory.Member, error) {
	if name != "" && len(texts) != 1 {
		return nil, wrong("DisplayName", "goes with one member")
	}
	list := make([]directory.Member, 0, len(texts))
	for _, text := range texts {
		m, err := c.member(ctx, text, name)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}
