package dirsync

import (
	"context"
	"slices"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/dirsync"
)

// each applies the actions of groups one by one.
func (j *job) each(ctx context.Context, list []dirsync.Action, do func(a *dirsync.Action) error) error {
	for i := range list {
		if err := j.charge(ctx, list[i:i+1]); err != nil {
			return err
		}
		err := do(&list[i])
		switch {
		case err == nil:
			j.applied[list[i].Kind]++
		case fault.Is(err, fault.Unavailable), fault.Is(err, fault.Internal):
			return err
		default:
			j.conflict(list[i], err)
		}
	}
	return nil
}

func (j *job) removeGroups(ctx context.Context, list []dirsync.Action) error {
	return j.each(ctx, list, func(a *dirsync.Action) error { return j.cfg.Users.DeleteGroup(ctx, a.GUID) })
}

func (j *job) updateGroups(ctx context.Context, list []dirsync.Action) error {
	return j.each(ctx, list, func(a *dirsync.Action) error {
		if len(a.Changes) > 0 {
			if _, err := j.cfg.Users.UpdateGroup(ctx, a.GUID, func(g *directory.Group) error {
				g.Mail, g.DisplayName, g.Description = a.Group.Mail, a.Group.DisplayName, a.Group.Description
				g.MailNickname, g.HideFromAddressLists = a.Group.MailNickname, a.Group.HideFromAddressLists
				return nil
			}); err != nil {
				return err
			}
		}
		if !a.MembersChange {
			return nil
		}
		return j.members(ctx, a)
	})
}

// createGroups makes all groups before it fills them: one may be in another.
func (j *job) createGroups(ctx context.Context, list []dirsync.Action) error {
	if err := j.each(ctx, list, func(a *dirsync.Action) error {
		_, err := j.cfg.Users.CreateGroup(ctx, a.Group)
		if err != nil {
			j.absent[a.GUID] = true
		}
		return err
	}); err != nil {
		return err
	}
	for i := range list {
		if j.absent[list[i].GUID] {
			continue
		}
		if err := j.members(ctx, &list[i]); fault.Is(err, fault.Unavailable) {
			return err
		} else if err != nil {
			j.conflict(list[i], err)
		}
	}
	return nil
}

// members sets the members of a group, without those who were refused.
func (j *job) members(ctx context.Context, a *dirsync.Action) error {
	list := slices.DeleteFunc(slices.Clone(a.Members), func(m directory.Member) bool { return j.absent[m.User+m.Group] })
	_, err := j.cfg.Users.SetMembers(ctx, a.GUID, list...)
	return err
}
