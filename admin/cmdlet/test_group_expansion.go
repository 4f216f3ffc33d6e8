package cmdlet

import (
	"context"
	"net/http"

	"trivet/fault"
	"trivet/wire/soap"
)

// TestGroupExpansion asks who is in a distribution group.
type TestGroupExpansion struct {
	WebTarget
	GroupEmailAddress string `param:"required" help:"Mail address of the group"`
}

var testGroupExpansion = Cmdlet{
	Name: "Test-CsGroupExpansion", Synopsis: "Asks who is in a distribution group, as a client would.",
	Example: `Test-CsGroupExpansion sip.example.test -UserSipAddress alice@example.test -GroupEmailAddress sales@example.test`,
	Local:   true, Table: resultTable, New: func() Runner { return &TestGroupExpansion{} },
}

// unexpanded says what a state other than success means.
var unexpanded = map[soap.Expansion]*fault.Error{
	soap.ExpandNotFound:      fault.New(fault.NotFound, "cmdlet.TestGroupExpansion", "there is no group with this mail address"),
	soap.ExpandTooLarge:      fault.New(fault.Limit, "cmdlet.TestGroupExpansion", "the group has more members than MaxGroupSizeToExpand of CsWebServiceConfiguration allows"),
	soap.ExpandNotAuthorized: fault.New(fault.Forbidden, "cmdlet.TestGroupExpansion", "the expansion of groups is switched off; see EnableGroupExpansion of CsWebServiceConfiguration"),
	soap.ExpandBusy:          fault.New(fault.Overload, "cmdlet.TestGroupExpansion", "the server expands too many groups at once; try again"),
	soap.ExpandInvalid:       fault.New(fault.Invalid, "cmdlet.TestGroupExpansion", "the server does not take the mail address of the group for one"),
}

// Run implements Runner.
func (p *TestGroupExpansion) Run(ctx context.Context, c *Call) error {
	return c.measureWeb(ctx, p.WebTarget, bookQueryPath, func(ctx context.Context, u *webUser) error {
		const op = "cmdlet.TestGroupExpansion"
		ticket, err := u.ticket(ctx, bookQueryPath)
		if err != nil {
			return err
		}
		res, err := u.send(ctx, bookQueryPath, security(ticket), soap.AppendGroupQuery(nil, p.GroupEmailAddress),
			func(r *http.Request) { r.Header.Set("SOAPAction", `"`+soap.ActionExpand+`"`) })
		if err != nil {
			return err
		}
		if res.status != http.StatusOK {
			return refusal(op, res)
		}
		a, err := soap.ParseGroupAnswer(res.body)
		if err != nil {
			return fault.Wrap(op, err)
		}
		if a.State != soap.ExpandSuccess {
			if e := unexpanded[a.State]; e != nil {
				return fault.Wrap(op, e)
			}
			return fault.New(fault.Unsupported, op, "the server answered with the unknown state "+clip(string(a.State)))
		}
		return nil
	})
}
