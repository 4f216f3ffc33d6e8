package load

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"time"

	"trivet/wire/presdoc"
)

// The publications of an endpoint, each with its own version.
const (
	user2 = iota
	user3
	machine2
	machine3
	note200
	note300
	note400
	device2
	free200
	free300
	free400
	slots
)

// slot says what is published where.
var slot = [slots]struct {
	category  string
	container uint32
	expire    presdoc.ExpireType
}{
	{"state", 2, presdoc.Static}, {"state", 3, presdoc.Static}, {"state", 2, presdoc.EndpointBound}, {"state", 3, presdoc.EndpointBound},
	{"note", 200, presdoc.Static}, {"note", 300, presdoc.Static}, {"note", 400, presdoc.Static}, {"device", 2, presdoc.EndpointBound},
	{"calendarData", 200, presdoc.Static}, {"calendarData", 300, presdoc.Static}, {"calendarData", 400, presdoc.Static},
}

// kinds of publications: which slots they fill. The ref of their pending names one.
const (
	pubFirst  = iota // of the user's first endpoint at its first sign-in
	pubReturn        // at a later one: free/busy is there already
	pubDevice        // of the other endpoints
	pubState         // a change of state
	pubNote          // a change of the note
)

var published = [...][]uint8{
	pubFirst:  {device2, machine2, machine3, user2, user3, note200, note300, note400, free200, free300, free400},
	pubReturn: {device2, machine2, machine3, user2, user3, note200, note300, note400},
	pubDevice: {device2, machine2, machine3},
	pubState:  {machine2, machine3, user2, user3},
	pubNote:   {note200, note300, note400},
}

// instance is the instance number of a slot, by the endpoint's identity.
func (e *endpoint) instanceOf(s uint8) uint32 {
	x, _ := strconv.ParseUint(e.epid[:8], 16, 32)
	switch s {
	case user2, user3:
		return 0x20000000
	case machine2, machine3:
		return uint32(x>>4) | 0x30000000
	case device2:
		return uint32(x)
	case free200, free300, free400:
		y, _ := strconv.ParseUint(epid(e.user.address, 0)[:8], 16, 32)
		return uint32(y>>4) | 0x40000000
	}
	return 0
}

const (
	stateHead = `<state xmlns="http://schemas.microsoft.com/2006/09/sip/state" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" manual="`
	deviceDoc = `<device xmlns="http://schemas.microsoft.com/2006/09/sip/device" endpointId="00000000-0000-5000-8000-000000000000"><capabilities preferred="false" uri="">` +
		`<text capture="true" render="true" publish="false"/><gifInk capture="false" render="true" publish="false"/><isfInk capture="false" render="true" publish="false"/></capabilities>` +
		`<timezone>00:00:00+01:00</timezone><machineName>load</machineName></device>`
)

// freeBusy is two months of quarters of an hour in two bits each, as the client
// writes it: with it a presence document has the 4 KB of the model.
var freeBusy = `<calendarData xmlns="http://schemas.microsoft.com/2006/09/sip/calendarData" mailboxID="load@example.test"><freeBusy startTime="2026-11-01T00:00:00Z" granularity="PT15M" encodingVersion="1">` +
	base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0xA0, 0, 0x0A, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 60)) + `</freeBusy></calendarData>`

// content is what stands in a slot.
func (e *endpoint) content(s uint8, busy bool, due time.Duration) string {
	available := "3500"
	if busy {
		available = "6500"
	}
	switch slot[s].category {
	case "device":
		return deviceDoc
	case "calendarData":
		return freeBusy
	case "note":
		return `<note xmlns="http://schemas.microsoft.com/2006/09/sip/note"><body type="personal" uri="">` + e.run.noteText(e.user, due) + `</body></note>`
	}
	if s == user2 || s == user3 {
		return stateHead + `true" xsi:type="userState"><availability>` + available + `</availability><endpointLocation/></state>`
	}
	return stateHead + `false" xsi:type="machineState"><availability>3500</availability><endpointLocation/></state>`
}

// busyBit, in a ref, says that a publication of state says busy.
const busyBit = 1 << 8

// publish sends a publication of a kind.
func (e *endpoint) publish(p pending) {
	kind, busy := p.ref&^busyBit, p.ref&busyBit != 0
	doc := presdoc.Publish{URI: e.user.address}
	due := p.due
	if kind != pubNote {
		due = 0
	}
	for _, s := range published[kind] {
		doc.Publications = append(doc.Publications, presdoc.Publication{
			Category: slot[s].category, Instance: e.instanceOf(s), Container: slot[s].container, Version: e.vers[s], ExpireType: slot[s].expire, Body: e.content(s, busy, due),
		})
	}
	q := request{method: "SERVICE", uri: e.user.address, to: e.user.address, expires: noExpires, kind: presdoc.TypePublish, body: doc.Append(nil),
		more: "Contact: " + e.ours + "\r\n"}
	e.send(&q, p)
}

