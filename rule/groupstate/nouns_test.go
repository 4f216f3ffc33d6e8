package groupstate

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"trivet/fault"
	"trivet/rule/access"
	"trivet/rule/aggregate"
	"trivet/uc"
)

const alice, bob = uc.UserURI("sip:alice@example.test"), uc.UserURI("sip:bob@example.test")

// bench is a state with alice and bob and ways to command it.
type bench struct {
	*testing.T
	s      *State
	events []any
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, s: New()}
	must[UserResult](b, &EnableUser{User: alice})
	must[UserResult](b, &EnableUser{User: bob})
	return b
}

func (b *bench) try(cmd Command) any {
	r, events := b.s.Apply(1, Encode(cmd))
	b.events = events
	return r
}

func must[R any](b *bench, cmd Command) R {
	b.Helper()
	r, ok := b.try(cmd).(R)
	if !ok {
		b.Fatalf("%T: %v", cmd, b.try(cmd))
	}
	return r
}

func (b *bench) refuses(kind fault.Kind, cmd Command) error {
	b.Helper()
	hash := b.s.Hash()
	err := Refused(b.try(cmd))
	if !fault.Is(err, kind) {
		b.Errorf("%T: got %v, want a fault of kind %s", cmd, err, kind)
	}
	if _, publish := cmd.(*Publish); !publish && b.s.Hash() != hash {
		b.Errorf("%T was refused and changed the state", cmd)
	}
	return err
}

func event[E any](b *bench) E {
	b.Helper()
	for _, e := range b.events {
		if e, ok := e.(E); ok {
			return e
		}
	}
	var none E
	b.Errorf("no %T among %v", none, b.events)
	return none
}

func bindOf(endpoint uc.EndpointID, seq uint32, now int64) *Bind {
	return &Bind{User: alice, Now: now, Max: 2, CallID: "call-" + string(endpoint), CSeq: seq,
		Flow:     Flow{Server: "fe1", Epoch: 1, Conn: uint64(seq), Transport: "tls"},
		Contacts: []BindContact{{Endpoint: endpoint, Contact: "sip:x", Lifetime: 10_000}}}
}

func availability(b *bench, container uint32) int {
	b.Helper()
	for _, p := range b.s.User(alice).Publications("state") {
		if p.Container == container && p.Instance == AggregateInstance {
			in, err := aggregate.ParseState([]byte(p.Body))
			if err != nil {
				b.Fatal(err)
			}
			return in.Availability
		}
	}
	return -1
}

func TestRegistrationRules(t *testing.T) {
	b := newBench(t)
	if r := must[BindResult](b, bindOf("e1", 1, 1000)); r.Added != 1 || len(r.Bindings) != 1 || r.Bindings[0].Expires != 11_000 {
		t.Errorf("first: %+v", r)
	}
	if e := event[Bound](b); !e.New || len(e.Bindings) != 1 {
		t.Errorf("first: %+v", e)
	}
	b.refuses(fault.Stale, bindOf("e1", 1, 2000))
	if r := must[BindResult](b, bindOf("e1", 2, 2000)); r.Added != 0 || len(r.Replaced) != 1 || r.Replaced[0].Flow.Conn != 1 || r.Bindings[0].Since != 1000 {
		t.Errorf("same endpoint again: %+v", r)
	}
	must[BindResult](b, bindOf("e2", 1, 2000))
	b.refuses(fault.Limit, bindOf("e3", 1, 3000))
	must[BindResult](b, bindOf("e2", 2, 3000)) // a refresh at the limit
	if r := must[BindResult](b, bindOf("e3", 1, 12_500)); len(r.Bindings) != 2 || event[Unbound](b).Ended.Endpoint != "e1" {
		t.Errorf("an expired endpoint makes room: %+v", r)
	}
	b.refuses(fault.Stale, &Unbind{User: alice, Now: 13_000, CallID: "call-e3", CSeq: 1})
	star := must[UnbindResult](b, &Unbind{User: alice, Now: 13_000, Reason: ClientInitiated, CallID: "other", CSeq: 1})
	if len(star.Ended) != 2 || len(star.Bindings) != 0 {
		t.Errorf("Contact *: %+v", star)
	}
	b.refuses(fault.NotFound, &Bind{User: "sip:nobody@example.test", Contacts: bindOf("e1", 1, 1).Contacts})
	b.refuses(fault.Invalid, &Bind{User: alice})
	twice := bindOf("e1", 9, 1)
	twice.Contacts = append(twice.Contacts, twice.Contacts[0])
	b.refuses(fault.Invalid, twice)
}

