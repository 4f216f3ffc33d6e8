package groupstate

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/rule/access"
	"trivet/uc"
)

const jones = uc.UserURI("sip:alice.jones@example.test")

func TestRenamedUserKeepsWhatIsLasting(t *testing.T) {
	b := newBench(t)
	must[BindResult](b, bindOf("e1", 1, 1000))
	must[ContactsResult](b, &SetContact{User: alice, Now: 1000, Delta: 1, Max: 9, Contact: Contact{URI: string(bob), Name: "Bob", Groups: Groups(1), Subscribed: true}})
	must[ContainersResult](b, &SetContainers{User: alice, Now: 1000, Changes: []ContainerChange{{ID: 32000, Members: []MemberChange{{Member: access.Member{Type: access.Domain, Value: "x.test"}}}}}})
	must[PromptResult](b, &AddPrompt{User: alice, Now: 1000, Watcher: bob, DisplayName: "Bob", Type: access.SameEnterprise, Max: 9})
	must[PublishResult](b, &Publish{User: alice, Endpoint: "e1", Now: 1000, Items: []PublishItem{
		{PublicationKey: PublicationKey{Category: "note", Container: 200}, ExpireType: Static, Body: "<note/>"},
		{PublicationKey: PublicationKey{Category: "device", Container: 2}, ExpireType: EndpointBound, Body: "<device/>"},
		{PublicationKey: PublicationKey{Category: "place", Container: 2}, ExpireType: TimeBound, Lifetime: 60_000, Body: "<place/>"}}})
	must[SubscribeResult](b, &Subscribe{User: alice, Endpoint: "e1", Now: 1000, Lifetime: 60_000, Event: "presence", Targets: []uc.UserURI{bob},
		Dialog: Dialog{CallID: "c", LocalTag: "l", RemoteTag: "r"}})
	was := *b.s.User(alice)

	b.refuses(fault.Exists, &RenameUser{User: alice, To: bob, Now: 2000})
	b.refuses(fault.Exists, &RenameUser{User: alice, To: alice, Now: 2000})
	b.refuses(fault.Invalid, &RenameUser{User: alice, To: "sip:Alice.Jones@example.test", Now: 2000})
	b.refuses(fault.NotFound, &RenameUser{User: jones, To: "sip:x@example.test", Now: 2000})

	r := must[UserResult](b, &RenameUser{User: alice, To: jones, Now: 2000})
	if !r.Changed || len(r.Ended) != 1 || event[Unbound](b).Reason != AttributesChanged || event[Unbound](b).User != alice {
		t.Errorf("result %+v, events %v", r, b.events)
	}
	if e := event[SubscriptionChanged](b); e.User != alice || e.Change != SubscriptionEnded || e.Reason != AttributesChanged {
		t.Errorf("subscription: %+v", e)
	}
	if e := event[UserRenamed](b); e != (UserRenamed{alice, jones}) {
		t.Errorf("renamed: %+v", e)
	}
	told := map[uc.UserURI]int{}
	for _, e := range b.events {
		if e, ok := e.(PresenceChanged); ok {
			told[e.User] = len(e.Publications)
		}
	}
	if n, ok := told[alice]; !ok || n != 0 || told[jones] == 0 {
		t.Errorf("publications told: %v", told)
	}
	is := b.s.User(jones)
	if b.s.User(alice) != nil || is == nil || b.s.Len() != 2 {
		t.Fatal("the user is not where she should be")
	}
	if d := cmp.Diff([]any{was.contacts, was.access, was.prompted, was.since}, []any{is.contacts, is.access, is.prompted, is.since}, everything); d != "" {
		t.Errorf("kept (-before +after):\n%s", d)
	}
	if len(is.Bindings()) != 0 || len(is.Subscriptions()) != 0 || len(is.presence.list) != 1 || is.presence.list[0].Category != "note" {
		t.Errorf("left: %+v", is)
	}
	if _, due := b.s.NextExpiry(); due {
		t.Error("something is still to expire")
	}
	again := New()
	if err := again.Restore(snapshotOf(t, b.s)); err != nil || again.Hash() != b.s.Hash() {
		t.Errorf("restored: %v", err)
	}
	must[UserResult](b, &EnableUser{User: alice, Now: 3000})
	if u := b.s.User(alice); len(u.Contacts().Contacts) != 0 || len(u.Publications()) != 0 {
		t.Error("who gets the former address inherits something")
	}
}

func TestRenamedUserStaysDisabled(t *testing.T) {
	b := newBench(t)
	must[UserResult](b, &DisableUser{User: alice})
	must[UserResult](b, &RenameUser{User: alice, To: jones})
	if b.s.User(jones).Enabled() {
		t.Error("the new address let the user in again")
	}
}
