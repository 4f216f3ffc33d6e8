package cmdlet

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/policy"
)

// ofKinds are the cmdlets of every kind of policy, made from its description.
func ofKinds() []Cmdlet {
	var list []Cmdlet
	for _, k := range policy.Kinds() {
		list = append(list, getPolicy(k), newPolicy(k), setPolicy(k), removePolicy(k))
		if k.Grant != "" {
			list = append(list, grantPolicy(k))
		}
	}
	return list
}

// parametersOf are the parameters of a kind as those of a cmdlet.
func parametersOf(k *policy.Kind, defaults bool) []Param {
	list := make([]Param, 0, len(k.Params))
	for i := range k.Params {
		p := &k.Params[i]
		help := p.Help
		if defaults && p.Default != "" {
			help += "; " + p.Default + " when not given"
		}
		list = append(list, Param{Name: p.Name, Help: help, Values: p.Values, Takes: p.Takes()})
	}
	return list
}

// collector is a parameter struct that takes the parameters of Cmdlet.More.
type collector interface{ collect(name, text string) }

// given are the parameters of a kind as they were typed.
type given struct {
	kind   *policy.Kind
	values policy.Values
}

func (g *given) collect(name, text string) {
	if g.values == nil {
		g.values = policy.Values{}
	}
	g.values[name] = text
}

// policyRow is an instance as it is shown: every parameter with what holds.
type policyRow struct{ policy.Instance }

// MarshalJSON implements json.Marshaler.
func (r policyRow) MarshalJSON() ([]byte, error) {
	b := append([]byte(`{"Identity":`), quoted(r.Identity.String())...)
	for i := range r.Kind.Params {
		p := &r.Kind.Params[i]
		b = append(append(b, ','), quoted(p.Name)...)
		b = append(append(b, ':'), p.JSON(p.Text(r.Values))...)
	}
	changed := "null"
	if !r.Changed.IsZero() {
		changed = strconv.Quote(r.Changed.UTC().Format(time.RFC3339Nano))
	}
	b = append(append(b, `,"WhenChanged":`...), changed...)
	b = append(append(b, `,"ChangedBy":`...), quoted(r.By)...)
	return append(b, '}'), nil
}

func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // a string always can
		return []byte(`""`)
	}
	return b
}

// policyTable is what a table of a kind shows.
func policyTable(k *policy.Kind) []string {
	list := []string{"Identity"}
	for i := range k.Params[:min(len(k.Params), 4)] {
		list = append(list, k.Params[i].Name)
	}
	return list
}

// instance finds an instance of a kind. A site has to be one of the deployment.
func (c *Call) instance(k *policy.Kind, identity string) (policy.Instance, bool, error) {
	id, err := k.ParseIdentity(identity)
	if err != nil {
		return policy.Instance{}, false, wrong("Identity", "%s", strings.TrimPrefix(textOf(err), "Identity "))
	}
	b := c.Deployment.Policies().Book()
	if id.Scope == policy.Site {
		if !strings.EqualFold(id.Name, b.Site()) {
			return policy.Instance{}, false, wrong("Identity", "needs a site of this deployment (%s), not %q", b.Site(), clip(id.Name))
		}
		id.Name = b.Site()
	}
	in, ok := b.Find(k, id)
	if !ok {
		in = policy.Instance{Kind: k, Identity: id}
	}
	return in, ok, nil
}

func textOf(err error) string {
	if f, ok := err.(*fault.Error); ok {
		return f.Text
	}
	return err.Error()
}

// existing is instance that has to be there.
func (c *Call) existing(k *policy.Kind, identity string) (policy.Instance, error) {
	in, ok, err := c.instance(k, identity)
	if err == nil && !ok {
		err = missing(k, in.Identity)
	}
	return in, err
}

func missing(k *policy.Kind, id policy.Identity) error {
	return fault.Newf(fault.NotFound, "cmdlet.policy", "there is no %s %q; New-%s makes one", k.Noun, id, k.Noun).About("Identity")
}

// checked are the given values over those of an instance, with errors as of the
// parameters of a cmdlet.
func checked(k *policy.Kind, old, changes policy.Values) (policy.Values, error) {
	values, err := k.Apply(old, changes)
	if f, ok := err.(*fault.Error); ok && fault.Is(err, fault.Invalid) && strings.HasPrefix(f.Text, f.Subject+" ") {
		return nil, wrong(f.Subject, "%s", strings.TrimPrefix(f.Text, f.Subject+" "))
	}
	return values, err
}

// holders are the users who were granted a tag, by display name.
func (c *Call) holders(ctx context.Context, k *policy.Kind, tag string) ([]directory.User, error) {
	f, err := directory.ParseFilter(k.Grant + ` -eq "` + tag + `"`)
	if err != nil {
		return nil, err
	}
	return c.Deployment.Users().List(ctx, "", f, 0)
}

// GetPolicy shows policies of a kind.
type GetPolicy struct {
	given
	Identity string `param:"pos=1" help:"Global, Site:NAME or, where it can be granted, the name of a tag"`
	Filter   string `help:"Only those whose identity fits, like Tag:*; * and ? stand for any text"`
}