func TestClientStartedAgainWithinASecond(t *testing.T) {
	b := newBench(t)
	x := bindOf("e1", 1, 1000)
	x.Contacts[0].Lync = true
	must[BindResult](b, x)
	b.refuses(fault.Stale, x)
	sub := &Subscribe{User: alice, Endpoint: "e1", Now: 1000, Lifetime: 5000, Event: "presence", Flow: x.Flow,
		Dialog: Dialog{CallID: "s", LocalTag: "l", RemoteTag: "r", RemoteCSeq: 1}}
	must[SubscribeResult](b, sub)
	b.refuses(fault.Stale, sub)
	x.Flow.Conn, sub.Flow.Conn, sub.Dialog.LocalTag = 2, 2, "l2"
	if r := must[BindResult](b, x); len(r.Replaced) != 1 {
		t.Errorf("same names on another connection: %+v", r)
	}
	if r := must[SubscribeResult](b, sub); !r.New || r.Subscription.Dialog.LocalTag != "l2" {
		t.Errorf("same names on another connection: %+v", r.Subscription)
	}
}

func TestSubscriptionsOfALyncClientThatReconnects(t *testing.T) {
	b := newBench(t)
	bind := func(endpoint uc.EndpointID, lync bool, conn uint32) *Bind {
		x := bindOf(endpoint, conn, 1000)
		x.Contacts[0].Lync = lync
		return x
	}
	subscribe := func(endpoint uc.EndpointID, callID string, flow Flow) {
		must[SubscribeResult](b, &Subscribe{User: alice, Endpoint: endpoint, Now: 1000, Lifetime: 5000, Event: "presence", Flow: flow,
			Dialog: Dialog{CallID: callID, LocalTag: "l", RemoteTag: "r", RemoteCSeq: 1}, Targets: []uc.UserURI{bob}})
	}
	left := func() (ids string) {
		for _, s := range b.s.User(alice).Subscriptions() {
			ids += s.Dialog.CallID
		}
		return ids
	}
	lync, phone := bind("e1", true, 1), bind("e2", false, 1)
	must[BindResult](b, lync)
	must[BindResult](b, phone)
	subscribe("e1", "a", lync.Flow)
	subscribe("e1", "b", lync.Flow)
	subscribe("e2", "c", phone.Flow)
	again := *lync
	again.CSeq = 5
	must[BindResult](b, &again)
	if left() != "abc" {
		t.Errorf("after a refresh on the same connection: %s", left())
	}
	moved := bind("e1", true, 2)
	subscribe("e1", "d", moved.Flow) // faster than its REGISTER
	must[BindResult](b, moved)
	if e := event[SubscriptionChanged](b); e.Change != SubscriptionEnded || e.Subscription.Dialog.CallID != "a" || left() != "cd" {
		t.Errorf("after another connection: %+v, left %s", e, left())
	}
	must[BindResult](b, bind("e2", false, 2))
	if left() != "cd" {
		t.Errorf("a SIP client keeps its subscriptions: left %s", left())
	}
}

func TestSeveralContactsAllOrNone(t *testing.T) {
	b := newBench(t)
	must[BindResult](b, bindOf("e1", 5, 1000))
	x := bindOf("e2", 5, 1000)
	x.CallID, x.Contacts = "call-e1", append(x.Contacts, BindContact{Endpoint: "e1", Lifetime: 0})
	b.refuses(fault.Stale, x)
	x.CSeq = 6
	if r := must[BindResult](b, x); len(r.Removed) != 1 || len(r.Bindings) != 1 || r.Bindings[0].Endpoint != "e2" {
		t.Errorf("one in, one out: %+v", r)
	}
}

