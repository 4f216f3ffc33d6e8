package backend

import (
	"context"
	"fmt"
	"testing"
	"time"

	"trivet/fault"
	"trivet/rule/groupstate"
	"trivet/rule/mirroring"
	"trivet/rule/witness"
	"trivet/test/peer/postgres"
	"trivet/uc"
)

// TestFailover takes a pair through the life of one: mirrored, principal killed under
// load, mirror promoted, old principal back alone, rejoined, failed back.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary := postgres.New(t)
	install(t, open(t, primary, nil))
	mirror := postgres.Mirror(t, primary)
	s := open(t, primary, mirror)
	s.Follow(Primary)
	synchronise(t, s, Primary)
	if st := s.Look(t.Context(), Mirror); !st.Reached || st.Principal || !st.Attached {
		t.Fatalf("the mirror: %+v", st)
	}

	acked := make(chan uint64, 1)
	enough := make(chan struct{})
	go func() { acked <- writeUntilRefused(t.Context(), s, enough) }()
	<-enough
	if err := primary.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := <-acked
	if err := s.Promote(t.Context(), Mirror); err != nil {
		t.Fatal(err)
	}
	s.Follow(Mirror)
	users, pos, err := s.Load(t.Context(), 1)
	if err != nil || pos.Index < last || uint64(len(users)) < last {
		t.Fatalf("acknowledged up to %d; the mirror has %d users up to %d: %v", last, len(users), pos.Index, err)
	}
	if err := s.Put(t.Context(), Batch{Group: 1, Position: at(2, pos.Index+1)}); err != nil {
		t.Fatalf("the new principal: %v", err)
	}
	step := func(rows map[uc.GroupID]witness.Row) map[uc.GroupID]witness.Row { return rows }
	if err := s.Update(t.Context(), []uc.GroupID{1}, step); fault.KindOf(err) != fault.NotPrimary {
		t.Errorf("the witness on the mirror: %v", err)
	}

	if err := primary.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("the old principal acknowledges nothing", func(t *testing.T) { fenced(t, open(t, primary, mirror)) })
	if err := primary.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := primary.Rejoin(t.Context(), mirror); err != nil {
		t.Fatal(err)
	}
	if err := primary.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	synchronise(t, s, Mirror)
	if err := s.Promote(t.Context(), Primary); err != nil {
		t.Fatal(err)
	}
	s.Follow(Primary)
	if _, back, err := s.Load(t.Context(), 1); err != nil || back.Index != pos.Index+1 {
		t.Errorf("failed back: %v %v, want index %d", back, err, pos.Index+1)
	}
	if err := s.Update(t.Context(), []uc.GroupID{1}, step); err != nil {
		t.Errorf("the witness is back: %v", err)
	}
}

// synchronise has the principal wait for its mirror, and waits until that has everything.
func synchronise(t *testing.T, s *Store, principal Side) {
	t.Helper()
	await(t, "the mirror receives the log", 30*time.Second, func() bool { return s.Look(t.Context(), principal).Attached })
	if err := s.Wait(t.Context(), principal, true); err != nil {
		t.Fatal(err)
	}
	var st mirroring.Server
	await(t, "the mirror has everything", 30*time.Second, func() bool {
		st = s.Look(t.Context(), principal)
		return st.Synchronized
	})
}

// writeUntilRefused writes a user at a time and returns how far that was acknowledged.
func writeUntilRefused(ctx context.Context, s *Store, enough chan struct{}) uint64 {
	for i := uint64(1); ; i++ {
		r := record(uc.UserURI(fmt.Sprintf("sip:u%06d@example.test", i)))
		if s.Put(ctx, Batch{Group: 1, Position: at(1, i), Users: []*groupstate.Record{r}}) != nil {
			return i - 1
		}
		if i == 50 {
			close(enough)
		}
	}
}

// fenced writes to the old principal, which waits for a mirror that has left it.
func fenced(t *testing.T, s *Store) {
	s.Follow(Primary)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.Put(ctx, Batch{Group: 9, Position: at(1, 1)}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("it acknowledges: %v", err)
	}
	if st := s.Look(t.Context(), Primary); !st.Principal || !st.Waiting || st.Attached {
		t.Errorf("the old principal: %+v", st)
	}
}

// TestCancelledWait: a commit that somebody let go without the mirror is not success.
func TestCancelledWait(t *testing.T) {
	t.Parallel()
	primary := postgres.New(t)
	s := open(t, primary, nil)
	install(t, s)
	if err := s.Wait(t.Context(), Primary, true); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Put(t.Context(), Batch{Group: 1, Position: at(1, 1)}) }()
	admin := open(t, primary, nil)
	await(t, "a commit waits", 10*time.Second, func() bool {
		var n int
		err := admin.dbs[Shared].db.QueryRowContext(t.Context(), `SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`).Scan(&n)
		return err == nil && n > 0
	})
	if err := <-done; fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a commit without the mirror it was to wait for: %v", err)
	}
}
