package frontend

import (
	"context"
	"errors"
	"sync"
	"time"

	"trivet/fault"
	"trivet/rule/groupstate"
	"trivet/store/users"
	"trivet/uc"
)

// The directory is where users are made, disabled and removed; routing groups
// follow it. A change is on disk in the directory first and is acknowledged when
// the group has carried it out too. What a crash leaves undone between the two is
// made up for at the next start, before anybody can sign in.

// chase is a command that brings a group behind the directory.
type chase struct {
	cmd  groupstate.Command
	drop uc.UserURI    // whose sign-ins end at once, "" for nobody
	done chan struct{} // closed when it has been carried out
}

// follower carries out the commands for one group in the order of the changes, so
// that a user who is removed and made again does not lose what is new.
type follower struct {
	mu   sync.Mutex // guards list
	list []chase    // the first one may be under way
	wake chan struct{}
}

func (f *follower) add(c chase) {
	c.done = make(chan struct{})
	f.mu.Lock()
	f.list = append(f.list, c)
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *follower) first() (chase, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) == 0 {
		return chase{}, false
	}
	return f.list[0], true
}

func (f *follower) finish(c chase) {
	f.mu.Lock()
	f.list[0] = chase{}
	f.list = f.list[1:]
	f.mu.Unlock()
	close(c.done)
}

// last is closed once everything added so far is carried out; nil: it is.
func (f *follower) last() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.list) == 0 {
		return nil
	}
	return f.list[len(f.list)-1].done
}

// follow has the user's routing group carry out cmd soon.
func (s *server) follow(u *users.User, cmd groupstate.Command, drop bool) {
	if u.RoutingGroup == 0 || int(u.RoutingGroup) > len(s.groups.all) {
		return
	}
	c := chase{cmd: cmd}
	if drop {
		c.drop = u.SipAddress
	}
	s.groups.all[u.RoutingGroup-1].behind.add(c)
}

// followers starts the worker of every group.
func (s *server) followers() {
	for _, x := range s.groups.all {
		s.life.Go("follow the directory", func(ctx context.Context) error {
			for {
				for c, ok := x.behind.first(); ok && ctx.Err() == nil; c, ok = x.behind.first() {
					s.chase(ctx, x, c)
				}
				select {
				case <-ctx.Done():
					return nil
				case <-x.behind.wake:
				}
			}
		})
	}
}

// chase repeats a command until it is carried out: what the directory says holds.
func (s *server) chase(ctx context.Context, x *group, c chase) {
	if c.drop != "" {
		s.gate.DropUser(c.drop)
	}
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		led, err := s.chaseElsewhere(ctx, x, c.cmd)
		if led && err == nil {
			err = s.carry(ctx, x, c.cmd)
		}
		if err == nil {
			x.behind.finish(c)
			return
		}
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("a routing group does not follow the directory; trying again", "group", x.id, "err", err)
		tick := s.clock.NewTicker(wait)
		select {
		case <-ctx.Done():
		case <-tick.C():
		}
		tick.Stop()
	}
}

// idle reports whether cmd would do nothing but make the group meet a user: one who
// may sign in is met when first needed, since many are made who never come, and one
// whom the group never met has no sessions to end.
func (x *group) idle(ctx context.Context, cmd groupstate.Command) (bool, error) {
	var user uc.UserURI
	switch c := cmd.(type) {
	case *groupstate.EnableUser:
		user = c.User
	case *groupstate.Unbind:
		user = c.User
	default:
		return false, nil
	}
	unknown := false
	err := x.raft.Inspect(ctx, func() { unknown = x.state.User(user) == nil })
	return unknown, err
}