func TestLostConnections(t *testing.T) {
	b := newBench(t)
	must[BindResult](b, bindOf("e1", 1, 1000))
	gone := &Detach{User: alice, Endpoint: "e1", Server: "fe1", Epoch: 1, Conn: 99, Now: 2000, Grace: 500}
	if must[DetachResult](b, gone).Detached != 0 {
		t.Error("a connection that is not the endpoint's own detached it")
	}
	gone.Conn = 1
	if must[DetachResult](b, gone).Detached != 1 || !event[Detached](b).Bindings[0].Detached {
		t.Error("the connection was lost and the endpoint not detached")
	}
	if at, ok := b.s.NextExpiry(); !ok || at != 2500 {
		t.Errorf("next expiry %d", at)
	}
	must[BindResult](b, bindOf("e1", 2, 2200)) // it came back
	if u := b.s.User(alice); u.Bindings()[0].Detached || u.Bindings()[0].Expires != 12_200 {
		t.Errorf("after the return: %+v", u.Bindings())
	}
	if must[DetachResult](b, &Restarted{Server: "fe1", Epoch: 1, Now: 3000}).Detached != 0 {
		t.Error("the running epoch was detached")
	}
	if must[DetachResult](b, &Restarted{Server: "fe1", Epoch: 2, Now: 3000, Grace: 100}).Detached != 1 {
		t.Error("an older epoch was not detached")
	}
	if r := must[SweepResult](b, &Sweep{Now: 3100}); r.Users != 1 || event[Unbound](b).Reason != ClientCrashed {
		t.Errorf("sweep: %+v", r)
	}
	if _, ok := b.s.NextExpiry(); ok {
		t.Error("something still expires")
	}
}

func TestDetachedEndpointsGiveWayAtTheLimit(t *testing.T) {
	b := newBench(t)
	lose := func(endpoint uc.EndpointID, now int64) {
		t.Helper()
		r := must[DetachResult](b, &Detach{User: alice, Endpoint: endpoint, Server: "fe1", Epoch: 1, Conn: 1, Now: now, Grace: 1000})
		if r.Detached != 1 {
			t.Fatalf("%s: %+v", endpoint, r)
		}
	}
	must[BindResult](b, bindOf("e1", 1, 1000))
	must[BindResult](b, bindOf("e2", 1, 1000))
	lose("e2", 1100)
	lose("e1", 1200)
	r := must[BindResult](b, bindOf("e3", 1, 1300))
	if e := event[Unbound](b); e.Ended.Endpoint != "e2" || e.Reason != ClientCrashed {
		t.Errorf("gave way: %+v", e)
	}
	if r.Added != 1 || len(r.Bindings) != 2 || r.Bindings[0].Endpoint != "e1" || r.Bindings[1].Endpoint != "e3" {
		t.Errorf("left: %+v", r)
	}
	for seq := range uint32(8) { // a client without an instance that comes over new connections
		id := uc.EndpointID("sip:x:" + strconv.Itoa(int(seq)))
		must[BindResult](b, bindOf(id, 1, 1400))
		lose(id, 1400)
	}
	must[BindResult](b, bindOf("e3", 2, 1500))
	must[BindResult](b, bindOf("e4", 1, 1500))
	b.refuses(fault.Limit, bindOf("e5", 1, 1600)) // both are connected
	lose("e4", 1700)
	two := bindOf("e5", 1, 1800)
	two.Contacts = append(two.Contacts, BindContact{Endpoint: "e6", Contact: "sip:y", Lifetime: 10_000})
	b.refuses(fault.Limit, two) // one that gives way is not enough
	if b.s.User(alice).Binding("e4") == nil {
		t.Error("an endpoint gave way to a registration that was refused")
	}
}

func TestSweepTakesTheLongestOverdueFirst(t *testing.T) {
	b := newBench(t)
	must[BindResult](b, bindOf("e1", 1, 1000))
	other := bindOf("e1", 1, 500)
	other.User = bob
	must[BindResult](b, other)
	if r := must[SweepResult](b, &Sweep{Now: 20_000, Max: 1}); !r.More || event[Unbound](b).User != bob {
		t.Errorf("%+v", r)
	}
	if r := must[SweepResult](b, &Sweep{Now: 20_000, Max: 1}); r.More || event[Unbound](b).Reason != RegistrationExpired {
		t.Errorf("%+v", r)
	}
}

func item(category string, container, version uint32, how ExpireType, body string) PublishItem {
	return PublishItem{PublicationKey: PublicationKey{category, container, 7}, Version: version, ExpireType: how, Lifetime: 1000, Body: body}
}

func publish(by uc.EndpointID, items ...PublishItem) *Publish {
	return &Publish{User: alice, Endpoint: by, Now: 5000, Items: items}
}

