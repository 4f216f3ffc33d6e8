package cmdlet

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"

	"trivet/fault"
	"trivet/kit/log"
	"trivet/rule/directory"
	"trivet/uc"
	"trivet/wire/sip"
)

// observation is a synthetic transaction of two users: one does something with a
// mark in it, the other one has to see the mark.
type observation struct {
	actor, witness party
	whom           string // address of the one whom it is about
	sees           func(req *sip.Message) bool
	act            func(ctx context.Context, actor, witness client, whom uc.UserURI, mark string) error
	unseen         string // what is said of %s, whom, when the mark does not come
}

// party is a user of an observation: the parameters that begin with param.
type party struct {
	param, address string
	credential     log.Secret
}

// witnessed measures an observation.
func (c *Call) witnessed(ctx context.Context, at Target, o observation) error {
	return c.measure(ctx, at, func(ctx context.Context, t target) error {
		mark, err := marker()
		if err != nil {
			return err
		}
		seen := make(chan struct{}, 1)
		witness, err := t.dial(ctx, o.witness, func(req *sip.Message) *sip.Message {
			if o.sees(req) && bytes.Contains(req.Body, []byte(mark)) {
				signal(seen)
			}
			return acknowledge(req)
		})
		if err != nil {
			return err
		}
		defer witness.Close()
		actor, err := t.dial(ctx, o.actor, acknowledge)
		if err != nil {
			return err
		}
		defer actor.Close()
		return o.run(ctx, actor, witness, mark, seen)
	})
}

func (o *observation) run(ctx context.Context, actor, witness client, mark string, seen <-chan struct{}) error {
	whom, err := directory.Address(o.whom)
	if err != nil {
		return err
	}
	for _, c := range []client{witness, actor} {
		if _, err := c.Register(ctx, 600); err != nil {
			return err
		}
		defer c.Register(ctx, 0) // signing out is not what is tested
	}
	if err := o.act(ctx, actor, witness, whom, mark); err != nil {
		return err
	}
	select {
	case <-seen:
		return nil
	case <-ctx.Done():
		return fault.Newf(fault.Timeout, "cmdlet.witnessed", o.unseen, whom).Because(ctx.Err())
	}
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
