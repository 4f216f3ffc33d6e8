package presence

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"trivet/rule/groupstate"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/presdoc"
)

func TestBatchOfOne(t *testing.T) {
	s := start(t, Policy{})
	a, b := s.endpoint(alice, "a1"), s.endpoint(bob, "b1")
	sipagent.Status(t, a.publish(noteIn(200, 0, "for colleagues"), noteIn(300, 0, "for the team")), 200)
	doc := categoriesOf(t, sipagent.Status(t, b.batch("w", alice), 200))
	if doc.URI != string(alice) || availability(t, doc) != 3500 || len(find(doc, "state")) != 1 {
		t.Errorf("%+v", doc)
	}
	if note := find(doc, "note"); len(note) != 1 || !strings.Contains(note[0], "for colleagues") {
		t.Errorf("%v", note)
	}
	card := find(doc, "contactCard")
	if len(card) != 1 || !strings.Contains(card[0], "<displayName>Alice &lt;A&gt;</displayName>") || !strings.Contains(card[0], "<office>3.14</office>") ||
		!strings.Contains(card[0], "<uri>tel:+1555;ext=1&amp;2</uri>") || strings.Contains(card[0], "mobile") || strings.Contains(card[0], "home") {
		t.Errorf("%v", card)
	}
	if !slices.Contains(doc.Names, "calendarData") || len(find(doc, "calendarData")) != 0 {
		t.Errorf("a category without publication is empty: %+v", doc.Names)
	}
	// One change, one BENOTIFY in the dialog, with what changed only.
	sipagent.Status(t, a.publish(userState(6500, 0)...), 200)
	m := b.notified()
	to, _ := m.To()
	if doc := categoriesOf(t, m); m.Method != "BENOTIFY" || m.Event() != "presence" || m.CallID() != "w" || to.Params.Value("epid") != "b1" || to.Tag() != "t" ||
		availability(t, doc) != 6500 || len(doc.Names) != 1 || m.Get("Via") == "" {
		t.Errorf("%s", m)
	}
	// What the watcher cannot see is not told: the team's note, a machine state that
	// changes nothing.
	sipagent.Status(t, a.publish(noteIn(300, 1, "new")), 200)
	sipagent.Status(t, a.publish(presdoc.Publication{Category: "device", Container: 2, ExpireType: presdoc.EndpointBound, Body: "<device/>"}), 200)
	b.quiet()
	sipagent.Status(t, b.ask("SUBSCRIBE", bob, "w", "", with(lync, "Event: presence", "Expires: 0")...), 200)
	sipagent.Status(t, a.publish(userState(9500, 1)...), 200)
	b.quiet()
	if n := s.subscriptions(bob); n != 0 || len(s.s.index.shard(bob).dialogs) != 0 {
		t.Errorf("%d subscriptions left", n)
	}
}

func TestBatchOfMany(t *testing.T) {
	s := start(t, Policy{})
	s.endpoint(alice, "a1")
	b := s.endpoint(bob, "b1")
	res := sipagent.Status(t, b.batch("w", alice, carol, "sip:nobody@example.test", "sip:x@elsewhere.test", alice), 200)
	if res.ContentType() != "multipart/related" || !strings.Contains(res.Get("Content-Type"), `type="application/rlmi+xml"`) || !bytes.Contains(res.Body, []byte("</categories>\r\n\r\n--")) {
		t.Errorf("%s", res)
	}
	parts, err := presdoc.ParseMultipart(res.Get("Content-Type"), res.Body)
	if err != nil || len(parts) != 3 {
		t.Fatalf("%v %d parts", err, len(parts))
	}
	list, err := presdoc.ParseList(parts[0].Body)
	want := []presdoc.Resource{{URI: string(alice), State: "active", CID: "alice@example.test"}, {URI: string(carol), State: "active", CID: "carol@example.test"},
		{URI: "sip:nobody@example.test", State: "terminated"}, {URI: "sip:x@elsewhere.test", State: "terminated"}}
	if err != nil || list.URI != string(bob) || !slices.Equal(list.Resources, want) {
		t.Errorf("%v %+v", err, list)
	}
	if doc := parseCategories(t, parts[1].Body); parts[1].CID != "alice@example.test" || availability(t, doc) != 3500 {
		t.Errorf("%+v", doc)
	}
	if doc := parseCategories(t, parts[2].Body); availability(t, doc) != 18500 || doc.URI != string(carol) { // never signed in
		t.Errorf("%+v", doc)
	}
	none := sipagent.Status(t, b.batch("w2", "sip:x@elsewhere.test"), 200)
	if parts, err := presdoc.ParseMultipart(none.Get("Content-Type"), none.Body); err != nil || len(parts) != 1 {
		t.Errorf("%v %s", err, none)
	}
	sipagent.Status(t, b.batch("w3"), 200) // bare: the person of the request
	sipagent.Status(t, b.ask("SUBSCRIBE", "sip:nobody@example.test", "w4", `<categoryList><category name="state"/></categoryList>`, with(lync, "Event: presence", "Content-Type: "+presdoc.TypeBatchSub)...), 404)
	sipagent.Status(t, b.ask("SUBSCRIBE", bob, "w5", `<batchSub/>`, with(lync, "Event: presence", "Content-Type: "+presdoc.TypeBatchSub)...), 400)
}

