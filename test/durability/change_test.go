package durability

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

// change is one request and the account as it is once the request is carried out.
type change struct {
	name  string
	req   *sip.Message
	after *account
}

// Where Lync clients publish what a user chose.
const userState = 0x20000000

// The kinds of changes, each as often as it stands here. A kind that has nothing
// to work on returns nil.
var kinds = []func(*client) *change{
	(*client).setContact, (*client).setContact, (*client).setContact, (*client).setContact, (*client).deleteContact,
	(*client).addGroup, (*client).modifyGroup, (*client).deleteGroup,
	(*client).publishNote, (*client).publishNote, (*client).publishState, (*client).publishTimed, (*client).unpublish,
	(*client).setContainers, (*client).setContainers, (*client).bind, (*client).unbind,
	(*client).addMeeting, (*client).modifyMeeting, (*client).deleteMeeting,
}

// change draws the next change of the user.
func (c *client) change() *change {
	c.made++
	for {
		if ch := kinds[c.dice.IntN(len(kinds))](c); ch != nil {
			return ch
		}
	}
}

// operation is a change of the contact list.
func (c *client) operation(op presdoc.ContactOp) *change {
	ch := &change{name: fmt.Sprintf("%s %s%d %s", op.Verb, op.URI, op.GroupID, op.Name), after: c.account.clone()}
	op.DeltaNum = c.account.Delta
	ch.after.Delta++
	ch.req = c.service("application/SOAP+xml", op.Append(nil))
	return ch
}

// setContact adds a contact or changes one: strangers mostly, sometimes another
// client, who is asked about it then.
func (c *client) setContact() *change {
	op := presdoc.ContactOp{Verb: presdoc.SetContact, URI: fmt.Sprintf("sip:friend%02d@elsewhere.test", c.dice.IntN(60)), Name: "Friend " + strconv.Itoa(c.made)}
	if c.dice.IntN(8) == 0 {
		op.URI, op.Subscribed = string(c.others[c.dice.IntN(len(c.others))]), true
	}
	for id := range c.account.Groups {
		if c.dice.IntN(2) == 0 {
			op.Groups = append(op.Groups, id)
		}
	}
	if len(op.Groups) == 0 {
		op.Groups = []uint32{1}
	}
	ch := c.operation(op)
	ch.after.Contacts[op.URI] = contact{op.Name, ids(op.Groups), op.Subscribed}
	return ch
}

func (c *client) deleteContact() *change {
	uri, ok := pick(c, c.account.Contacts)
	if !ok {
		return nil
	}
	ch := c.operation(presdoc.ContactOp{Verb: presdoc.DeleteContact, URI: uri})
	delete(ch.after.Contacts, uri)
	return ch
}

const mostGroups = 9

func (c *client) addGroup() *change {
	if len(c.account.Groups) > mostGroups {
		return nil
	}
	op := presdoc.ContactOp{Verb: presdoc.AddGroup, Name: "Group " + strconv.Itoa(c.made)}
	ch := c.operation(op)
	id := c.account.last
	for taken := true; taken; _, taken = c.account.Groups[id] {
		id = id%64 + 1
	}
	ch.after.Groups[id], ch.after.last = op.Name, id
	return ch
}

// group picks one that can be changed.
func (c *client) group() (uint32, bool) {
	own := maps.Clone(c.account.Groups)
	delete(own, 1)
	return pick(c, own)
}

func (c *client) modifyGroup() *change {
	id, ok := c.group()
	if !ok {
		return nil
	}
	op := presdoc.ContactOp{Verb: presdoc.ModifyGroup, GroupID: id, Name: "Renamed " + strconv.Itoa(c.made)}
	ch := c.operation(op)
	ch.after.Groups[id] = op.Name
	return ch
}

// deleteGroup takes a group out of all contacts too.
func (c *client) deleteGroup() *change {
	id, ok := c.group()
	if !ok {
		return nil
	}
	ch := c.operation(presdoc.ContactOp{Verb: presdoc.DeleteGroup, GroupID: id})
	delete(ch.after.Groups, id)
	gone := ids([]uint32{id})
	for uri, k := range ch.after.Contacts {
		for i := 0; i < len(k.Groups); i += len(gone) {
			if k.Groups[i:i+len(gone)] == gone {
				k.Groups = k.Groups[:i] + k.Groups[i+len(gone):]
				break
			}
		}
		if k.Groups == "" {
			k.Groups = ids([]uint32{1})
		}
		ch.after.Contacts[uri] = k
	}
	return ch
}

// publish is a change of publications, all or none of them.
func (c *client) publish(list ...presdoc.Publication) *change {
	ch := &change{name: fmt.Sprintf("publish %s %d", list[0].Category, list[0].Container), after: c.account.clone()}
	for i := range list {
		p := &list[i]
		at := place{p.Category, p.Container, p.Instance}
		p.Version = c.account.Published[at].Version
		if p.Remove {
			delete(ch.after.Published, at)
		} else {
			ch.after.Published[at] = publication{p.Version + 1, p.ExpireType, p.Body}
		}
	}
	ch.req = c.service(presdoc.TypePublish, presdoc.Publish{URI: string(c.user), Publications: list}.Append(nil))
	return ch
}

