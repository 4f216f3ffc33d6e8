package cmdlet

import (
	"context"

	"trivet/kit/log"
)

// TestRegistration signs a user in and out.
type TestRegistration struct {
	Target
	UserSipAddress string     `param:"required" help:"The user to sign in"`
	UserCredential log.Secret `help:"user:password, or the password alone; - reads it from standard input; without it a terminal asks"`
}

var testRegistration = Cmdlet{
	Name: "Test-CsRegistration", Synopsis: "Signs a user in and out, as a client would.",
	Example: `Test-CsRegistration sip.example.test -UserSipAddress alice@example.test`,
	Local:   true, Table: resultTable, New: func() Runner { return &TestRegistration{} },
}

// Run implements Runner.
func (p *TestRegistration) Run(ctx context.Context, c *Call) error {
	return c.measure(ctx, p.Target, func(ctx context.Context, t target) error {
		user, err := t.dial(ctx, party{"User", p.UserSipAddress, p.UserCredential}, nil)
		if err != nil {
			return err
		}
		defer user.Close()
		if _, err := user.Register(ctx, 600); err != nil {
			return err
		}
		_, err = user.Register(ctx, 0)
		return err
	})
}