func TestVersionsOfPublications(t *testing.T) {
	b := newBench(t)
	must[BindResult](b, bindOf("e1", 1, 1000))
	r := must[PublishResult](b, publish("e1", item("note", 200, 0, Static, "<note/>"), item("note", 300, 0, Static, "<note/>")))
	if len(r.Publications) != 2 || r.Publications[0].Version != 1 || !slices.Equal(r.Categories, []string{"note"}) {
		t.Errorf("first: %+v", r)
	}
	if e := event[PresenceChanged](b); e.By != "e1" || len(e.Changed) != 2 {
		t.Errorf("event: %+v", e)
	}
	must[PublishResult](b, publish("e1", item("note", 300, 1, Static, "<note>2</note>")))
	mixed := publish("e1", item("note", 200, 1, Static, "x"), item("note", 300, 0, Static, "y"), item("mwi", 1, 3, Static, "z"))
	var late *StaleError
	if err := b.refuses(fault.Stale, mixed); !errors.As(err, &late) || !slices.Equal(late.Items, []StaleItem{{2, 2}, {3, 0}}) {
		t.Errorf("stale: %v %+v", err, late)
	}
	if n := len(b.s.User(alice).Publications("mwi")); n != 0 || b.s.User(alice).Publications("note")[0].Version != 1 {
		t.Error("a refused publication changed something")
	}
	again := must[PublishResult](b, mixed) // the client cannot do better: the loop is broken
	if again.Publications[0].Version != 1 || len(again.Publications) != 3 {
		t.Errorf("accepted: %+v", again)
	}
	b.refuses(fault.Stale, publish("e1", item("note", 200, 9, Static, "x")))
	b.refuses(fault.Stale, publish("e1", item("note", 200, 8, Static, "x")))
	must[PublishResult](b, publish("", item("note", 200, AnyVersion, Static, "x")))
	gone := item("note", 200, 3, Static, "")
	gone.Remove = true
	if r := must[PublishResult](b, publish("e1", gone)); len(r.Publications) != 1 || r.Publications[0].Container != 300 {
		t.Errorf("removal: %+v", r)
	}
	must[PublishResult](b, publish("e1", gone)) // gone already
}

func TestPublicationsThatAreRefused(t *testing.T) {
	b := newBench(t)
	b.refuses(fault.Invalid, publish("e1", item("device", 2, 0, EndpointBound, "")))
	b.refuses(fault.Invalid, publish("e1", item("device", 2, 0, UserBound, "")))
	must[BindResult](b, bindOf("e1", 1, 1000))
	b.refuses(fault.Invalid, publish("e1", item("", 2, 0, Static, "")))
	b.refuses(fault.Invalid, publish("e1", item("note", 2, 0, Static, ""), item("note", 2, 0, Static, "")))
	b.refuses(fault.Invalid, publish("e1", item("state", 2, 0, Static, "not a state")))
	b.refuses(fault.Invalid, publish("e1", PublishItem{PublicationKey: PublicationKey{"state", 2, AggregateInstance}, Body: stateBody("aggregateState", 3500)}))
	b.refuses(fault.Invalid, publish("e1", PublishItem{PublicationKey: PublicationKey{"mwi", 1, 1}, ExpireType: TimeBound}))
	large := publish("e1")
	for i := range MaxPublicationBytes/MaxPublicationBody + 1 {
		it := item("x", uint32(i), 0, Static, strings.Repeat("x", MaxPublicationBody))
		large.Items = append(large.Items, it)
	}
	b.refuses(fault.Limit, large)
	for i := 0; i < MaxPublications; i += maxItems {
		many := publish("e1")
		for j := range maxItems {
			many.Items = append(many.Items, item("x"+strconv.Itoa(i+j), 1, 0, Static, "y"))
		}
		must[PublishResult](b, many)
	}
	b.refuses(fault.Limit, publish("e1", item("one more", 1, 0, Static, "y")))
}

func TestAggregation(t *testing.T) {
	b := newBench(t)
	if availability(b, 2) != -1 {
		t.Error("a user who never signed in has a state")
	}
	must[BindResult](b, bindOf("e1", 1, 1000))
	if e := event[PresenceChanged](b); availability(b, 200) != aggregate.Available || len(e.Publications) != len(places) {
		t.Errorf("a telephone without presence: %d, %+v", availability(b, 200), e)
	}
	busy := stateBody("machineState", 15500)
	must[PublishResult](b, publish("e1", item("state", 2, 0, EndpointBound, busy), item("state", 3, 0, EndpointBound, busy)))
	own := item("state", 2, 0, Static, stateBody("userState", 9500))
	own.Instance = 0x20000000
	r := must[PublishResult](b, publish("e1", own))
	if availability(b, 2) != 9500 || availability(b, 400) != 9500 || availability(b, 300) != 15500 {
		t.Errorf("do not disturb: %d %d %d", availability(b, 2), availability(b, 400), availability(b, 300))
	}
	if len(r.Publications) != 3+len(places) {
		t.Errorf("the answer has %d states", len(r.Publications))
	}
	must[UnbindResult](b, &Unbind{User: alice, Endpoint: "e1", Now: 9000, Reason: ClientInitiated})
	left := b.s.User(alice).Publications("state")
	if len(left) != 1+len(places) || availability(b, 200) != aggregate.Offline {
		t.Errorf("after sign-out: %d states, %d", len(left), availability(b, 200))
	}
	before := event[PresenceChanged](b)
	if before.By != "" || !slices.Contains(before.Changed, CategoryChange{"state", 200}) {
		t.Errorf("event: %+v", before)
	}
}

