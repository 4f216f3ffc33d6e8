package cmdlet

import (
	"context"

	"trivet/kit/log"
	"trivet/uc"
	"trivet/wire/sip"
)

// TestPresence has one user publish and another one see it.
type TestPresence struct {
	Target
	PublisherSipAddress  string     `param:"required" help:"The user who publishes"`
	PublisherCredential  log.Secret `help:"user:password, or the password alone; - reads it from standard input"`
	SubscriberSipAddress string     `param:"required" help:"The user who watches"`
	SubscriberCredential log.Secret `help:"user:password, or the password alone; - reads it from standard input"`
}

var testPresence = Cmdlet{
	Name: "Test-CsPresence", Synopsis: "Has one user publish presence and another one subscribe to it and see it.",
	Example: `Test-CsPresence sip.example.test -PublisherSipAddress alice@example.test -SubscriberSipAddress bob@example.test`,
	Local:   true, Table: resultTable, New: func() Runner { return &TestPresence{} },
}

const pidf = "application/pidf+xml"

// Run implements Runner.
func (p *TestPresence) Run(ctx context.Context, c *Call) error {
	return c.witnessed(ctx, p.Target, observation{
		actor: party{"Publisher", p.PublisherSipAddress, p.PublisherCredential}, witness: party{"Subscriber", p.SubscriberSipAddress, p.SubscriberCredential},
		whom: p.PublisherSipAddress,
		sees: func(*sip.Message) bool { return true },
		act: func(ctx context.Context, publisher, watcher client, whom uc.UserURI, mark string) error {
			if _, err := watcher.Subscribe(ctx, whom, pidf); err != nil {
				return err
			}
			document := `<?xml version="1.0" encoding="UTF-8"?>` + "\r\n" + `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="` + escape(string(whom)) + `">` +
				`<tuple id="synthetic"><status><basic>open</basic></status><note>` + mark + `</note></tuple><note>` + mark + `</note></presence>`
			_, err := publisher.Publish(ctx, pidf, document)
			return err
		},
		unseen: "what %s published did not reach the subscriber in time",
	})
}