func getPolicy(k *policy.Kind) Cmdlet {
	return Cmdlet{
		Kind: k, Name: "Get-" + k.Noun, Synopsis: "Shows " + k.About + ": each " + k.Noun + " with every value, defaults among them.",
		Example: "Get-" + k.Noun + " Global -As list",
		Roles:   viewers, Table: policyTable(k), New: func() Runner { return &GetPolicy{given: given{kind: k}} },
	}
}

// Run implements Runner.
func (p *GetPolicy) Run(_ context.Context, c *Call) error {
	if p.Identity != "" {
		in, err := c.existing(p.kind, p.Identity)
		if err == nil {
			c.Write(policyRow{in})
		}
		return err
	}
	for _, in := range c.Deployment.Policies().Book().List(p.kind) {
		if p.Filter == "" || directory.Match(p.Filter, in.Identity.String()) {
			c.Write(policyRow{in})
		}
	}
	return nil
}

// NewPolicy makes a policy for a site or a tag.
type NewPolicy struct {
	given
	Identity string `param:"required,pos=1" help:"Site:NAME or, where it can be granted, the name of the new tag"`
}

func newPolicy(k *policy.Kind) Cmdlet {
	example := "New-" + k.Noun + " Site:Main"
	if k.Grant != "" {
		example = "New-" + k.Noun + " Sales"
	}
	return Cmdlet{
		Kind: k, Name: "New-" + k.Noun, Synopsis: "Makes a " + k.Noun + ": " + k.About + ". What is not given has its default.",
		Example: example + firstParameter(k), Changes: true, More: parametersOf(k, true), Table: policyTable(k),
		New: func() Runner { return &NewPolicy{given: given{kind: k}} },
	}
}

// firstParameter is a use of a kind's first parameter that has a default, for
// examples.
func firstParameter(k *policy.Kind) string {
	for i := range k.Params {
		if p := &k.Params[i]; p.Default != "" {
			if p.IsBool() {
				return " -" + p.Name + " $" + p.Default
			}
			return " -" + p.Name + " " + p.Default
		}
	}
	return ""
}

// Run implements Runner.
func (p *NewPolicy) Run(ctx context.Context, c *Call) error {
	in, exists, err := c.instance(p.kind, p.Identity)
	if err != nil {
		return err
	}
	taken := fault.Newf(fault.Exists, "cmdlet.policy", "there is a %s %q already; Set-%s changes it", p.kind.Noun, in.Identity, p.kind.Noun).About("Identity")
	if exists {
		return taken
	}
	values, err := checked(p.kind, nil, p.values)
	if err != nil || !c.ShouldProcess("New-"+p.kind.Noun, in.Identity.String()) {
		return err
	}
	err = c.Deployment.Policies().Change(ctx, c.Caller.Name, p.kind, in.Identity, func(_ policy.Values, exists bool) (policy.Values, error) {
		if exists {
			return nil, taken
		}
		return values, nil
	})
	if err != nil {
		return err
	}
	made, err := c.existing(p.kind, in.Identity.String())
	c.Write(policyRow{made})
	return err
}

// SetPolicy changes a policy.
type SetPolicy struct {
	given
	Identity string `param:"pos=1" default:"Global" help:"Global, Site:NAME or, where it can be granted, the name of a tag"`
}

func setPolicy(k *policy.Kind) Cmdlet {
	return Cmdlet{
		Kind: k, Name: "Set-" + k.Noun, Synopsis: "Changes " + k.About + ". It holds at once; clients are told when they ask for their settings next.",
		Example: "Set-" + k.Noun + firstParameter(k), Changes: true, More: parametersOf(k, false),
		New: func() Runner { return &SetPolicy{given: given{kind: k}} },
	}
}

// Run implements Runner.
func (p *SetPolicy) Run(ctx context.Context, c *Call) error {
	in, err := c.existing(p.kind, p.Identity)
	if err != nil {
		return err
	}
	if len(p.values) == 0 {
		return fault.Newf(fault.Invalid, "cmdlet.policy", "Set-%s needs something to change; see trivet help Set-%s", p.kind.Noun, p.kind.Noun)
	}
	values, err := checked(p.kind, in.Values, p.values)
	if err != nil || !c.ShouldChange("Set-"+p.kind.Noun, in.Identity.String(), changesOf(p.kind, in.Values, values, p.values)) {
		return err
	}
	return c.Deployment.Policies().Change(ctx, c.Caller.Name, p.kind, in.Identity, func(old policy.Values, exists bool) (policy.Values, error) {
		if !exists && in.Identity.Scope != policy.Global {
			return nil, missing(p.kind, in.Identity)
		}
		return checked(p.kind, old, p.values)
	})
}

// RemovePolicy removes a policy, or brings Global back to its defaults.
type RemovePolicy struct {
	given
	Identity string `param:"required,pos=1" help:"Site:NAME or the name of a tag; Global goes back to its defaults"`
}