func TestBoundPublicationsEnd(t *testing.T) {
	b := newBench(t)
	must[BindResult](b, bindOf("e1", 1, 1000))
	must[BindResult](b, bindOf("e2", 1, 1000))
	must[PublishResult](b, publish("e1", item("a", 2, 0, EndpointBound, "x"), item("b", 2, 0, UserBound, "x"), item("c", 2, 0, Static, "x"), item("d", 2, 0, TimeBound, "x")))
	must[PublishResult](b, publish("e2", item("e", 2, 0, EndpointBound, "x")))
	must[BindResult](b, bindOf("e1", 2, 2000)) // the same endpoint again
	left := func() (names string) {
		for _, p := range b.s.User(alice).Publications("a", "b", "c", "d", "e") {
			names += p.Category
		}
		return names
	}
	for _, step := range []struct {
		cmd  Command
		want string
	}{
		{&Sweep{Now: 5999}, "abcde"},
		{&Sweep{Now: 6000}, "abce"},
		{&Unbind{User: alice, Endpoint: "e1", Now: 7000}, "bce"},
		{&DisableUser{User: alice, Now: 8000}, "c"},
	} {
		if Refused(b.try(step.cmd)) != nil || left() != step.want {
			t.Errorf("after %T: %s, want %s", step.cmd, left(), step.want)
		}
	}
	b.refuses(fault.Forbidden, bindOf("e1", 9, 9000))
	must[UserResult](b, &EnableUser{User: alice})
	must[BindResult](b, bindOf("e1", 9, 9000))
	must[UserResult](b, &RemoveUser{User: alice})
	if e := event[PresenceChanged](b); len(e.Publications) != 0 || !slices.Contains(e.Categories, "state") || !slices.Contains(e.Categories, "c") {
		t.Errorf("removal: %+v", e)
	}
}

func TestContainers(t *testing.T) {
	b := newBench(t)
	set := func(id, version uint32, remove bool, m access.Member) *SetContainers {
		return &SetContainers{User: alice, Changes: []ContainerChange{{ID: id, Version: version, Members: []MemberChange{{remove, m}}}}}
	}
	eve := access.Member{Type: access.User, Value: "sip:Eve@Example.test"}
	r := must[ContainersResult](b, set(32000, 0, false, eve))
	if len(r.Containers) != 1 || r.Containers[0].Version != 1 || r.Containers[0].Members[0].Value != "eve@example.test" {
		t.Errorf("%+v", r)
	}
	if r := must[ContainersResult](b, set(32000, 1, false, eve)); len(r.Containers) != 0 || len(b.events) != 0 {
		t.Errorf("added twice: %+v", r)
	}
	var late *StaleError
	move := set(32000, 1, true, eve)
	move.Changes = append(move.Changes, ContainerChange{ID: 400, Version: 3, Members: []MemberChange{{false, eve}}})
	if err := b.refuses(fault.Stale, move); !errors.As(err, &late) || !slices.Equal(late.Items, []StaleItem{{2, 0}}) {
		t.Errorf("%v", err)
	}
	move.Changes[1].Version = 0
	if r := must[ContainersResult](b, move); len(r.Containers) != 2 || len(b.s.User(alice).Container(32000).Members) != 0 || b.s.User(alice).Container(32000).Version != 2 {
		t.Errorf("%+v", r)
	}
	b.refuses(fault.Forbidden, set(0, 0, false, eve))
	b.refuses(fault.Forbidden, set(3, 0, false, eve))
	b.refuses(fault.Invalid, set(100, 0, false, access.Member{Type: access.User, Value: "nobody"}))
	b.refuses(fault.Invalid, set(100, 0, false, access.Member{}))
	big := &SetContainers{User: alice}
	for id := range uint32(5) {
		ch := ContainerChange{ID: 500 + id}
		for i := range 250 {
			ch.Members = append(ch.Members, MemberChange{Member: access.Member{Type: access.Domain, Value: strconv.Itoa(i) + ".test"}})
		}
		big.Changes = append(big.Changes, ch)
	}
	b.refuses(fault.Limit, big)
}

