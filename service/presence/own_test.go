package presence

import (
	"slices"
	"strings"
	"testing"

	"trivet/rule/groupstate"
	"trivet/test/sipagent"
	"trivet/wire/presdoc"
)

func TestFirstDocumentIsComplete(t *testing.T) {
	e := start(t, Policy{}).endpoint(alice, "e1")
	res := sipagent.Status(t, e.ask("SUBSCRIBE", alice, "s", "", with(lync, "Event: "+eventSelf)...), 200)
	doc := roamingOf(t, res)
	if doc.Containers == nil || doc.Subscribers == nil || doc.Categories == nil {
		t.Fatalf("%s", res.Body)
	}
	if line := find(*doc.Categories, "userProperties"); len(line) != 1 || !strings.Contains(line[0], "tel:+1555;ext=1&amp;2</line>") {
		t.Errorf("%v", line)
	}
	if availability(t, *doc.Categories) < 0 || len(find(*doc.Categories, "state")) != 8 {
		t.Errorf("%s", res.Body)
	}
	for name, want := range map[string]string{"Event": eventSelf, "ms-piggyback-cseq": "1", "Expires": "28800", "subscription-state": "active;expires=28800"} {
		if res.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, res.Get(name), want)
		}
	}
	sipagent.Status(t, e.ask("SUBSCRIBE", alice, "s", "", with(lync, "Event: "+eventSelf)...), 200)
	only := string(presdoc.AppendRoamingRequest(nil, []string{"containers"}))
	part := roamingOf(t, sipagent.Status(t, e.ask("SUBSCRIBE", alice, "s2", only, with(lync, "Event: "+eventSelf)...), 200))
	if part.Categories != nil || part.Subscribers != nil || part.Containers == nil {
		t.Errorf("%+v", part)
	}
	if n := e.subscriptions(alice); n != 2 {
		t.Errorf("%d subscriptions", n)
	}
	poll := sipagent.Status(t, e.ask("SUBSCRIBE", alice, "s3", "", with(lync, "Event: "+eventSelf, "Expires: 0")...), 200)
	if roamingOf(t, poll).Categories == nil || poll.Get("subscription-state") != "terminated;reason=timeout" {
		t.Errorf("%s", poll)
	}
	end := sipagent.Status(t, e.ask("SUBSCRIBE", alice, "s2", "", with(lync, "Event: "+eventSelf, "Expires: 0")...), 200)
	if len(end.Body) != 0 || e.subscriptions(alice) != 1 {
		t.Errorf("%s", end)
	}
	sipagent.Status(t, e.ask("SUBSCRIBE", alice, "s2", "", with(lync, "Event: "+eventSelf, "Expires: 0")...), 481)
	sipagent.Status(t, e.ask("SUBSCRIBE", bob, "s4", "", with(lync, "Event: "+eventSelf)...), 403)
	sipagent.Status(t, e.ask("SUBSCRIBE", alice, "s5", "<x/>", with(lync, "Event: "+eventSelf)...), 400)
}

func TestWatchingOneselfAsAStandardClient(t *testing.T) {
	e := start(t, Policy{}).endpoint(alice, "")
	res := sipagent.Status(t, e.ask("SUBSCRIBE", alice, "s", "", "Event: "+eventSelf, "Expires: 60"), 200)
	if m := e.notified(); len(res.Body) != 0 || m.Method != "NOTIFY" || roamingOf(t, m).Containers == nil || !strings.HasPrefix(m.Get("Subscription-State"), "active;expires=") {
		t.Errorf("%s", m)
	}
	sipagent.Status(t, e.ask("SUBSCRIBE", alice, "s", "", "Event: "+eventSelf, "Expires: 0"), 200)
	if m := e.notified(); m.Get("Subscription-State") != "terminated;reason=timeout" {
		t.Errorf("%s", m)
	}
}

