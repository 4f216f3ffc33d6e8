package groupstate

import (
	"bytes"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trivet/rule/access"
	"trivet/rule/aggregate"
	"trivet/rule/conference"
	"trivet/uc"
)

var (
	someUsers     = []uc.UserURI{"sip:alice@example.test", "sip:bob@example.test", "sip:carol@example.test"}
	someEndpoints = []uc.EndpointID{"aaaa", "bbbb", "cccc"}
	someServers   = []uc.ServerFQDN{"fe1.example.test", "fe2.example.test"}
)

func stateBody(kind string, availability int) string {
	return `<state xmlns="http://schemas.microsoft.com/2006/09/sip/state" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" manual="true" xsi:type="` +
		kind + `"><availability>` + itoa(availability) + `</availability></state>`
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

// world draws commands that have a chance to succeed.
type world struct {
	t   *rapid.T
	s   *State
	now int64
	seq uint32
}

func (w *world) user() uc.UserURI { return rapid.SampledFrom(someUsers).Draw(w.t, "user") }
func (w *world) endpoint() uc.EndpointID {
	return rapid.SampledFrom(someEndpoints).Draw(w.t, "endpoint")
}
func (w *world) upTo(n int) int { return rapid.IntRange(0, n).Draw(w.t, "n") }

func (w *world) flow() Flow {
	return Flow{Server: rapid.SampledFrom(someServers).Draw(w.t, "server"), Epoch: uint64(w.upTo(2)), Conn: uint64(w.upTo(2)),
		Transport: rapid.SampledFrom([]string{"udp", "tls"}).Draw(w.t, "transport")}
}

func (w *world) draw() Command {
	w.now += int64(w.upTo(3000))
	w.seq++
	makers := []func() Command{
		w.bind, w.bind, w.bind, w.publish, w.publish, w.publish, w.publish, w.setContainers, w.contact, w.contact, w.group,
		w.subscribe, w.subscribe, w.ends, w.rare, w.conference,
	}
	return makers[w.upTo(len(makers)-1)]()
}

func (w *world) rare() Command {
	u := w.user()
	switch w.upTo(8) {
	case 6:
		return w.imported()
	case 0:
		return &DisableUser{User: u, Now: w.now}
	case 1:
		return &RemoveUser{User: u, Now: w.now}
	case 2:
		return &Restarted{Server: someServers[0], Epoch: uint64(w.upTo(3)), Now: w.now, Grace: 20000}
	case 3:
		return &AddPrompt{User: u, Now: w.now, Watcher: w.user(), DisplayName: "W", Type: access.SameEnterprise, Max: uint32(w.upTo(2))}
	case 4:
		return &SetSubscribers{User: u, Now: w.now, Items: []SubscriberChange{{User: w.user(), Acknowledged: rapid.Bool().Draw(w.t, "ack")}}}
	case 5:
		return &RenameUser{User: u, To: rapid.SampledFrom(append([]uc.UserURI{"sip:dave@example.test"}, someUsers...)).Draw(w.t, "to"), Now: w.now}
	}
	return &EnableUser{User: u, Now: w.now, Members: []Membership{{200, access.Member{Type: access.SameEnterprise}}}}
}

// imported brings a user's record, perhaps of another user, back.
func (w *world) imported() Command {
	r := &Record{User: w.user()}
	if u := w.s.User(w.user()); u != nil {
		to := r.User
		r, _ = ReadRecord(u.Record().Export())
		r.User = to
	}
	r.Disabled = rapid.Bool().Draw(w.t, "disabled")
	return &ImportUser{Now: w.now, Record: *r}
}

func (w *world) conference() Command {
	u, id := w.user(), rapid.SampledFrom([]string{"M1", "M2"}).Draw(w.t, "conference")
	listed := []Listed{{User: w.user(), Presenter: rapid.Bool().Draw(w.t, "presenter")}}[:w.upTo(1)]
	switch w.upTo(6) {
	case 0:
		return &ModifyConference{Organizer: u, ID: id, Now: w.now, What: uint32(w.upTo(changeAll)), Subject: "changed", Level: conference.Invited,
			Locked: rapid.Bool().Draw(w.t, "locked"), Expires: w.now + int64(w.upTo(3000)), Listed: listed}
	case 1:
		return &SetConferenceRole{Organizer: u, ID: id, Now: w.now, User: w.user(), Presenter: rapid.Bool().Draw(w.t, "presenter")}
	case 2:
		return &ActivateConference{Organizer: u, ID: id, Now: w.now, Until: w.now + int64(w.upTo(3000))}
	case 3:
		return &DeleteConference{Organizer: u, ID: id, Now: w.now}
	}
	return &AddConference{Organizer: u, Now: w.now, Max: 2, ID: id, Subject: "s", Expires: w.now + int64(w.upTo(3000)), Listed: listed}
}

func (w *world) ends() Command {
	u := w.user()
	switch w.upTo(4) {
	case 0:
		return &Unbind{User: u, Endpoint: w.endpoint(), Now: w.now, Reason: ClientInitiated}
	case 1:
		f := w.flow()
		return &Detach{User: u, Endpoint: w.endpoint(), Server: f.Server, Epoch: f.Epoch, Conn: f.Conn, Now: w.now, Grace: 2000}
	case 2:
		return &Unsubscribe{User: u, ID: uint64(w.upTo(3)), Now: w.now}
	}
	return &Sweep{Now: w.now, Max: uint32(w.upTo(1))}
}

func (w *world) bind() Command {
	n := 1 + w.upTo(1)
	x := &Bind{User: w.user(), Now: w.now, Max: 2, CallID: rapid.SampledFrom([]string{"c1", "c2"}).Draw(w.t, "callid"), CSeq: w.seq, Flow: w.flow(), UserAgent: "agent"}
	for range n {
		x.Contacts = append(x.Contacts, BindContact{Endpoint: w.endpoint(), Contact: "sip:x@host", Lync: true, Methods: "INVITE", Lifetime: int64(w.upTo(3) * 2000)})
	}
	return x
}

func (w *world) publish() Command {
	x := &Publish{User: w.user(), Endpoint: w.endpoint(), Now: w.now}
	u := w.s.User(x.User)
	for range 1 + w.upTo(2) {
		k := PublicationKey{Category: rapid.SampledFrom([]string{"state", "state", "note", "device"}).Draw(w.t, "category"),
			Container: rapid.SampledFrom([]uint32{2, 3, 200}).Draw(w.t, "container"), Instance: uint32(2 + w.upTo(2))}
		it := PublishItem{PublicationKey: k, ExpireType: ExpireType(w.upTo(3)), Lifetime: 3000, Body: "<note/>", Remove: w.upTo(4) == 0}
		if k.Category == "state" {
			it.Body = stateBody(rapid.SampledFrom([]string{"userState", "machineState", "phoneState"}).Draw(w.t, "kind"),
				rapid.SampledFrom([]int{0, 3500, 5000, 6500, 9500, 15500, 18500}).Draw(w.t, "availability"))
		}
		if u != nil {
			if p, _ := u.find(k); p != nil {
				it.Version = p.Version
			}
		}
		if w.upTo(5) == 0 {
			it.Version = uint32(w.upTo(2))
		}
		x.Items = append(x.Items, it)
	}
	return x
}

func (w *world) setContainers() Command {
	x := &SetContainers{User: w.user(), Now: w.now}
	for range 1 + w.upTo(1) {
		id := rapid.SampledFrom([]uint32{0, 100, 200, 32000}).Draw(w.t, "container")
		ch := ContainerChange{ID: id, Version: uint32(w.upTo(3))}
		if u := w.s.User(x.User); u != nil && w.upTo(4) > 0 {
			ch.Version = u.Container(id).Version
		}
		m := rapid.SampledFrom([]access.Member{{Type: access.User, Value: "bob@example.test"}, {Type: access.Domain, Value: "x.test"}, {Type: access.Federated}, {Type: access.User, Value: "nobody"}}).Draw(w.t, "member")
		ch.Members = []MemberChange{{Remove: rapid.Bool().Draw(w.t, "remove"), Member: m}}
		x.Changes = append(x.Changes, ch)
	}
	return x
}

func (w *world) contact() Command {
	u, d := w.user(), uint32(w.upTo(6))
	uri := rapid.SampledFrom([]string{"sip:bob@example.test", "SIP:Carol@example.test", "tel:+1555", "bad"}).Draw(w.t, "uri")
	if w.upTo(2) == 0 {
		return &DeleteContact{User: u, By: w.endpoint(), Now: w.now, Delta: d, URI: uri}
	}
	return &SetContact{User: u, By: w.endpoint(), Now: w.now, Delta: d, Max: 2,
		Contact: Contact{URI: uri, Name: "n", Groups: GroupSet(w.upTo(7)), Subscribed: true}}
}

func (w *world) group() Command {
	u, d, id := w.user(), uint32(w.upTo(6)), uint8(w.upTo(4))
	name := rapid.SampledFrom([]string{"Team", "team", "Pals", "~", ""}).Draw(w.t, "name")
	switch w.upTo(2) {
	case 0:
		return &AddGroup{User: u, Now: w.now, Delta: d, Name: name}
	case 1:
		return &ModifyGroup{User: u, Now: w.now, Delta: d, ID: id, Name: name}
	}
	return &DeleteGroup{User: u, Now: w.now, Delta: d, ID: id}
}

func (w *world) subscribe() Command {
	return &Subscribe{User: w.user(), Endpoint: w.endpoint(), Now: w.now, Lifetime: int64(w.upTo(3) * 2000), Refresh: w.upTo(2) == 0,
		Event: "presence", Flow: w.flow(), Targets: []uc.UserURI{w.user(), w.user()}, Categories: []string{"state", "note"},
		Dialog: Dialog{CallID: rapid.SampledFrom([]string{"s1", "s2"}).Draw(w.t, "callid"), LocalTag: "l", RemoteTag: "r", RemoteCSeq: w.seq}}
}

// reborn is the state after a snapshot and a restore.
func reborn(t *rapid.T, s *State) *State {
	var b bytes.Buffer
	if err := s.Snapshot()(&b); err != nil {
		t.Fatal(err)
	}
	next := New()
	if err := next.Restore(&b); err != nil {
		t.Fatal(err)
	}
	return next
}

func TestAnySequenceOfCommands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, twin := New(), New()
		w := &world{t: t, s: s, now: 1_000_000}
		for i, uri := range someUsers {
			cmd := Encode(&EnableUser{User: uri, Now: int64(i)})
			s.Apply(0, cmd)
			twin.Apply(0, cmd)
		}
		var frozen func() // compares an old snapshot with what it was when taken
		for i := range rapid.IntRange(1, 60).Draw(t, "commands") {
			cmd := w.draw()
			raw := Encode(cmd)
			back, err := Decode(raw)
			if err != nil {
				t.Fatalf("%T: %v", cmd, err)
			}
			if !bytes.Equal(Encode(back), raw) {
				t.Fatalf("%T changes when read and written again", cmd)
			}
			before, hash := versionsOf(s), s.Hash()
			result, events := s.Apply(uint64(i), raw)
			result2, events2 := twin.Apply(uint64(i), raw)
			if diff := cmp.Diff(result2, result, everything); diff != "" {
				t.Fatalf("%T: a replica has another result (-replica +here)\n%s", cmd, diff)
			}
			if diff := cmp.Diff(events2, events, everything); diff != "" {
				t.Fatalf("%T: a replica has other events\n%s", cmd, diff)
			}
			if _, publish := cmd.(*Publish); Refused(result) != nil && !publish && s.Hash() != hash {
				t.Fatalf("%T was refused (%v) and changed the state", cmd, Refused(result))
			}
			if Refused(result) != nil && len(events) > 0 {
				t.Fatalf("%T was refused and has events", cmd)
			}
			compareVersions(t, cmd, before, versionsOf(s))
			consistent(t, s)
			if rapid.IntRange(0, 9).Draw(t, "snapshot") == 0 {
				if frozen != nil {
					frozen()
				}
				frozen = freeze(t, s)
				twin = reborn(t, twin)
			}
		}
		if frozen != nil {
			frozen()
		}
		if s.Hash() != twin.Hash() {
			t.Fatal("the replica that was restored from snapshots differs")
		}
	})
}