func TestPromptedSubscribers(t *testing.T) {
	b := newBench(t)
	ask := func(who uc.UserURI, most uint32) bool {
		return must[PromptResult](b, &AddPrompt{User: alice, Watcher: who, Max: most}).Added
	}
	if ask(bob, 0) || !ask(bob, 1) || ask(bob, 1) || ask("sip:carol@example.test", 1) || ask(alice, 9) {
		t.Error("prompts")
	}
	must[SubscribersResult](b, &SetSubscribers{User: alice, Items: []SubscriberChange{{bob, true}, {"sip:x@example.test", true}}})
	if e := event[SubscribersChanged](b); len(e.Changed) != 1 || !e.Subscribers[0].Acknowledged {
		t.Errorf("%+v", e)
	}
	if !ask("sip:carol@example.test", 1) || len(b.s.User(alice).Subscribers()) != 1 {
		t.Error("an acknowledged one makes room")
	}
	must[ContactsResult](b, &SetContact{User: alice, Max: 9, Contact: Contact{URI: "sip:dave@example.test"}})
	if ask("sip:dave@example.test", 9) {
		t.Error("asked about a contact")
	}
	b.refuses(fault.Invalid, &AddPrompt{User: alice, Watcher: "Bob", Max: 3})
}

func TestContactLists(t *testing.T) {
	b := newBench(t)
	list := func() *ContactList { return b.s.User(alice).Contacts() }
	contact := func(delta uint32, uri string, groups ...uint8) *SetContact {
		return &SetContact{User: alice, Delta: delta, Max: 2, Contact: Contact{URI: uri, Groups: Groups(groups...), Subscribed: true}}
	}
	if list().Delta != 1 || list().Group(1).Name != "~" {
		t.Errorf("at first: %+v", list())
	}
	if r := must[ContactsResult](b, &AddGroup{User: alice, Delta: 1, Name: "Team"}); r.GroupID != 2 || r.Delta != 2 {
		t.Errorf("group: %+v", r)
	}
	must[ContactsResult](b, contact(2, "SIP:Bob@Example.test", 1, 2))
	if e := event[ContactsChanged](b); e.Delta.Prev != 2 || e.Delta.AddedContacts[0].URI != string(bob) {
		t.Errorf("delta: %+v", e)
	}
	must[ContactsResult](b, contact(3, "TEL:+15", 1))
	b.refuses(fault.Invalid, contact(4, "tel:+1 5", 1))
}

