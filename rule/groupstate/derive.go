package groupstate

import (
	"trivet/rule/aggregate"
)

const stateCategory = "state"

// Instances of the states that the server computes, [MS-PRES] 3.8.
const (
	AggregateInstance        = 1
	AggregateMachineInstance = 0x10000000
)

// derived are the computed states of a user who has been signed in. They are kept
// once, though they show in several containers. Replaced as a whole.
type derived struct {
	all       output // aggregateState for 2, 100, 200, 400
	workgroup output // aggregateState for 3, 300
	machine   output // aggregateMachineState for 2, 3
}

// output is one computed state.
type output struct {
	Version   uint32
	Published int64
	Body      string
}

// place is where a computed state shows.
type place struct {
	container, instance uint32
	of                  func(*derived) *output
}

// places are those of all computed states, sorted as publications are.
var places = [...]place{
	{aggregate.ForAll, AggregateInstance, (*derived).forAll},
	{aggregate.ForAll, AggregateMachineInstance, (*derived).forMachine},
	{aggregate.ForWorkgroup, AggregateInstance, (*derived).forWorkgroup},
	{aggregate.ForWorkgroup, AggregateMachineInstance, (*derived).forMachine},
	{100, AggregateInstance, (*derived).forAll},
	{200, AggregateInstance, (*derived).forAll},
	{300, AggregateInstance, (*derived).forWorkgroup},
	{400, AggregateInstance, (*derived).forAll},
}

func (d *derived) forAll() *output       { return &d.all }
func (d *derived) forWorkgroup() *output { return &d.workgroup }
func (d *derived) forMachine() *output   { return &d.machine }

// append appends the computed states as publications.
func (d *derived) append(to []Publication) []Publication {
	for _, p := range places {
		to = append(to, d.at(p))
	}
	return to
}

// at is the computed state that shows at a place.
func (d *derived) at(p place) Publication {
	o := p.of(d)
	return Publication{
		PublicationKey: PublicationKey{stateCategory, p.container, p.instance},
		Version:        o.Version, ExpireType: UserBound, Published: o.Published, Body: o.Body,
	}
}

// computed reports whether only the server may publish the key.
func computed(k PublicationKey) bool {
	if k.Category != stateCategory {
		return false
	}
	return k.Instance == AggregateInstance || k.Instance == AggregateMachineInstance
}

// aggregated reports whether the publication is an input of aggregation.
func aggregated(k PublicationKey) bool {
	return k.Category == stateCategory && (k.Container == aggregate.ForAll || k.Container == aggregate.ForWorkgroup)
}

func (o *output) fields(c *codec) {
	c.u32("version", &o.Version)
	c.i64("published", &o.Published)
	text(c, "body", &o.Body, MaxPublicationBody)
}

func (d *derived) fields(c *codec) {
	d.all.fields(c)
	d.workgroup.fields(c)
	d.machine.fields(c)
}

// derive computes the states of the user again and raises the version of each
// that differs from before. A user who never was there has none.
func (t *turn) derive(e *entry, now int64) {
	u := e.user
	if u.derived == nil && len(u.bindings) == 0 && u.presence == nil {
		return
	}
	next := derived{}
	if u.derived != nil {
		next = *u.derived
	}
	all := aggregate.Compute(u.inputs(aggregate.ForAll), len(u.bindings), aggregate.ForAll)
	group := aggregate.Compute(u.inputs(aggregate.ForWorkgroup), len(u.bindings), aggregate.ForWorkgroup)
	changed := false
	for _, o := range [...]struct {
		out        *output
		body       []byte
		containers []uint32
	}{
		{&next.all, all.AppendState(nil), []uint32{aggregate.ForAll, 100, 200, 400}},
		{&next.workgroup, group.AppendState(nil), []uint32{aggregate.ForWorkgroup, 300}},
		{&next.machine, all.AppendMachineState(nil), []uint32{aggregate.ForAll, aggregate.ForWorkgroup}},
	} {
		if o.out.Body == string(o.body) {
			continue
		}
		changed = true
		*o.out = output{Version: o.out.Version + 1, Published: now, Body: t.words.one(string(o.body))}
		for _, id := range o.containers {
			t.touch(e, "", stateCategory, id)
		}
	}
	if changed {
		t.edit(e).derived = &next
	}
}

// dropDerived forgets the computed states.
func (t *turn) dropDerived(e *entry) {
	if e.user.derived == nil {
		return
	}
	t.edit(e).derived = nil
	for _, p := range places {
		t.touch(e, "", stateCategory, p.container)
	}
}

// inputs collects what counts for an aggregation container. Clients that publish
// into container 2 only count for 3 as well.
func (u *User) inputs(container uint32) []aggregate.Input {
	var in []aggregate.Input
	if u.presence != nil {
		in = u.presence.inputs(container)
		if len(in) == 0 && container == aggregate.ForWorkgroup {
			in = u.presence.inputs(aggregate.ForAll)
		}
	}
	if len(u.bindings) == 0 && u.seen > 0 {
		in = append(in, aggregate.Input{Kind: aggregate.Seen, Availability: aggregate.Unknown, LastActive: u.seen})
	}
	return in
}

func (p *presence) inputs(container uint32) []aggregate.Input {
	var in []aggregate.Input
	for _, q := range p.list {
		if q.input != nil && q.Container == container {
			in = append(in, *q.input)
		}
	}
	return in
}

// reread fills what is not in a snapshot.
func (p *presence) reread() {
	p.bytes = 0
	for _, q := range p.list {
		p.bytes += len(q.Body)
		if !aggregated(q.PublicationKey) {
			continue
		}
		in, err := aggregate.ParseState([]byte(q.Body))
		if err != nil {
			in = aggregate.Input{Availability: aggregate.Unknown}
		}
		in.Published, in.Endpoint = q.Published, q.Endpoint
		q.input = &in
	}
}