// everything compares unexported fields, too, and faults by their text.
var everything = cmp.Options{
	cmp.Exporter(func(reflect.Type) bool { return true }),
	cmp.Comparer(func(a, b error) bool { return a.Error() == b.Error() }),
	cmp.Comparer(func(a, b *Subscription) bool {
		if a == nil || b == nil {
			return a == b
		}
		x, y := codec{version: 1}, codec{version: 1}
		a.fields(&x)
		b.fields(&y)
		return bytes.Equal(x.buf, y.buf)
	}),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

func freeze(t *rapid.T, s *State) func() {
	var then bytes.Buffer
	later := s.Snapshot()
	if err := write(&then, slices.Collect(s.Users())); err != nil {
		t.Fatal(err)
	}
	return func() {
		var now bytes.Buffer
		if err := later(&now); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(then.Bytes(), now.Bytes()) {
			t.Fatal("a snapshot changed after it was taken")
		}
	}
}

// versionsOf collects every version number of the state.
func versionsOf(s *State) map[string]uint32 {
	all := map[string]uint32{}
	for u := range s.Users() {
		name := string(u.URI())
		for _, p := range u.Publications() {
			all[name+" "+p.Category+" "+itoa(int(p.Instance))+" "+itoa(int(p.Container))] = p.Version
		}
		for _, c := range u.Containers() {
			all[name+" container "+itoa(int(c.ID))] = c.Version
		}
		all[name+" contacts"] = u.Contacts().Delta
	}
	return all
}

func compareVersions(t *rapid.T, cmd Command, before, after map[string]uint32) {
	if _, removed := cmd.(*RemoveUser); removed {
		return
	}
	for k, v := range after {
		if v < before[k] {
			t.Fatalf("%T took the version of %s back from %d to %d", cmd, k, before[k], v)
		}
		if v == 0 {
			t.Fatalf("%s has version 0", k)
		}
	}
}

// onePlaceAfterTheOther reads all publications by category and container.
func onePlaceAfterTheOther(u *User) (all []Publication) {
	var last PublicationKey
	for i, p := range u.Publications() {
		if i == 0 || p.Category != last.Category || p.Container != last.Container {
			all = slices.AppendSeq(all, u.Published(p.Category, p.Container))
		}
		last = p.PublicationKey
	}
	return all
}

// consistent checks what must hold at any time.
func consistent(t *rapid.T, s *State) {
	earliest := int64(math.MaxInt64)
	for u := range s.Users() {
		earliest = min(earliest, u.nextExpiry())
		for _, b := range u.Bindings() {
			if i := slices.IndexFunc(u.bindings, func(o Binding) bool { return o.Endpoint == b.Endpoint }); u.bindings[i] != b {
				t.Fatalf("%s has endpoint %s twice", u.URI(), b.Endpoint)
			}
		}
		for _, p := range u.Publications() {
			if p.ExpireType == EndpointBound && u.Binding(p.Endpoint) == nil {
				t.Fatalf("%s has a publication of endpoint %s, which is gone", u.URI(), p.Endpoint)
			}
		}
		if want, got := u.Publications(), onePlaceAfterTheOther(u); !slices.Equal(got, want) {
			t.Fatalf("%s published %v, by places %v", u.URI(), want, got)
		}
		for _, c := range u.Contacts().Contacts {
			if c.Groups == 0 || c.Groups&^u.Contacts().have() != 0 {
				t.Fatalf("contact %s is in groups %v, some of which do not exist", c.URI, c.Groups.IDs())
			}
		}
		if u.Contacts().Group(DefaultGroup) == nil {
			t.Fatal("group 1 is gone")
		}
		aggregateFits(t, u)
	}
	if at, ok := s.NextExpiry(); ok != (earliest != math.MaxInt64) || ok && at != earliest {
		t.Fatalf("next expiry is %d %v, want %d", at, ok, earliest)
	}
}

// aggregateFits computes the aggregate of the user from the texts alone.
func aggregateFits(t *rapid.T, u *User) {
	if u.derived == nil {
		if len(u.bindings) > 0 {
			t.Fatal("a registered user has no computed state")
		}
		return
	}
	inputs := map[uint32][]aggregate.Input{}
	for _, p := range u.Publications("state") {
		if !aggregated(p.PublicationKey) || computed(p.PublicationKey) {
			continue
		}
		in, err := aggregate.ParseState([]byte(p.Body))
		if err != nil {
			t.Fatal(err)
		}
		in.Published, in.Endpoint = p.Published, p.Endpoint
		inputs[p.Container] = append(inputs[p.Container], in)
	}
	if len(inputs[3]) == 0 {
		inputs[3] = inputs[2]
	}
	for container, got := range map[uint32]string{2: u.derived.all.Body, 3: u.derived.workgroup.Body} {
		in := inputs[container]
		if len(u.bindings) == 0 && u.seen > 0 {
			in = append(slices.Clone(in), aggregate.Input{Kind: aggregate.Seen, Availability: aggregate.Unknown, LastActive: u.seen})
		}
		want := string(aggregate.Compute(in, len(u.bindings), int(container)).AppendState(nil))
		if got != want {
			t.Fatalf("%s container %d: computed state is\n%s\nwant\n%s", u.URI(), container, got, want)
		}
	}
}