func TestContactFaultsAndOldNumbers(t *testing.T) {
	b := newBench(t)
	must[ContactsResult](b, &AddGroup{User: alice, Delta: 1, Name: "Team"})
	must[ContactsResult](b, &AddGroup{User: alice, Delta: 2, Name: "Pals"})
	set := func(delta uint32, uri string, groups ...uint8) *SetContact {
		return &SetContact{User: alice, Delta: delta, Max: 2, Contact: Contact{URI: uri, Groups: Groups(groups...)}}
	}
	must[ContactsResult](b, set(3, "sip:bob@example.test", 2))
	must[ContactsResult](b, set(4, "sip:carol@example.test", 1, 3))
	b.refuses(fault.Limit, set(5, "sip:dave@example.test", 1))
	b.refuses(fault.NotFound, set(5, "sip:bob@example.test", 9))
	b.refuses(fault.NotFound, &DeleteContact{User: alice, Delta: 5, URI: "sip:zed@example.test"})
	b.refuses(fault.NotFound, &DeleteGroup{User: alice, Delta: 5, ID: 9})
	b.refuses(fault.Exists, &AddGroup{User: alice, Delta: 5, Name: "team"})
	b.refuses(fault.Invalid, &AddGroup{User: alice, Delta: 5, Name: "~"})
	b.refuses(fault.Forbidden, &DeleteGroup{User: alice, Delta: 5, ID: 1})
	b.refuses(fault.Forbidden, &ModifyGroup{User: alice, Delta: 5, ID: 1, Name: "x"})
	b.refuses(fault.Exists, &ModifyGroup{User: alice, Delta: 5, ID: 3, Name: "Team"})

	must[ContactsResult](b, &DeleteGroup{User: alice, Delta: 5, ID: 2})
	e := event[ContactsChanged](b)
	if len(e.Delta.ModifiedContacts) != 1 || e.Delta.ModifiedContacts[0].Groups != Groups(1) || !slices.Equal(e.Delta.DeletedGroups, []uint8{2}) {
		t.Errorf("the contact of a removed group: %+v", e.Delta)
	}
	if r := must[ContactsResult](b, set(5, "sip:bob@example.test", 2, 3)); !r.Changed || b.s.User(alice).Contacts().Find(string(bob)).Groups != Groups(3) {
		t.Errorf("an old number with one group left: %+v", r)
	}
	b.refuses(fault.Stale, set(5, "sip:bob@example.test", 2))
	b.refuses(fault.Stale, &ModifyGroup{User: alice, Delta: 5, ID: 2, Name: "Mates"})
	for _, done := range []Command{
		&DeleteGroup{User: alice, Delta: 5, ID: 2},
		&DeleteContact{User: alice, Delta: 5, URI: "sip:zed@example.test"},
		&AddGroup{User: alice, Delta: 5, Name: "pals"},
	} {
		if r := must[ContactsResult](b, done); r.Changed || r.Delta != 7 {
			t.Errorf("%T done already: %+v", done, r)
		}
	}
	if r := must[ContactsResult](b, &AddGroup{User: alice, Delta: 99, Name: "New"}); r.GroupID != 4 || r.Delta != 8 {
		t.Errorf("ids are not used again soon, high numbers are taken: %+v", r)
	}
}

func TestGroupIDsRunOut(t *testing.T) {
	b := newBench(t)
	for i := 2; i <= MaxGroups; i++ {
		if r := must[ContactsResult](b, &AddGroup{User: alice, Delta: 1 << 20, Name: "g" + strconv.Itoa(i)}); int(r.GroupID) != i {
			t.Fatalf("group %d has id %d", i, r.GroupID)
		}
	}
	b.refuses(fault.Limit, &AddGroup{User: alice, Delta: 1 << 20, Name: "more"})
	must[ContactsResult](b, &DeleteGroup{User: alice, Delta: 1 << 20, ID: 17})
	if r := must[ContactsResult](b, &AddGroup{User: alice, Delta: 1 << 20, Name: "more"}); r.GroupID != 17 {
		t.Errorf("the free id is 17, got %d", r.GroupID)
	}
}

func TestSubscriptions(t *testing.T) {
	b := newBench(t)
	must[BindResult](b, bindOf("e1", 1, 1000))
	sub := func(seq uint32, refresh bool) *Subscribe {
		return &Subscribe{User: alice, Endpoint: "e1", Now: 1000, Lifetime: 5000, Event: "presence", Refresh: refresh,
			Dialog:  Dialog{CallID: "s", LocalTag: "l", RemoteTag: "r", RemoteCSeq: seq, RemoteTarget: "sip:old"},
			Targets: []uc.UserURI{bob, alice, bob}, Categories: []string{"state"}}
	}
	b.refuses(fault.Gone, sub(1, true))
	r := must[SubscribeResult](b, sub(1, false))
	if !r.New || r.Subscription.Count() != 2 || !r.Subscription.Watches(bob) || r.Subscription.Watches("sip:x@y") {
		t.Errorf("%+v", r.Subscription)
	}
	b.refuses(fault.Stale, sub(1, true))
	refresh := sub(2, true)
	refresh.Targets, refresh.Categories, refresh.Dialog.RemoteTarget, refresh.Now = nil, nil, "sip:new", 2000
	if r := must[SubscribeResult](b, refresh); r.New || r.Subscription.Count() != 2 || r.Subscription.Dialog.RemoteTarget != "sip:new" || r.Subscription.Expires != 7000 {
		t.Errorf("refresh: %+v", r.Subscription)
	}
	if e := event[SubscriptionChanged](b); e.Change != SubscriptionRefreshed || e.Before.Expires != 6000 {
		t.Errorf("%+v", e)
	}
	wrong := sub(9, false)
	wrong.Targets = []uc.UserURI{"Bob"}
	b.refuses(fault.Invalid, wrong)
	must[UnbindResult](b, &Unbind{User: alice, Endpoint: "e1", Now: 3000, Reason: ClientInitiated})
	if e := event[SubscriptionChanged](b); e.Change != SubscriptionEnded || e.Reason != ClientInitiated || len(b.s.User(alice).Subscriptions()) != 0 {
		t.Errorf("with its endpoint: %+v", e)
	}
	b.refuses(fault.Gone, &Unsubscribe{User: alice, Endpoint: "e1", CallID: "s", RemoteTag: "r"})
	must[SubscribeResult](b, sub(1, false)) // a watcher that never registered
	if r := must[SweepResult](b, &Sweep{Now: 6000}); r.Users != 1 || event[SubscriptionChanged](b).Change != SubscriptionEnded {
		t.Errorf("expiry: %+v", r)
	}
	for i := range MaxSubscriptions {
		x := sub(1, false)
		x.Dialog.CallID = strconv.Itoa(i)
		must[SubscribeResult](b, x)
	}
	b.refuses(fault.Limit, sub(1, false))
}