func TestBatchIsAmendedInItsDialog(t *testing.T) {
	s := start(t, Policy{})
	a, b, c := s.endpoint(alice, "a1"), s.endpoint(bob, "b1"), s.endpoint(carol, "c1")
	sipagent.Status(t, b.batch("w", alice), 200)
	if doc := categoriesOf(t, sipagent.Status(t, b.batch("w", carol), 200)); doc.URI != string(carol) {
		t.Errorf("%+v", doc)
	}
	sipagent.Status(t, c.publish(userState(6500, 0)...), 200)
	if n := availability(t, categoriesOf(t, b.notified())); n != 6500 {
		t.Errorf("carol: %d", n)
	}
	sipagent.Status(t, a.publish(userState(6500, 0)...), 200) // still watched
	if n := availability(t, categoriesOf(t, b.notified())); n != 6500 {
		t.Errorf("alice: %d", n)
	}
	refresh := sipagent.Status(t, b.ask("SUBSCRIBE", bob, "w", "", with(lync, "Event: presence")...), 200)
	if parts, err := presdoc.ParseMultipart(refresh.Get("Content-Type"), refresh.Body); err != nil || len(parts) != 3 {
		t.Errorf("%v %s", err, refresh)
	}
	drop := func(u uc.UserURI) presdoc.BatchSub {
		return presdoc.BatchSub{Actions: []presdoc.BatchAction{{Unsubscribe: true, Resources: []presdoc.BatchResource{{URI: string(u)}}}}}
	}
	if res := sipagent.Status(t, b.subscribe("w", drop(alice)), 200); len(res.Body) != 0 || res.Get("Expires") != "28800" {
		t.Errorf("%s", res)
	}
	sipagent.Status(t, a.publish(userState(9500, 1)...), 200)
	b.quiet()
	sipagent.Status(t, c.publish(userState(9500, 1)...), 200)
	if n := availability(t, categoriesOf(t, b.notified())); n != 9500 {
		t.Errorf("carol: %d", n)
	}
	if res := sipagent.Status(t, b.subscribe("w", drop(carol)), 200); res.Get("Expires") != "0" || s.subscriptions(bob) != 0 {
		t.Errorf("%s", res)
	}
	sipagent.Status(t, b.subscribe("w", drop(carol)), 481)
}

func TestPolls(t *testing.T) {
	s := start(t, Policy{})
	s.endpoint(alice, "a1")
	b, phone := s.endpoint(bob, "b1"), s.endpoint(carol, "")
	one := presdoc.BatchSub{Actions: []presdoc.BatchAction{{Resources: []presdoc.BatchResource{{URI: string(alice)}}}}}
	res := sipagent.Status(t, b.subscribe("p", one, "Expires: 0"), 200)
	if doc := categoriesOf(t, res); availability(t, doc) != 3500 || len(doc.Names) != 3 || res.Get("Expires") != "0" || res.Get("subscription-state") != "terminated;reason=timeout" {
		t.Errorf("%s", res)
	}
	res = sipagent.Status(t, phone.ask("SUBSCRIBE", alice, "p", "", "Event: presence", "Expires: 0", "Accept: application/pidf+xml"), 200)
	if m := phone.notified(); len(res.Body) != 0 || m.Get("Subscription-State") != "terminated;reason=timeout" || !bytes.Contains(m.Body, []byte("<basic>open")) {
		t.Errorf("%s", m)
	}
	sipagent.Status(t, phone.ask("SUBSCRIBE", "sip:nobody@example.test", "p2", "", "Event: presence", "Expires: 0"), 404)
	sipagent.Status(t, phone.ask("SUBSCRIBE", alice, "p3", "", "Event: presence", "Accept: text/plain"), 488)
	sipagent.Status(t, b.ask("SUBSCRIBE", bob, "w", "", with(lync, "Event: presence", "Expires: 0", "Accept: application/msrtc-event-categories+xml")...), 200)
	if s.subscriptions(bob)+s.subscriptions(carol) != 0 {
		t.Error("a poll leaves nothing behind")
	}
}

