package contacts

import (
	"context"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/sipnotify"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

// subscribe answers a SUBSCRIBE to the own contact list. The list travels in the
// 200 where the client can read it there, else in a NOTIFY behind it.
func (s *Service) subscribe(ctx context.Context, r *sipmux.Request) (*sip.Message, error) {
	if err := sipnotify.Own(r); err != nil {
		return nil, err
	}
	cmd, err := s.cfg.Notifier.Record(r)
	if err != nil {
		return nil, err
	}
	cmd.Format = groupstate.Plain
	sub, ended := (*groupstate.Subscription)(nil), ""
	if cmd.Lifetime > 0 {
		done, err := result[groupstate.SubscribeResult](s.cfg.Groups.Propose(ctx, r.User, cmd))
		if err != nil {
			return nil, err
		}
		sub = done.Subscription
	} else if sub, err = s.end(ctx, cmd); err != nil {
		return nil, err
	} else {
		ended = "timeout"
	}
	body, err := s.read(ctx, r.User)
	if err != nil {
		return nil, err
	}
	seconds := int(cmd.Lifetime / 1000)
	if sub.Benotify && sipnotify.Piggyback(r.Message) {
		return s.cfg.Notifier.Answer(r, seconds, presdoc.TypeContacts, body), nil
	}
	r.Tx.Respond(s.cfg.Notifier.Answer(r, seconds, "", nil))
	s.cfg.Notifier.Notify(r.User, sub, ended, presdoc.TypeContacts, body)
	return nil, nil
}

// end ends the subscription of the dialog. Outside of one the client asks once,
// for a subscription that never was.
func (s *Service) end(ctx context.Context, cmd *groupstate.Subscribe) (*groupstate.Subscription, error) {
	once := &groupstate.Subscription{Endpoint: cmd.Endpoint, Event: cmd.Event, Format: cmd.Format, Benotify: cmd.Benotify, Dialog: cmd.Dialog, Flow: cmd.Flow, Expires: cmd.Now}
	if !cmd.Refresh {
		return once, nil
	}
	off := &groupstate.Unsubscribe{User: cmd.User, Endpoint: cmd.Endpoint, Now: cmd.Now, CallID: cmd.Dialog.CallID, RemoteTag: cmd.Dialog.RemoteTag, Reason: groupstate.ClientInitiated}
	done, err := result[groupstate.SubscribeResult](s.cfg.Groups.Propose(ctx, cmd.User, off))
	if fault.Is(err, fault.Gone) { // it is as the client wishes
		return once, nil
	}
	return done.Subscription, err
}

// read returns the list of a user as a document.
func (s *Service) read(ctx context.Context, user uc.UserURI) (body []byte, err error) {
	var u groupstate.User
	known := false
	err = s.cfg.Groups.Read(ctx, user, func(st *groupstate.State) {
		if v := st.User(user); v != nil {
			u, known = *v, true
		}
	})
	switch {
	case err != nil:
		return nil, err
	case !known:
		return nil, fault.New(fault.NotFound, "contacts.read", "the user is not enabled for SIP on this pool").About(string(user)).Diagnosed(4005)
	}
	return document(&u), nil
}
