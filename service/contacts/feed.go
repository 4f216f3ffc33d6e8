package contacts

import (
	"context"

	"trivet/fault"
	"trivet/replica"
	"trivet/rule/access"
	"trivet/rule/groupstate"
	"trivet/uc"
)

// Feed is the durable reader of a routing group's events, which runs at the group's
// primary: it asks those who were added. What it is told twice is the same to them.
func (s *Service) Feed(ctx context.Context, _ uint64, events []any) error {
	for _, e := range events {
		if e, ok := e.(groupstate.ContactsChanged); ok {
			if err := s.ask(ctx, &e); err != nil {
				return err
			}
		}
	}
	return nil
}

var _ replica.FeedFunc = (*Service)(nil).Feed

// ask leaves a note with everybody who was added and is one of ours. A contact
// elsewhere, or one that does not exist, is nobody to ask.
func (s *Service) ask(ctx context.Context, e *groupstate.ContactsChanged) error {
	for _, c := range e.Delta.AddedContacts {
		user, err := uc.ParseUserURI(c.URI)
		if err != nil || !c.Subscribed {
			continue
		}
		most := min(s.cfg.Limits.MaxPromptedSubscribers(user), groupstate.MaxPrompts)
		if most <= 0 {
			continue
		}
		cmd := &groupstate.AddPrompt{User: user, Now: s.cfg.Now().UnixMilli(), Watcher: e.User, DisplayName: s.cfg.Directory.DisplayName(ctx, e.User),
			Type: access.SameEnterprise, Max: uint32(most)}
		_, err = result[groupstate.PromptResult](s.cfg.Groups.Propose(ctx, user, cmd))
		switch fault.KindOf(err) {
		case fault.NotFound, fault.Invalid, fault.Forbidden:
			s.cfg.Log.Debug("a new contact is not asked", "err", err)
		default:
			if err != nil {
				return err
			}
		}
	}
	return nil
}