func TestBlockedWatcher(t *testing.T) {
	s := start(t, Policy{})
	a, b := s.endpoint(alice, "a1"), s.endpoint(bob, "b1")
	sipagent.Status(t, a.publish(noteIn(200, 0, "hi"), noteIn(400, 0, "friends"), noteIn(32000, 0, "never shown")), 200)
	sipagent.Status(t, b.batch("w", alice), 200)
	member := func(remove bool) []presdoc.Member {
		return []presdoc.Member{{Type: "user", Value: "bob@example.test", Remove: remove}}
	}
	sipagent.Status(t, a.setContainers(presdoc.Container{ID: 32000, Members: member(false)}), 200)
	m := b.notified()
	doc := categoriesOf(t, m)
	card := find(doc, "contactCard")
	if availability(t, doc) != 18500 || len(find(doc, "note")) != 0 || len(card) != 1 || !strings.Contains(card[0], "alice@example.test") || strings.Contains(card[0], "phone") || strings.Contains(card[0], "Engineer") {
		t.Errorf("%s", m.Body)
	}
	sipagent.Status(t, a.publish(userState(6500, 0)...), 200)
	b.quiet() // a blocked watcher learns nothing of changes
	if doc := categoriesOf(t, sipagent.Status(t, b.batch("w2", alice), 200)); availability(t, doc) != 18500 {
		t.Errorf("%+v", doc)
	}
	sipagent.Status(t, b.ask("SUBSCRIBE", bob, "w2", "", with(lync, "Event: presence", "Expires: 0")...), 200)
	// Unblocked and made a friend in one request.
	sipagent.Status(t, a.setContainers(presdoc.Container{ID: 32000, Version: 1, Members: member(true)}, presdoc.Container{ID: 400, Members: member(false)}), 200)
	doc = categoriesOf(t, b.notified())
	if note := find(doc, "note"); availability(t, doc) != 6500 || len(note) != 1 || !strings.Contains(note[0], "friends") || !strings.Contains(find(doc, "contactCard")[0], `type="home"`) {
		t.Errorf("%+v", doc)
	}
}

func TestPrivacyMode(t *testing.T) {
	s := start(t, Policy{PrivacyMode: true})
	s.endpoint(alice, "a1")
	b := s.endpoint(bob, "b1")
	doc := categoriesOf(t, sipagent.Status(t, b.batch("w", alice), 200))
	if card := find(doc, "contactCard"); availability(t, doc) != -1 || len(card) != 1 || strings.Contains(card[0], "Engineer") {
		t.Errorf("%+v", doc)
	}
	s.propose(&groupstate.SetContact{User: alice, Delta: 1, Max: 9, Contact: groupstate.Contact{URI: string(bob)}})
	if n := availability(t, categoriesOf(t, b.notified())); n != 3500 {
		t.Errorf("%d", n)
	}
	s.propose(&groupstate.DeleteContact{User: alice, Delta: 2, URI: string(bob)})
	if doc := categoriesOf(t, b.notified()); availability(t, doc) != -1 || !slices.Contains(doc.Names, "state") {
		t.Errorf("%+v", doc)
	}
}

