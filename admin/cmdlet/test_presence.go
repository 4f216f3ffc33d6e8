package cmdlet

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"

	"trivet/fault"
	"trivet/kit/log"
	"trivet/rule/directory"
	"trivet/wire/sip"
)

// TestPresence has one user publish and another one see it.
type TestPresence struct {
	TargetFqdn           string     `param:"pos=1" help:"Server or pool, host or host:port; without it this computer"`
	TargetUri            string     `help:"Instead: sip:host:port;transport=tls|tcp"`
	RegistrarPort        int        `help:"Port; without it 5061"`
	PublisherSipAddress  string     `param:"required" help:"The user who publishes"`
	PublisherCredential  log.Secret `help:"user:password, or the password alone; - reads it from standard input"`
	SubscriberSipAddress string     `param:"required" help:"The user who watches"`
	SubscriberCredential log.Secret `help:"user:password, or the password alone; - reads it from standard input"`
	Authentication       string     `default:"Auto" values:"Auto|Ntlm|Digest" help:"How to sign in"`
}

var testPresence = Cmdlet{
	Name: "Test-CsPresence", Synopsis: "Has one user publish presence and another one subscribe to it and see it.",
	Example: `Test-CsPresence sip.example.test -PublisherSipAddress alice@example.test -SubscriberSipAddress bob@example.test`,
	Local:   true, Table: resultTable, New: func() Runner { return &TestPresence{} },
}

const pidf = "application/pidf+xml"

// Run implements Runner.
func (p *TestPresence) Run(ctx context.Context, c *Call) error {
	at := Target{p.TargetFqdn, p.TargetUri, p.RegistrarPort, p.Authentication}
	return c.measure(ctx, at, func(ctx context.Context, t target) error {
		mark, err := marker()
		if err != nil {
			return err
		}
		seen := make(chan struct{}, 1)
		watcher, err := t.dial(ctx, "Subscriber", p.SubscriberSipAddress, p.SubscriberCredential, func(req *sip.Message) *sip.Message {
			if bytes.Contains(req.Body, []byte(mark)) {
				signal(seen)
			}
			return acknowledge(req)
		})
		if err != nil {
			return err
		}
		defer watcher.Close()
		publisher, err := t.dial(ctx, "Publisher", p.PublisherSipAddress, p.PublisherCredential, acknowledge)
		if err != nil {
			return err
		}
		defer publisher.Close()
		return p.exchange(ctx, watcher, publisher, mark, seen)
	})
}

func (p *TestPresence) exchange(ctx context.Context, watcher, publisher client, mark string, seen <-chan struct{}) error {
	whom, err := directory.Address(p.PublisherSipAddress)
	if err != nil {
		return err
	}
	for _, c := range []client{watcher, publisher} {
		if _, err := c.Register(ctx, 600); err != nil {
			return err
		}
		defer c.Register(ctx, 0) // signing out is not what is tested
	}
	if _, err := watcher.Subscribe(ctx, whom, pidf); err != nil {
		return err
	}
	document := `<?xml version="1.0" encoding="UTF-8"?>` + "\r\n" + `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="` + escape(string(whom)) + `">` +
		`<tuple id="synthetic"><status><basic>open</basic></status><note>` + mark + `</note></tuple><note>` + mark + `</note></presence>`
	if _, err := publisher.Publish(ctx, pidf, document); err != nil {
		return err
	}
	return await(ctx, seen, "what "+string(whom)+" published did not reach the subscriber in time")
}

// marker is a text that nobody has sent before.
func marker() (string, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fault.Wrap("cmdlet.marker", err)
	}
	return "synthetic " + hex.EncodeToString(b[:]), nil
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // already signalled
	}
}

// acknowledge answers what a client has to answer.
func acknowledge(req *sip.Message) *sip.Message {
	if req.Method == "ACK" || req.Method == "BENOTIFY" {
		return nil
	}
	return sip.NewResponse(req, 200, "")
}

func await(ctx context.Context, seen <-chan struct{}, otherwise string) error {
	select {
	case <-seen:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Timeout, "cmdlet.await", otherwise).Because(ctx.Err())
	}
}