func removePolicy(k *policy.Kind) Cmdlet {
	synopsis := "Removes a " + k.Noun + "; Global goes back to its defaults."
	if k.Grant != "" {
		synopsis += " One that users were granted needs -Force, which gives them Global."
	}
	return Cmdlet{
		Kind: k, Name: "Remove-" + k.Noun, Synopsis: synopsis, Example: "Remove-" + k.Noun + " Site:Main",
		Changes: true, Asks: true, New: func() Runner { return &RemovePolicy{given: given{kind: k}} },
	}
}

// Run implements Runner.
func (p *RemovePolicy) Run(ctx context.Context, c *Call) error {
	in, err := c.existing(p.kind, p.Identity)
	if err != nil {
		return err
	}
	if free, err := p.release(ctx, c, in.Identity); !free || err != nil || !c.ShouldProcess("Remove-"+p.kind.Noun, in.Identity.String()) {
		return err
	}
	return c.Deployment.Policies().Change(ctx, c.Caller.Name, p.kind, in.Identity, func(policy.Values, bool) (policy.Values, error) { return nil, nil })
}

// maxNamed bounds the users that a refusal names.
const maxNamed = 3

// release takes a tag from the users who have it, with -Force, or says who they
// are; -WhatIf says it as a warning. It reports whether nobody has the tag then.
func (p *RemovePolicy) release(ctx context.Context, c *Call, id policy.Identity) (bool, error) {
	if id.Scope != policy.Tag {
		return true, nil
	}
	users, err := c.holders(ctx, p.kind, id.Name)
	if err != nil || len(users) == 0 {
		return err == nil, err
	}
	switch {
	case c.Force:
	case c.WhatIf:
		c.Warn("%s %q was granted to %s; Remove-%s would refuse without -Force, which gives them Global.", p.kind.Noun, id.Name, named(users), p.kind.Noun)
		return false, nil
	default:
		return false, fault.Newf(fault.Exists, "cmdlet.policy", "%s %q was granted to %s; grant them another one, or give -Force, which gives them Global", p.kind.Noun, id.Name, named(users)).About("Identity")
	}
	at := grantField(p.kind)
	for _, u := range users {
		if !c.ShouldProcess("Grant-"+p.kind.Noun+" $null", label(u)) {
			continue
		}
		_, err := c.Deployment.Users().Update(ctx, u.GUID, func(u *directory.User) error {
			if strings.EqualFold(*at(u), id.Name) {
				*at(u) = ""
			}
			return nil
		})
		if err != nil && !fault.Is(err, fault.NotFound) {
			return false, err
		}
	}
	return true, nil
}

// named are users in a sentence, some of them by name.
func named(users []directory.User) string {
	var names []string
	for _, u := range users[:min(len(users), maxNamed)] {
		names = append(names, label(u))
	}
	switch n := len(users); {
	case n == 1:
		return names[0]
	case n <= maxNamed:
		return fmt.Sprintf("%d users (%s)", n, strings.Join(names, ", "))
	}
	return fmt.Sprintf("%d users (%s, …)", len(users), strings.Join(names, ", "))
}

// grantFields are the properties of a user that name tags.
var grantFields = map[string]func(*directory.User) *string{
	"ClientPolicy":       func(u *directory.User) *string { return &u.ClientPolicy },
	"PresencePolicy":     func(u *directory.User) *string { return &u.PresencePolicy },
	"ConferencingPolicy": func(u *directory.User) *string { return &u.ConferencingPolicy },
}

func grantField(k *policy.Kind) func(*directory.User) *string { return grantFields[k.Grant] }

// GrantPolicy gives a user a tag.
type GrantPolicy struct {
	given
	Identity   string  `param:"required,pos=1" help:"The user"`
	PolicyName *string `param:"required,pos=2" help:"The name of the tag; $null gives the user what holds for the site, or Global"`
	PassThru   bool    `help:"Show the user afterwards"`
}

func grantPolicy(k *policy.Kind) Cmdlet {
	return Cmdlet{
		Kind: k, Name: "Grant-" + k.Noun, Synopsis: "Gives a user a " + k.Noun + " of its own: " + k.About + ".",
		Example: "Grant-" + k.Noun + " alice@example.test Sales",
		Changes: true, Roles: userManagers, Table: userTable, New: func() Runner { return &GrantPolicy{given: given{kind: k}} },
	}
}

// Run implements Runner.
func (p *GrantPolicy) Run(ctx context.Context, c *Call) error {
	u, err := c.subject(ctx, p.Identity)
	if err != nil {
		return err
	}
	tag := ""
	if *p.PolicyName != "" {
		in, ok, err := c.instance(p.kind, *p.PolicyName)
		if err != nil || !ok || in.Identity.Scope != policy.Tag {
			return wrong("PolicyName", "needs the name of a tag, as Get-%s shows it, or $null, not %q", p.kind.Noun, clip(*p.PolicyName))
		}
		tag = in.Identity.Name
	}
	if !c.ShouldProcess("Grant-"+p.kind.Noun+" "+tag, label(u)) {
		return nil
	}
	at := grantField(p.kind)
	if u, err = c.Deployment.Users().Update(ctx, u.GUID, func(u *directory.User) error { *at(u) = tag; return nil }); err != nil {
		return err
	}
	if p.PassThru {
		c.Write(rowOf(u))
	}
	return nil
}