func TestCardChanges(t *testing.T) {
	s := start(t, Policy{})
	a, b := s.endpoint(alice, "a1"), s.endpoint(bob, "b1")
	a.self()
	sipagent.Status(t, b.batch("w", alice), 200)
	s.cards.set(alice, Card{DisplayName: "Alice Miller", LineURI: "tel:+7"})
	if err := s.s.Refresh(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	if doc := categoriesOf(t, b.notified()); len(doc.Names) != 1 || !strings.Contains(find(doc, "contactCard")[0], "Alice Miller") {
		t.Errorf("%+v", doc)
	}
	if doc := roamingOf(t, a.notified()); len(doc.Categories.Names) != 1 || !strings.Contains(find(*doc.Categories, "userProperties")[0], "tel:+7") {
		t.Errorf("%+v", doc.Categories)
	}
}

func TestRemovedUserLooksOffline(t *testing.T) {
	s := start(t, Policy{})
	s.endpoint(alice, "a1")
	b := s.endpoint(bob, "b1")
	sipagent.Status(t, b.batch("w", alice), 200)
	s.cards.remove(alice)
	s.propose(&groupstate.RemoveUser{User: alice})
	if n := availability(t, categoriesOf(t, b.notified())); n != 18500 {
		t.Errorf("%d", n)
	}
}

func TestLyncClientThatReconnects(t *testing.T) {
	s := start(t, Policy{})
	a, b := s.endpoint(alice, "a1"), s.endpoint(bob, "b1")
	sipagent.Status(t, b.batch("w", alice), 200)
	b.self()
	old := *b
	b.connect()
	if n := s.subscriptions(bob); n != 0 {
		t.Errorf("%d subscriptions of the lost connection", n)
	}
	sipagent.Status(t, a.publish(userState(6500, 0)...), 200)
	b.quiet()
	old.quiet()
	b.Seq = 0 // a client started again draws the same names
	if n := availability(t, categoriesOf(t, sipagent.Status(t, b.batch("w", alice), 200))); n != 6500 {
		t.Errorf("%d", n)
	}
	sipagent.Status(t, a.publish(userState(9500, 1)...), 200)
	if n := availability(t, categoriesOf(t, b.notified())); n != 9500 {
		t.Errorf("%d", n)
	}
	old.quiet()
}

func TestWatcherThatIsGone(t *testing.T) {
	s := start(t, Policy{})
	a, c := s.endpoint(alice, "a1"), s.endpoint(carol, "")
	sipagent.Status(t, c.ask("SUBSCRIBE", alice, "w", "", "Event: presence", "Expires: 600"), 200)
	c.notified()
	sipagent.Status(t, a.publish(userState(6500, 0)...), 200)
	c.Reply(c.Recv(), 481)
	sipagent.Await(s.t, "the end of the subscription", func() bool { return s.subscriptions(carol) == 0 })
	sipagent.Status(t, a.publish(userState(9500, 1)...), 200)
	c.quiet()
}

func TestPrompts(t *testing.T) {
	s := start(t, Policy{MaxPromptedSubscriber: 1})
	added := presdoc.BatchSub{Actions: []presdoc.BatchAction{{Resources: []presdoc.BatchResource{{URI: string(alice), Added: true}, {URI: "sip:x@elsewhere.test", Added: true}}}}}
	b := s.endpoint(bob, "b1")
	sipagent.Status(t, b.subscribe("w", added), 200)
	sipagent.Status(t, b.batch("w2", carol), 200)
	sipagent.Status(t, s.endpoint(carol, "c1").subscribe("w", added), 200)
	asked := func(u uc.UserURI) (n int) {
		s.g.Read(context.Background(), u, func(st *groupstate.State) { n = len(st.User(u).Subscribers()) })
		return n
	}
	sipagent.Await(s.t, "the prompt", func() bool { return asked(alice) == 1 })
	if asked(carol) != 0 {
		t.Error("only who was just added is asked")
	}
}

func TestAdoptedSubscriptions(t *testing.T) {
	s := start(t, Policy{})
	a, b := s.endpoint(alice, "a1"), s.endpoint(bob, "b1")
	a.self()
	sipagent.Status(t, b.batch("w", alice, carol), 200)
	s.s.index.init() // as after a restart
	s.g.mu.Lock()
	s.s.Adopt(s.g.state)
	s.g.mu.Unlock()
	s.s.cfg.Notifier.Forget(bob, &groupstate.Subscription{ID: 1})
	sipagent.Status(t, a.publish(userState(6500, 0)...), 200)
	if n := availability(t, categoriesOf(t, b.notified())); n != 6500 {
		t.Errorf("%d", n)
	}
	sipagent.Status(t, b.ask("SUBSCRIBE", bob, "w", "", with(lync, "Event: presence", "Expires: 0")...), 200)
	if len(s.s.index.shard(alice).watch[alice])+len(s.s.index.shard(carol).watch[carol]) != 0 {
		t.Error("a subscription that ended stands in the index")
	}
}