// publishFirst publishes what a client does when it has signed in.
func (e *endpoint) publishFirst(after pending) {
	e.run.tally[FirstPublish].planned.Add(1)
	e.steps++
	kind := uint32(pubDevice)
	if e.user.first == e.id {
		if kind = pubFirst; e.vers[free200] > 0 {
			kind = pubReturn
		}
	}
	e.publish(pending{act: FirstPublish, ref: kind, step: true, silent: after.silent, due: e.run.now()})
}

// publishedNow raises the versions of what was published.
func publishedNow(e *endpoint, m *message, p pending) {
	if m.status >= 300 {
		return
	}
	for _, s := range published[p.ref&^busyBit] {
		e.vers[s]++
	}
	if p.ref == pubNote {
		e.run.accepted(e.user, p.due)
	}
	if len(m.body) > 0 {
		e.readCategories(m.body)
	}
}

// outdated repeats a publication whose versions were stale, and reports whether it
// did.
func (e *endpoint) outdated(m *message, p pending) bool {
	if p.act != Publish && p.act != FirstPublish || p.round >= rounds {
		return false
	}
	ops, err := presdoc.ParseWrongDelta(m.body)
	list := published[p.ref&^busyBit]
	if err != nil || len(ops) == 0 {
		return false
	}
	for _, o := range ops {
		if i := int(o.Index) - 1; i >= 0 && i < len(list) {
			e.vers[list[i]] = o.CurVersion
		}
	}
	e.run.count.stale.Add(1)
	p.round++
	e.publish(p)
	return true
}

// readSelf takes the first document about the own presence: versions, access
// levels that have no members yet, people who want to be acknowledged.
func (e *endpoint) readSelf(body []byte) {
	doc, err := presdoc.ParseRoaming(body)
	if err != nil {
		e.run.count.strange.Add(1)
		return
	}
	e.readVersions(doc.Categories)
	e.acknowledge(doc.Subscribers)
	for _, c := range doc.Containers {
		for _, m := range c.Members {
			if m.Type == "sameEnterprise" {
				return
			}
		}
	}
	if e.user.first != e.id {
		return
	}
	q := request{method: "SERVICE", uri: e.user.address, to: e.user.address, expires: noExpires, kind: presdoc.TypeSetContainers, more: "Contact: " + e.ours + "\r\n"}
	q.body = presdoc.AppendSetContainers(nil, []presdoc.Container{
		{ID: 200, Members: []presdoc.Member{{Type: "sameEnterprise"}}}, {ID: 100, Members: []presdoc.Member{{Type: "federated"}}},
	})
	e.run.tally[Containers].planned.Add(1)
	e.send(&q, pending{act: Containers})
}

// readCategories takes a later document about the own presence.
func (e *endpoint) readCategories(body []byte) {
	doc, err := presdoc.ParseRoaming(body)
	if err != nil {
		e.run.count.strange.Add(1)
		return
	}
	e.readVersions(doc.Categories)
	e.acknowledge(doc.Subscribers)
}

// readVersions learns the versions of the categories that a document has; what it
// does not list of them is not there any more.
func (e *endpoint) readVersions(c *presdoc.Categories) {
	if c == nil {
		return
	}
	for _, name := range c.Names {
		e.forget(name)
	}
	for i := range c.List {
		e.forget(c.List[i].Name)
	}
	for i := range c.List {
		k := &c.List[i]
		for s := range slot {
			if slot[s].category == k.Name && slot[s].container == k.Container && e.instanceOf(uint8(s)) == k.Instance {
				e.vers[s] = k.Version
			}
		}
	}
}

func (e *endpoint) forget(category string) {
	for s := range slot {
		if slot[s].category == category {
			e.vers[s] = 0
		}
	}
}

// acknowledge answers for people who added the user.
func (e *endpoint) acknowledge(list []presdoc.Subscriber) {
	var ask []presdoc.Subscriber
	for _, s := range list {
		if !s.Acknowledged {
			ask = append(ask, presdoc.Subscriber{User: s.User, Acknowledged: true})
		}
	}
	if len(ask) == 0 || e.user.first != e.id {
		return
	}
	q := request{method: "SERVICE", uri: e.user.address, to: e.user.address, expires: noExpires, kind: presdoc.TypeSetSubscriber,
		body: presdoc.AppendSetSubscribers(nil, ask), more: "Contact: " + e.ours + "\r\n"}
	e.run.tally[Acknowledge].planned.Add(1)
	e.send(&q, pending{act: Acknowledge})
}
