package cmdlet

import (
	"context"

	"trivet/kit/log"
)

// TestRegistration signs a user in and out.
type TestRegistration struct {
	TargetFqdn     string     `param:"pos=1" help:"Server or pool, host or host:port; without it this computer"`
	TargetUri      string     `help:"Instead: sip:host:port;transport=tls|tcp"`
	RegistrarPort  int        `help:"Port; without it 5061"`
	UserSipAddress string     `param:"required" help:"The user to sign in"`
	UserCredential log.Secret `help:"user:password, or the password alone; - reads it from standard input; without it a terminal asks"`
	Authentication string     `default:"Auto" values:"Auto|Ntlm|Digest" help:"How to sign in"`
}

var testRegistration = Cmdlet{
	Name: "Test-CsRegistration", Synopsis: "Signs a user in and out, as a client would.",
	Example: `Test-CsRegistration sip.example.test -UserSipAddress alice@example.test`,
	Local:   true, Table: resultTable, New: func() Runner { return &TestRegistration{} },
}

// Run implements Runner.
func (p *TestRegistration) Run(ctx context.Context, c *Call) error {
	at := Target{p.TargetFqdn, p.TargetUri, p.RegistrarPort, p.Authentication}
	return c.measure(ctx, at, func(ctx context.Context, t target) error {
		user, err := t.dial(ctx, "User", p.UserSipAddress, p.UserCredential, nil)
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
