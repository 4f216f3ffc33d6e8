package groupstate

import (
	"cmp"
	"slices"

	"trivet/fault"
	"trivet/rule/access"
	"trivet/uc"
)

// Limits of the containers of one user.
const (
	maxContainerID     = access.MaxContainer
	maxContainers      = 64
	maxMembers         = 256 // changes of one command
	MaxContainerMember = 1000
)

// Container is an access level with its members in the order of their arrival.
type Container struct {
	ID      uint32
	Version uint32
	Members []access.Member
}

// SetContainers changes the members of containers, all or none. Versions that are
// not current are refused with *StaleError (index counts containers from 1).
// Result: ContainersResult.
type SetContainers struct {
	User    uc.UserURI
	By      uc.EndpointID
	Now     int64
	Changes []ContainerChange
}

// ContainerChange is the change of one container.
type ContainerChange struct {
	ID      uint32
	Version uint32
	Members []MemberChange
}

// MemberChange adds or removes a member.
type MemberChange struct {
	Remove bool
	Member access.Member
}

// ContainersResult has the changed containers as they are now.
type ContainersResult struct{ Containers []Container }

// ContainersChanged tells that members changed. Containers are the changed ones,
// complete.
type ContainersChanged struct {
	User       uc.UserURI
	By         uc.EndpointID
	Containers []Container
}

func (*SetContainers) number() uint16 { return numSetContainers }

func (x *SetContainers) fields(c *codec) {
	text(c, "user", &x.User, maxURI)
	text(c, "endpoint", &x.By, maxContact)
	c.i64("now", &x.Now)
	list(c, "containers", &x.Changes, maxContainers, (*ContainerChange).fields)
}

func (x *ContainerChange) fields(c *codec) {
	number(c, "container", &x.ID, maxContainerID)
	c.u32("version", &x.Version)
	list(c, "members", &x.Members, maxMembers, (*MemberChange).fields)
}

func (x *MemberChange) fields(c *codec) {
	c.flag("remove", &x.Remove)
	member(&x.Member, c)
}

// member walks a member of rule/access, whose type numbers are in the log.
func member(m *access.Member, c *codec) {
	number(c, "member type", &m.Type, uint64(access.Everyone))
	text(c, "member value", &m.Value, maxURI)
}

func (x *Container) fields(c *codec) {
	number(c, "container", &x.ID, maxContainerID)
	c.u32("version", &x.Version)
	list(c, "members", &x.Members, MaxContainerMember, member)
}

// Containers are the containers that have or had members, sorted by id.
func (u *User) Containers() []Container { return u.access }

// Container returns one container; an unknown one is empty with version 0.
func (u *User) Container(id uint32) Container {
	if i, ok := findContainer(u.access, id); ok {
		return u.access[i]
	}
	return Container{ID: id}
}

func findContainer(in []Container, id uint32) (int, bool) {
	return slices.BinarySearchFunc(in, id, func(c Container, id uint32) int { return cmp.Compare(c.ID, id) })
}

// Grants are the members of all containers as rule/access takes them.
func (u *User) Grants() []access.Grant {
	var all []access.Grant
	for _, c := range u.access {
		for _, m := range c.Members {
			all = append(all, access.Grant{Container: int(c.ID), Member: m})
		}
	}
	return all
}

func (x *SetContainers) apply(t *turn) (any, error) {
	const op = "groupstate.SetContainers"
	e, err := t.active(op, x.User)
	if err != nil {
		return nil, err
	}
	next, changed := slices.Clone(e.user.access), []Container(nil)
	var late []StaleItem
	for i := range x.Changes {
		ch := &x.Changes[i]
		was := e.user.Container(ch.ID)
		if ch.Version != was.Version {
			late = append(late, StaleItem{Index: i + 1, Current: was.Version})
			continue
		}
		if slices.ContainsFunc(x.Changes[:i], func(o ContainerChange) bool { return o.ID == ch.ID }) {
			return nil, fault.Newf(fault.Invalid, op, "container %d occurs twice; name each once", ch.ID).About(string(x.User))
		}
		now, err := ch.on(was)
		if err != nil {
			return nil, err
		}
		if now.Version == was.Version {
			continue
		}
		next = putContainer(next, now)
		changed = append(changed, now)
	}
	if len(late) > 0 {
		return nil, stale(op, x.User, late)
	}
	if err := withinLimits(op, next); err != nil {
		return nil, err.About(string(x.User))
	}
	if len(changed) > 0 {
		t.edit(e).access = next
		t.emit(ContainersChanged{User: x.User, By: x.By, Containers: changed})
	}
	return ContainersResult{changed}, nil
}

func putContainer(in []Container, c Container) []Container {
	i, found := findContainer(in, c.ID)
	if found {
		in[i] = c
		return in
	}
	return slices.Insert(in, i, c)
}

func withinLimits(op string, all []Container) *fault.Error {
	members := 0
	for _, c := range all {
		members += len(c.Members)
	}
	if len(all) > maxContainers || members > MaxContainerMember {
		return fault.Newf(fault.Limit, op, "a user may have %d containers with %d members together; remove some first", maxContainers, MaxContainerMember)
	}
	return nil
}

// on returns the container after the change; its version is raised when members
// really changed.
func (x *ContainerChange) on(c Container) (Container, error) {
	const op = "groupstate.SetContainers"
	members := slices.Clone(c.Members)
	for _, ch := range x.Members {
		m, err := access.ParseMember(ch.Member.Type.String(), ch.Member.Value)
		if err == nil {
			err = access.CheckGrant(access.Grant{Container: int(x.ID), Member: m})
		}
		if err != nil {
			return c, fault.Wrap(op, err)
		}
		at := slices.Index(members, m)
		switch {
		case ch.Remove && at >= 0:
			members = slices.Delete(members, at, at+1)
		case !ch.Remove && at < 0:
			members = append(members, m)
		default:
			continue
		}
		c.Version = max(c.Version, x.Version+1)
	}
	if c.Version == x.Version {
		return c, nil
	}
	c.Members = slices.Clip(members)
	return c, nil
}

// startContainers makes the containers of a new user.
func startContainers(members []Membership) ([]Container, error) {
	var all []Container
	for _, m := range members {
		i, found := findContainer(all, m.Container)
		if !found {
			all = slices.Insert(all, i, Container{ID: m.Container})
		}
		change := ContainerChange{ID: m.Container, Version: all[i].Version, Members: []MemberChange{{Member: m.Member}}}
		next, err := change.on(all[i])
		if err != nil {
			return nil, err
		}
		next.Version = 1
		all[i] = next
	}
	if err := withinLimits("groupstate.EnableUser", all); err != nil {
		return nil, err
	}
	return all, nil
}
