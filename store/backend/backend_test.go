package backend

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"trivet/box/pgserver"
	"trivet/fault"
	"trivet/rule/groupstate"
	"trivet/rule/witness"
	"trivet/test/peer/postgres"
	"trivet/uc"
)

const pool = "pool1.example.test"

// open makes a Store of servers that have the databases.
func open(t *testing.T, primary *pgserver.Server, mirror *pgserver.Server) *Store {
	t.Helper()
	cfg := Config{Pool: pool, Primary: primary.Addr(), User: "rtc", PassFile: postgres.Credentials(t, primary), CA: primary.CA()}
	if mirror != nil {
		cfg.Mirror = mirror.Addr()
	}
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func install(t *testing.T, s *Store) {
	t.Helper()
	if _, err := s.Install(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
}

// await waits until ok.
func await(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not in %v: %s", limit, what)
		}
	}
}

func record(user uc.UserURI, contacts ...string) *groupstate.Record {
	r := &groupstate.Record{User: user, Since: 5, Publications: []*groupstate.Publication{
		{PublicationKey: groupstate.PublicationKey{Category: "note", Container: 200}, Version: 1, Published: 1_795_000_000_000, Body: `<note><body type="personal" uri="">In München – back on Monday</body></note>`},
		{PublicationKey: groupstate.PublicationKey{Category: "note", Container: 300}, Version: 1, Published: 1_795_000_000_000, Body: `<note><body type="personal" uri="">In München – back on Monday</body></note>`},
	}}
	r.Contacts = &groupstate.ContactList{Delta: 3, Groups: []groupstate.ContactGroup{{ID: 1, Name: "~"}, {ID: 2, Name: "Team"}}}
	for _, c := range contacts {
		r.Contacts.Contacts = append(r.Contacts.Contacts, &groupstate.Contact{URI: c, Groups: groupstate.Groups(1, 2), Subscribed: true})
	}
	r.Conferences = []*groupstate.Conference{{ID: "M1", Subject: "Plans\x00", Expires: 1_795_000_000_000, Listed: []groupstate.Listed{{User: "sip:bob@example.test", Presenter: true}, {User: "sip:carol@example.test"}}}}
	return r
}

func at(term, index uint64) Position { return Position{term, index, time.UnixMilli(1_795_000_000_000)} }

func TestCopiesOfOneServer(t *testing.T) {
	t.Parallel()
	server := postgres.New(t)
	s := open(t, server, nil)
	if err := s.Put(t.Context(), Batch{Group: 1}); fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("without databases: %v", err)
	}
	install(t, s)
	install(t, s) // again changes nothing
	t.Run("copies", func(t *testing.T) { copies(t, s) })
	t.Run("views", func(t *testing.T) { views(t, s) })
	t.Run("witness", func(t *testing.T) { exclusive(t, s, open(t, server, nil)) })
	t.Run("paused", func(t *testing.T) { paused(t, s, server) })
	t.Run("killed", func(t *testing.T) { killed(t, s, server) })
}

