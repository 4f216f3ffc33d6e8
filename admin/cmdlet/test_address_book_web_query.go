package cmdlet

import (
	"context"
	"net/http"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/wire/soap"
)

// TestAddressBookWebQuery looks somebody up with the address book web query.
type TestAddressBookWebQuery struct {
	WebTarget
	TargetSipAddress string `help:"Whom to look up; without it the user himself"`
}

var testAddressBookWebQuery = Cmdlet{
	Name: "Test-CsAddressBookWebQuery", Synopsis: "Looks somebody up with the address book web query, as a client would.",
	Example: `Test-CsAddressBookWebQuery sip.example.test -UserSipAddress alice@example.test -TargetSipAddress bob@example.test`,
	Local:   true, Table: resultTable, New: func() Runner { return &TestAddressBookWebQuery{} },
}

// Run implements Runner.
func (p *TestAddressBookWebQuery) Run(ctx context.Context, c *Call) error {
	whom, err := directory.Address(or(p.TargetSipAddress, p.UserSipAddress))
	if err != nil {
		return wrong("TargetSipAddress", "needs an address like sip:bob@example.test, not %q", clip(p.TargetSipAddress))
	}
	return c.measureWeb(ctx, p.WebTarget, bookQueryPath, func(ctx context.Context, u *webUser) error {
		const op = "cmdlet.TestAddressBookWebQuery"
		ticket, err := u.ticket(ctx, bookQueryPath)
		if err != nil {
			return err
		}
		q := soap.BookQuery{Changes: []soap.BookTerm{{SearchOn: "msRTCSIP-PrimaryUserAddress", Value: string(whom)}}, Max: 1, Return: []string{"displayName", "msRTCSIP-PrimaryUserAddress"}}
		res, err := u.send(ctx, bookQueryPath, security(ticket), q.Append(nil), func(r *http.Request) { r.Header.Set("SOAPAction", `"`+soap.ActionSearch+`"`) })
		if err != nil {
			return err
		}
		if res.status != http.StatusOK {
			return refusal(op, res)
		}
		found, err := soap.ParseBookAnswer(res.body)
		if err != nil {
			return fault.Wrap(op, err)
		}
		if len(found) == 0 {
			return fault.New(fault.NotFound, op, "the address book does not have "+string(whom))
		}
		return nil
	})
}

// refusal is what a SOAP fault says.
func refusal(op string, res answer) error {
	if e, err := soap.ParseEnvelope(res.body); err == nil {
		if f, ok := soap.ParseFault(e); ok {
			kind := fault.Unavailable
			if res.status == http.StatusForbidden {
				kind = fault.Forbidden
			}
			return fault.New(kind, op, f.Reason)
		}
	}
	return fault.Newf(fault.Unavailable, op, "the server answered %d", res.status)
}