// carry has a group carry out a command; a user whom it does not know needs none.
func (s *server) carry(ctx context.Context, x *group, cmd groupstate.Command) error {
	if idle, err := x.idle(ctx, cmd); err != nil || idle {
		return err
	}
	_, err := x.propose(ctx, cmd)
	rename, ok := cmd.(*groupstate.RenameUser)
	if ok && fault.Is(err, fault.Exists) {
		err = s.settle(ctx, x, rename)
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if !ok {
		return nil
	}
	note := users.Rename{Old: rename.User, New: rename.To, RoutingGroup: x.id}
	if err := errors.Join(s.renameContacts(ctx, note), s.renameMembers(ctx, note)); err != nil {
		return err
	}
	// Before anybody else gets the former address: the change must not be repeated then.
	err = s.store.Renamed(ctx, note)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// settle renames a user whom the group has met under both addresses, as happens to
// one who is asked for at the very moment of the change. The directory has given
// both to the same person; what is kept is with the elder.
func (s *server) settle(ctx context.Context, x *group, cmd *groupstate.RenameUser) error {
	stray := cmd.To
	if err := x.Read(ctx, func(state *groupstate.State) {
		if was, is := state.User(cmd.User), state.User(cmd.To); was != nil && is != nil && is.Since() < was.Since() {
			stray = cmd.User
		}
	}); err != nil {
		return err
	}
	s.log.Info("a routing group met a user under two addresses while one followed the other", "group", x.id, "removed", stray)
	if _, err := x.propose(ctx, &groupstate.RemoveUser{User: stray, Now: cmd.Now}); err != nil {
		return err
	}
	_, err := x.propose(ctx, cmd)
	return err
}

// followed waits until the groups have carried out all that the directory said
// before. The error says that the change itself holds.
func (s *server) followed(ctx context.Context) error {
	for _, x := range s.groups.all {
		done := x.behind.last()
		if done == nil {
			continue
		}
		select {
		case <-done:
		case <-ctx.Done():
			return fault.New(fault.Timeout, "frontend.followed", "the directory is changed, but the routing group of the user has not followed yet").Because(ctx.Err())
		case <-s.life.Context().Done():
			return fault.New(fault.Unavailable, "frontend.followed", "the directory is changed; the routing group of the user follows when the server is started again")
		}
	}
	return nil
}

// reconcile makes up for changes of the directory that an earlier run did not
// live to pass on. Users whom a group has never met are met when first needed. In a
// pool each group's leader sees to it when it begins to lead.
func (s *server) reconcile(ctx context.Context) error {
	if s.fabric == nil {
		for _, x := range s.groups.all {
			if err := s.agree(ctx, x); err != nil {
				return err
			}
		}
	}
	s.serveFollowed()
	s.followers()
	return nil
}

// agree brings a group behind the directory.
func (s *server) agree(ctx context.Context, x *group) error {
	if err := s.renames(ctx, x); err != nil {
		return err
	}
	var cmds []groupstate.Command
	if err := x.Read(ctx, func(state *groupstate.State) {
		for u := range state.Users() {
			if cmd := s.wanted(x.id, u); cmd != nil {
				cmds = append(cmds, cmd)
			}
		}
	}); err != nil {
		return err
	}
	for _, cmd := range cmds {
		if _, err := x.propose(ctx, cmd); err != nil {
			return err
		}
	}
	if len(cmds) > 0 {
		s.log.Info("a routing group has been brought behind the directory", "group", x.id, "users", len(cmds))
	}
	return nil
}

// renames makes up for changes of addresses, in their order. It comes before what
// else is wanted: a user under a former address is not one to be removed.
func (s *server) renames(ctx context.Context, x *group) error {
	pending, err := s.store.Renames(ctx)
	if err != nil {
		return err
	}
	for _, r := range pending {
		if r.RoutingGroup != x.id {
			continue
		}
		cmd := &groupstate.RenameUser{User: r.Old, To: r.New, Now: s.groups.now()}
		if err := s.carry(ctx, x, cmd); err != nil {
			return err
		}
		s.log.Info("a routing group has followed a change of address", "group", r.RoutingGroup, "from", r.Old, "to", r.New)
	}
	return nil
}

// wanted is what has to be done about a user of a group, nil for nothing.
func (s *server) wanted(id uc.GroupID, have *groupstate.User) groupstate.Command {
	switch u, now := s.people.ByAddress(have.URI()), s.groups.now(); {
	case u == nil || u.RoutingGroup != id:
		return &groupstate.RemoveUser{User: have.URI(), Now: now}
	case u.Enabled && !have.Enabled():
		return &groupstate.EnableUser{User: have.URI(), Now: now}
	case !u.Enabled && have.Enabled():
		return &groupstate.DisableUser{User: have.URI(), Now: now}
	}
	return nil
}

// userChanged follows the directory: who is new, disabled, renamed or gone, and
// whose password changed. Live sessions end with the right to have them. It runs
// inside the change and only starts what has to be done.
func (s *server) userChanged(c users.Change) {
	was, is := uc.UserURI(""), uc.UserURI("")
	if c.Old != nil {
		was = c.Old.SipAddress
	}
	if c.New != nil {
		is = c.New.SipAddress
	}
	if s.groups == nil { // the server is still starting
		return
	}
	renamed := was != "" && is != "" && was != is && c.Old.RoutingGroup == c.New.RoutingGroup
	if renamed {
		s.follow(c.Old, &groupstate.RenameUser{User: was, To: is, Now: s.groups.now()}, true)
	} else if was != "" && was != is {
		s.follow(c.Old, &groupstate.RemoveUser{User: was, Now: s.groups.now()}, true)
	}
	switch {
	case is == "":
	case !c.New.Enabled:
		s.follow(c.New, &groupstate.DisableUser{User: is, Now: s.groups.now()}, true)
	case was != is && !renamed || c.Old == nil || !c.Old.Enabled:
		s.follow(c.New, &groupstate.EnableUser{User: is, Now: s.groups.now()}, false)
	case renamed:
	case c.Password:
		s.follow(c.New, &groupstate.Unbind{User: is, Now: s.groups.now(), Reason: groupstate.AttributesChanged}, true)
	case cardOf(c.Old) != cardOf(c.New):
		s.life.Go("card of a user", func(ctx context.Context) error {
			if x, err := s.groups.of(is); err != nil || !x.knows(ctx, is) {
				return nil // nobody watches whom the group has never met
			}
			if err := s.presence.Refresh(ctx, is); err != nil && ctx.Err() == nil {
				s.log.Debug("watchers do not know of a changed card", "err", err)
			}
			return nil
		})
	}
}
