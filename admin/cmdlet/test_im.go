package cmdlet

import (
	"context"

	"trivet/kit/log"
	"trivet/uc"
	"trivet/wire/sip"
)

// TestIM has one user send another one a message.
type TestIM struct {
	Target
	SenderSipAddress   string     `param:"required" help:"The user who sends"`
	SenderCredential   log.Secret `help:"user:password, or the password alone; - reads it from standard input"`
	ReceiverSipAddress string     `param:"required" help:"The user who receives"`
	ReceiverCredential log.Secret `help:"user:password, or the password alone; - reads it from standard input"`
}

var testIM = Cmdlet{
	Name: "Test-CsIM", Synopsis: "Has one user send an instant message and another one receive it.",
	Example: `Test-CsIM sip.example.test -SenderSipAddress alice@example.test -ReceiverSipAddress bob@example.test`,
	Local:   true, Table: resultTable, New: func() Runner { return &TestIM{} },
}

// Run implements Runner.
func (p *TestIM) Run(ctx context.Context, c *Call) error {
	return c.witnessed(ctx, p.Target, observation{
		actor: party{"Sender", p.SenderSipAddress, p.SenderCredential}, witness: party{"Receiver", p.ReceiverSipAddress, p.ReceiverCredential},
		whom: p.ReceiverSipAddress,
		sees: func(req *sip.Message) bool { return req.Method == "MESSAGE" },
		act: func(ctx context.Context, sender, _ client, whom uc.UserURI, mark string) error {
			_, err := sender.Message(ctx, whom, mark)
			return err
		},
		unseen: "the server took the message, but %s did not get it in time",
	})
}