// TestMemoryOfATelephone is the budget of a plain registered SIP user: 1 KB.
func TestMemoryOfATelephone(t *testing.T) {
	const users = 20_000
	s := New()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range users {
		n := strconv.Itoa(10000 + i)
		uri := uc.UserURI("sip:user" + n + "@example.test")
		s.Apply(1, Encode(&EnableUser{User: uri}))
		contact := "sip:user" + n + "@192.0.2.17:40718;transport=tcp"
		r, _ := s.Apply(1, Encode(&Bind{User: uri, Now: 1, Max: 8, CallID: "3848276298220188511" + n + "@192.0.2.17", CSeq: 1, UserAgent: "Telephone 1.0",
			Flow:     Flow{Server: "fe1.example.test", Epoch: 1, Conn: uint64(i), Transport: "tcp"},
			Contacts: []BindContact{{Endpoint: uc.EndpointID(contact), Contact: contact, Lifetime: 3_600_000, Methods: "INVITE, ACK, BYE, CANCEL, MESSAGE"}}}))
		if Refused(r) != nil {
			t.Fatal(r)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / users
	t.Logf("%d bytes per registered user", each)
	if each > 1024 {
		t.Errorf("a registered user takes %d bytes, allowed are 1024", each)
	}
	runtime.KeepAlive(s)
}

// BenchmarkRestore reads a group of 10,000 users as eight of which a Standard
// Edition with 80,000 has: registered, with states and contacts.
func BenchmarkRestore(b *testing.B) {
	s := New()
	for i := range 10_000 {
		uri := uc.UserURI("sip:user" + strconv.Itoa(i) + "@example.test")
		bind, pub := bindOf("e1", 1, 1), publish("e1", item("state", 2, 0, EndpointBound, stateBody("machineState", 3500)), item("device", 2, 0, EndpointBound, strings.Repeat("x", 800)))
		bind.User, pub.User = uri, uri
		for _, cmd := range []Command{&EnableUser{User: uri}, bind, pub} {
			s.Apply(1, Encode(cmd))
		}
		for j := range 40 {
			s.Apply(1, Encode(&SetContact{User: uri, Delta: 1 << 20, Max: 250, Contact: Contact{URI: "sip:user" + strconv.Itoa(i+j) + "@example.test", Subscribed: true}}))
		}
	}
	var snapshot bytes.Buffer
	if err := s.Snapshot()(&snapshot); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(snapshot.Len()))
	for b.Loop() {
		if err := New().Restore(bytes.NewReader(snapshot.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRefresh(b *testing.B) {
	s := New()
	s.Apply(1, Encode(&EnableUser{User: alice}))
	x := bindOf("e1", 0, 1)
	b.ReportAllocs()
	for b.Loop() {
		x.CSeq++
		x.Now++
		if r, _ := s.Apply(1, Encode(x)); Refused(r) != nil {
			b.Fatal(r)
		}
	}
}

func BenchmarkPublishState(b *testing.B) {
	s := New()
	s.Apply(1, Encode(&EnableUser{User: alice}))
	s.Apply(1, Encode(bindOf("e1", 1, 1)))
	numbers := []int{3500, 5000}
	for i := 0; b.Loop(); i++ {
		body := stateBody("machineState", numbers[i&1])
		if r, _ := s.Apply(1, Encode(publish("e1", item("state", 2, AnyVersion, EndpointBound, body), item("state", 3, AnyVersion, EndpointBound, body)))); Refused(r) != nil {
			b.Fatal(r)
		}
	}
}