// everywhere repeats a publication in several containers.
func everywhere(p presdoc.Publication, containers ...uint32) (list []presdoc.Publication) {
	for _, id := range containers {
		p.Container = id
		list = append(list, p)
	}
	return list
}

func (c *client) publishNote() *change {
	body := fmt.Sprintf(`<note xmlns="http://schemas.microsoft.com/2006/09/sip/note"><body type="personal" uri="">note %d</body></note>`, c.made)
	return c.publish(everywhere(presdoc.Publication{Category: "note", Body: body}, 200, 300, 400)...)
}

func (c *client) publishState() *change {
	body := fmt.Sprintf(`<state xmlns="http://schemas.microsoft.com/2006/09/sip/state" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" manual="true" xsi:type="userState"><availability>%d</availability><endpointLocation/></state>`,
		[]int{3500, 6500, 9500, 12500, 15500}[c.dice.IntN(5)])
	return c.publish(everywhere(presdoc.Publication{Category: "state", Instance: userState, Body: body}, 2, 3)...)
}

// publishTimed publishes something that ends by itself, long after the test.
func (c *client) publishTimed() *change {
	return c.publish(presdoc.Publication{Category: "calendarData", Instance: uint32(c.dice.IntN(6)), Container: 300, ExpireType: presdoc.TimeBound, Expires: 20000,
		Body: fmt.Sprintf(`<calendarData xmlns="http://schemas.microsoft.com/2006/09/sip/calendarData" mailboxID="m%d"/>`, c.made)})
}

// unpublish removes an entry of the calendar, or the note.
func (c *client) unpublish() *change {
	for at := range c.account.Published {
		if at.Category == "calendarData" && c.dice.IntN(2) == 0 {
			return c.publish(presdoc.Publication{Category: at.Category, Instance: at.Instance, Container: at.Container, ExpireType: presdoc.TimeBound, Remove: true})
		}
	}
	if _, ok := c.account.Published[place{"note", 200, 0}]; ok {
		return c.publish(everywhere(presdoc.Publication{Category: "note", Remove: true}, 200, 300, 400)...)
	}
	return nil
}

// setContainers moves somebody to another access level: out of one container and
// into another, both or neither.
func (c *client) setContainers() *change {
	who := fmt.Sprintf("watcher%02d@elsewhere.test", c.dice.IntN(30))
	ch := &change{name: "setContainerMembers " + who, after: c.account.clone()}
	var list []presdoc.Container
	edit := func(id uint32, remove bool) {
		k := c.account.Containers[id]
		list = append(list, presdoc.Container{ID: id, Version: k.Version, Members: []presdoc.Member{{Remove: remove, Type: "user", Value: who}}})
		k.Version++
		if remove {
			k.Members = slices.DeleteFunc(slices.Clone(k.Members), func(m string) bool { return m == who })
		} else {
			k.Members = append(slices.Clone(k.Members), who)
		}
		if len(k.Members) == 0 {
			k.Members = nil
		}
		ch.after.Containers[id] = k
	}
	levels := [...]uint32{200, 300, 400, 32000}
	to := levels[c.dice.IntN(len(levels))]
	for _, id := range levels {
		if slices.Contains(c.account.Containers[id].Members, who) {
			edit(id, true)
			if id == to {
				to = 0
			}
		}
	}
	if to != 0 {
		edit(to, false)
	}
	ch.req = c.service(presdoc.TypeSetContainers, presdoc.AppendSetContainers(nil, list))
	return ch
}

// instance is the name of one of the user's devices.
func instance(n int) string { return fmt.Sprintf("urn:uuid:00000000-0000-4000-8000-%012d", n) }

const devices = 5

// bind registers one of several devices, all of them over the one connection.
func (c *client) bind() *change {
	id, uri, q := instance(c.dice.IntN(devices)), fmt.Sprintf("sip:%s@127.0.0.1:9;gen=%d", c.user.User(), c.made), fmt.Sprintf("0.%03d", 100+c.dice.IntN(800))
	ch := &change{name: "REGISTER " + uri, after: c.account.clone()}
	ch.after.Bound[id] = uri + " " + q
	ch.req = c.register("<" + uri + `>;+sip.instance="<` + id + `>";expires=3600;q=` + q)
	return ch
}

func (c *client) unbind() *change {
	id, ok := pick(c, c.account.Bound)
	if !ok {
		return nil
	}
	ch := &change{name: "REGISTER Expires 0 " + id, after: c.account.clone()}
	delete(ch.after.Bound, id)
	ch.req = c.register(`<sip:` + c.user.User() + `@127.0.0.1:9>;+sip.instance="<` + id + `>";expires=0`)
	return ch
}

// pick draws one of the keys of m.
func pick[K interface{ ~string | ~uint32 }, V any](c *client, m map[K]V) (K, bool) {
	keys := slices.Sorted(maps.Keys(m))
	if len(keys) == 0 {
		var none K
		return none, false
	}
	return keys[c.dice.IntN(len(keys))], true
}