func TestPublishing(t *testing.T) {
	s := start(t, Policy{})
	one, two := s.endpoint(alice, "e1"), s.endpoint(alice, "e2")
	one.self()
	two.self()
	first := roamingOf(t, sipagent.Status(t, one.publish(append(userState(6500, 0), noteIn(200, 0, "hi"))...), 200))
	if len(first.Categories.List) != 11 || first.Containers != nil || first.Subscribers != nil || !slices.Equal(first.Categories.Names, []string{"note", "state"}) {
		t.Errorf("%+v", first.Categories)
	}
	told := roamingOf(t, two.notified())
	if len(told.Categories.List) != 11 || told.Containers != nil {
		t.Errorf("%+v", told.Categories)
	}
	for _, c := range told.Categories.List {
		if c.Instance == 0x20000000 && (c.Version != 1 || c.PublishTime == 0 || c.ExpireType != presdoc.Static) {
			t.Errorf("%+v", c)
		}
	}
	one.quiet()

	// Only the note changes: only it is mentioned, and all of it.
	sipagent.Status(t, one.publish(noteIn(300, 0, "hello")), 200)
	if note := roamingOf(t, two.notified()); len(note.Categories.List) != 2 || len(find(*note.Categories, "note")) != 2 {
		t.Errorf("%+v", note.Categories)
	}
	// Stale: every stale item is told, nothing changes, nobody hears of it.
	bad := append(userState(9500, 7), noteIn(200, 1, "not stored"), noteIn(400, 3, "x"))
	ops, err := presdoc.ParseWrongDelta(sipagent.Status(t, one.publish(bad...), 409).Body)
	if want := []presdoc.StaleOp{{Index: 1, CurVersion: 1}, {Index: 2, CurVersion: 1}, {Index: 4, CurVersion: 0}}; err != nil || !slices.Equal(ops, want) {
		t.Errorf("%v %v", err, ops)
	}
	two.quiet()
	if note := one.self(); strings.Contains(strings.Join(find(*note.Categories, "note"), ""), "not stored") {
		t.Error("a stale request changed something")
	}
	sipagent.Status(t, one.publish(bad...), 200) // the loop of a client that does not learn is broken
	two.notified()

	// Nothing left of a category.
	gone := func(c uint32) presdoc.Publication {
		return presdoc.Publication{Category: "note", Container: c, Version: map[uint32]uint32{200: 2, 300: 1, 400: 1}[c], Remove: true}
	}
	res := sipagent.Status(t, one.publish(gone(200), gone(300), gone(400)), 200)
	if !strings.Contains(string(res.Body), `<category name="note"/>`) || !strings.Contains(string(two.notified().Body), `<category name="note"/>`) {
		t.Errorf("%s", res.Body)
	}
}

func TestPublicationsThatAreRefused(t *testing.T) {
	s := start(t, Policy{})
	e := s.endpoint(alice, "e1")
	other := presdoc.Publish{URI: string(bob), Publications: userState(3500, 0)}
	sipagent.Status(t, e.ask("SERVICE", alice, "p", string(other.Append(nil)), "Content-Type: "+presdoc.TypePublish), 403)
	sipagent.Status(t, e.ask("SERVICE", bob, "p", string(other.Append(nil)), "Content-Type: "+presdoc.TypePublish), 403)
	sipagent.Status(t, e.publish(), 400)
	sipagent.Status(t, e.publish(presdoc.Publication{Category: "state", Instance: 1, Container: 2, Body: "<state/>"}), 400)
	sipagent.Status(t, e.publish(userState(3500, groupstate.AnyVersion)...), 409) // that number is the server's
	sipagent.Status(t, e.setContainers(presdoc.Container{ID: 2, Members: []presdoc.Member{{Type: "user", Value: "bob@example.test"}}}), 403)
	sipagent.Status(t, e.setContainers(presdoc.Container{ID: 200, Members: []presdoc.Member{{Type: "friend"}}}), 400)
	sipagent.Status(t, e.setContainers(presdoc.Container{ID: 200, Version: 4, Members: []presdoc.Member{{Type: "sameEnterprise"}}}), 409)
	if n := len(s.g.state.User(alice).Publications("note")) + len(s.g.state.User(alice).Containers()); n != 0 {
		t.Errorf("%d things are left of refused requests", n)
	}
}