func copies(t *testing.T, s *Store) {
	ctx := t.Context()
	alice, bob := record("sip:alice@example.test", "sip:bob@example.test"), record("sip:bob@example.test")
	if _, _, err := s.Load(ctx, 1); fault.KindOf(err) != fault.NotFound {
		t.Errorf("nothing was copied, and Load says %v", err)
	}
	if err := s.Put(ctx, Batch{Group: 1, Position: at(2, 10), Partial: true, Users: []*groupstate.Record{alice}}); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Positions(ctx); err != nil || len(all) != 0 {
		t.Errorf("a part of a copy counts as one: %v %v", all, err)
	}
	whole := Batch{Group: 1, Position: at(2, 10), Users: []*groupstate.Record{bob}}
	for range 2 { // the second time changes nothing
		if err := s.Put(ctx, whole); err != nil {
			t.Fatal(err)
		}
	}
	users, pos, err := s.Load(ctx, 1)
	if err != nil || len(users) != 2 || !slices.Equal(users[0].Data, alice.Export()) || users[1].User != bob.User || pos.Index != 10 || !pos.At.Equal(whole.Position.At) {
		t.Fatalf("Load: %v at %v: %v", users, pos, err)
	}
	for _, old := range []Position{at(1, 50), at(2, 9)} {
		if err := s.Put(ctx, Batch{Group: 1, Position: old, Gone: []uc.UserURI{bob.User}}); fault.KindOf(err) != fault.Stale {
			t.Errorf("a batch at %v: %v", old, err)
		}
	}
	// A new term goes on, even with a lower index: the group was recovered from an older copy.
	if err := s.Put(ctx, Batch{Group: 1, Position: at(3, 4), Gone: []uc.UserURI{bob.User}}); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Members(ctx, 1); err != nil || !slices.Equal(list, []uc.UserURI{alice.User}) {
		t.Errorf("Members: %v %v", list, err)
	}
	// A user who has moved to another group is not taken out by the old one.
	if err := s.Put(ctx, Batch{Group: 2, Position: at(1, 1), Users: []*groupstate.Record{alice}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(ctx, Batch{Group: 1, Position: at(3, 5), Gone: []uc.UserURI{alice.User}}); err != nil {
		t.Fatal(err)
	}
	if c, err := s.User(ctx, alice.User); err != nil || !slices.Equal(c.Data, alice.Export()) {
		t.Errorf("User: %v %v", c, err)
	}
	if all, err := s.Positions(ctx); err != nil || len(all) != 2 || all[1].Index != 5 {
		t.Errorf("Positions: %v %v", all, err)
	}
}

// views reads with SQL alone what the documentation promises.
func views(t *testing.T, s *Store) {
	for query, want := range map[string]string{
		`SELECT contact_uri || ' ' || array_to_string(groups, ',') FROM contacts WHERE user_uri = 'sip:alice@example.test'`:                                               "sip:bob@example.test ~,Team",
		`SELECT note || ' ' || array_to_string(containers, ',') FROM presence_notes WHERE user_uri = 'sip:alice@example.test'`:                                            "In München – back on Monday 200,300",
		`SELECT subject || ' ' || access_level || ' ' || presenters[1] || ' ' || attendees[1] FROM conferences WHERE organizer = 'sip:alice@example.test' AND NOT locked`: "Plans SameEnterprise sip:bob@example.test sip:carol@example.test",
	} {
		var got string
		if err := s.dbs[Copies].db.QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s\ngives %q, %v; want %q", query, got, err, want)
		}
	}
}

// exclusive has two Front Ends count in the same rows: none of their steps is lost.
func exclusive(t *testing.T, one, two *Store) {
	const each, g1, g2 = 25, uc.GroupID(1), uc.PoolGroup
	done := make(chan error, 2)
	for i, s := range []*Store{one, two} {
		groups := []uc.GroupID{g1, g2}
		if i == 1 {
			slices.Reverse(groups)
		}
		go func() {
			for range each {
				err := s.Update(t.Context(), groups, func(rows map[uc.GroupID]witness.Row) map[uc.GroupID]witness.Row {
					a, b := rows[g1], rows[g2]
					a.Term, a.LastIndex, b.Vote = a.Term+1, a.LastIndex+2, b.Vote+1
					return map[uc.GroupID]witness.Row{g1: a, g2: b}
				})
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	var got map[uc.GroupID]witness.Row
	look := func(rows map[uc.GroupID]witness.Row) map[uc.GroupID]witness.Row { got = rows; return nil }
	if err := one.Update(t.Context(), []uc.GroupID{g1, g2}, look); err != nil {
		t.Fatal(err)
	}
	if got[g1] != (witness.Row{Term: 2 * each, LastIndex: 4 * each}) || got[g2] != (witness.Row{Vote: 2 * each}) {
		t.Errorf("after %d steps: %v", 2*each, got)
	}
	err := one.Update(t.Context(), []uc.GroupID{g1}, func(map[uc.GroupID]witness.Row) map[uc.GroupID]witness.Row {
		return map[uc.GroupID]witness.Row{g2: {Term: 1}}
	})
	if fault.KindOf(err) != fault.Invalid {
		t.Errorf("a row that was not asked for: %v", err)
	}
}

// paused: a server that hangs costs its callers no more than they have.
func paused(t *testing.T, s *Store, server *pgserver.Server) {
	server.Pause()
	defer server.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	for range 3 {
		err := s.Update(ctx, []uc.GroupID{1}, func(rows map[uc.GroupID]witness.Row) map[uc.GroupID]witness.Row { return rows })
		if fault.KindOf(err) != fault.Unavailable {
			t.Errorf("paused: %v", err)
		}
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("callers with 300 ms waited %v", took)
	}
	server.Resume()
	await(t, "the server answers again", 10*time.Second, func() bool {
		_, err := s.Positions(t.Context())
		return err == nil
	})
}

// killed: what was acknowledged before a crash is there after it.
func killed(t *testing.T, s *Store, server *pgserver.Server) {
	var last uint64
	for i := uint64(100); i < 120; i++ {
		if err := s.Put(t.Context(), Batch{Group: 7, Position: at(1, i), Users: []*groupstate.Record{record(uc.UserURI(fmt.Sprintf("sip:u%d@example.test", i)))}}); err != nil {
			t.Fatal(err)
		}
		last = i
	}
	if err := server.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), Batch{Group: 7, Position: at(1, 999)}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("killed: %v", err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	users, pos, err := s.Load(t.Context(), 7)
	if err != nil || len(users) != 20 || pos.Index != last {
		t.Errorf("after a crash: %d users at %v: %v", len(users), pos, err)
	}
}
