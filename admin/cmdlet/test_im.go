package cmdlet

import (
	"bytes"
	"context"

	"trivet/kit/log"
	"trivet/rule/directory"
	"trivet/wire/sip"
)

// TestIM has one user send another one a message.
type TestIM struct {
	TargetFqdn         string     `param:"pos=1" help:"Server or pool, host or host:port; without it this computer"`
	TargetUri          string     `help:"Instead: sip:host:port;transport=tls|tcp"`
	RegistrarPort      int        `help:"Port; without it 5061"`
	SenderSipAddress   string     `param:"required" help:"The user who sends"`
	SenderCredential   log.Secret `help:"user:password, or the password alone; - reads it from standard input"`
	ReceiverSipAddress string     `param:"required" help:"The user who receives"`
	ReceiverCredential log.Secret `help:"user:password, or the password alone; - reads it from standard input"`
	Authentication     string     `default:"Auto" values:"Auto|Ntlm|Digest" help:"How to sign in"`
}

var testIM = Cmdlet{
	Name: "Test-CsIM", Synopsis: "Has one user send an instant message and another one receive it.",
	Example: `Test-CsIM sip.example.test -SenderSipAddress alice@example.test -ReceiverSipAddress bob@example.test`,
	Local:   true, Table: resultTable, New: func() Runner { return &TestIM{} },
}

// Run implements Runner.
func (p *TestIM) Run(ctx context.Context, c *Call) error {
	at := Target{p.TargetFqdn, p.TargetUri, p.RegistrarPort, p.Authentication}
	return c.measure(ctx, at, func(ctx context.Context, t target) error {
		mark, err := marker()
		if err != nil {
			return err
		}
		seen := make(chan struct{}, 1)
		receiver, err := t.dial(ctx, "Receiver", p.ReceiverSipAddress, p.ReceiverCredential, func(req *sip.Message) *sip.Message {
			if req.Method == "MESSAGE" && bytes.Contains(req.Body, []byte(mark)) {
				signal(seen)
			}
			return acknowledge(req)
		})
		if err != nil {
			return err
		}
		defer receiver.Close()
		sender, err := t.dial(ctx, "Sender", p.SenderSipAddress, p.SenderCredential, acknowledge)
		if err != nil {
			return err
		}
		defer sender.Close()
		return p.exchange(ctx, sender, receiver, mark, seen)
	})
}

func (p *TestIM) exchange(ctx context.Context, sender, receiver client, mark string, seen <-chan struct{}) error {
	whom, err := directory.Address(p.ReceiverSipAddress)
	if err != nil {
		return err
	}
	for _, c := range []client{receiver, sender} {
		if _, err := c.Register(ctx, 600); err != nil {
			return err
		}
		defer c.Register(ctx, 0) // signing out is not what is tested
	}
	if _, err := sender.Message(ctx, whom, mark); err != nil {
		return err
	}
	return await(ctx, seen, "the server took the message, but "+string(whom)+" did not get it in time")
}