func TestEndpointBoundPublicationsEndWithTheirEndpoint(t *testing.T) {
	s := start(t, Policy{})
	one, two := s.endpoint(alice, "e1"), s.endpoint(alice, "e2")
	one.self()
	two.self()
	watcher := s.endpoint(bob, "b1")
	watcher.batch("w", alice)
	device := presdoc.Publication{Category: "device", Instance: 7, Container: 2, ExpireType: presdoc.EndpointBound, Body: "<device/>"}
	publish := func(e *endpoint, number string) {
		t.Helper()
		phone := presdoc.Publication{Category: "state", Instance: 9, Container: 2, ExpireType: presdoc.EndpointBound,
			Body: `<state xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="phoneState"><availability>` + number + `</availability></state>`}
		sipagent.Status(t, e.publish(device, phone), 200)
	}
	publish(two, "6500")
	one.notified()
	if n := availability(t, categoriesOf(t, watcher.notified())); n != 6500 {
		t.Errorf("watcher sees %d", n)
	}
	s.propose(&groupstate.Unbind{User: alice, Endpoint: "e2", Now: s.clock.Now().UnixMilli(), Reason: groupstate.ClientInitiated})
	if doc := roamingOf(t, one.notified()); !strings.Contains(strings.Join(doc.Categories.Names, " "), "device") || len(find(*doc.Categories, "device")) != 0 {
		t.Errorf("%+v", doc.Categories)
	}
	if n := availability(t, categoriesOf(t, watcher.notified())); n != 3500 {
		t.Errorf("watcher sees %d", n)
	}
	// The last endpoint is lost: after the grace period the user is offline.
	publish(one, "9000")
	if n := availability(t, categoriesOf(t, watcher.notified())); n != 9000 {
		t.Errorf("watcher sees %d", n)
	}
	b := s.g.bindings(alice)[0]
	now := s.clock.Now().UnixMilli()
	s.propose(&groupstate.Detach{User: alice, Endpoint: "e1", Server: "fe1", Epoch: 1, Conn: b.Flow.Conn, Now: now, Grace: 20_000})
	s.propose(&groupstate.Sweep{Now: now + 19_000})
	watcher.quiet()
	s.propose(&groupstate.Sweep{Now: now + 21_000})
	if n := availability(t, categoriesOf(t, watcher.notified())); n != 18500 || s.subscriptions(alice) != 0 {
		t.Errorf("watcher sees %d, %d subscriptions", n, s.subscriptions(alice))
	}
}

func TestContainersAndSubscribersReachEveryEndpoint(t *testing.T) {
	s := start(t, Policy{MaxPromptedSubscriber: 200})
	one, two := s.endpoint(alice, "e1"), s.endpoint(alice, "e2")
	one.self()
	two.self()
	res := sipagent.Status(t, one.setContainers(presdoc.Container{ID: 32000, Members: []presdoc.Member{{Type: "user", Value: "bob@example.test"}}}), 200)
	if len(res.Body) != 0 {
		t.Errorf("%s", res)
	}
	for _, e := range []*endpoint{one, two} {
		doc := roamingOf(t, e.notified())
		if doc.Categories != nil || len(doc.Containers) != 1 || doc.Containers[0].ID != 32000 || doc.Containers[0].Version != 1 || doc.Containers[0].Members[0].Value != "bob@example.test" {
			t.Errorf("%+v", doc)
		}
	}
	sub := presdoc.BatchSub{Actions: []presdoc.BatchAction{{Categories: []string{"state"}, Resources: []presdoc.BatchResource{{URI: string(alice), Added: true}}}}}
	sipagent.Status(t, s.endpoint(carol, "c1").subscribe("w", sub), 200)
	for _, e := range []*endpoint{one, two} {
		doc := roamingOf(t, e.notified())
		if doc.Containers != nil || len(doc.Subscribers) != 1 || doc.Subscribers[0] != (presdoc.Subscriber{User: "carol@example.test", DisplayName: "Carol", Type: "sameEnterprise"}) {
			t.Errorf("%+v", doc)
		}
	}
	ack := presdoc.AppendSetSubscribers(nil, []presdoc.Subscriber{{User: "carol@example.test", Acknowledged: true}})
	sipagent.Status(t, two.ask("SERVICE", alice, "a", string(ack), "Content-Type: "+presdoc.TypeSetSubscriber), 200)
	for _, e := range []*endpoint{one, two} {
		if doc := roamingOf(t, e.notified()); len(doc.Subscribers) != 1 || !doc.Subscribers[0].Acknowledged {
			t.Errorf("%+v", doc)
		}
	}
}
