package frontend

import (
	"context"
	"testing"
	"time"

	"trivet/rule/groupstate"
)

func TestForgottenSubscriptionEndsByItsDialog(t *testing.T) {
	t.Parallel()
	s, stop := run(t, t.TempDir())
	withFriend(t, s)
	subscribe := func(callID string) *groupstate.Subscription {
		t.Helper()
		r, err := s.groups.Propose(t.Context(), ann, &groupstate.Subscribe{User: ann, Endpoint: "e", Now: s.groups.now(), Lifetime: 600_000, Event: "presence",
			Dialog: groupstate.Dialog{CallID: callID, LocalTag: "l", RemoteTag: "r"}})
		if err != nil {
			t.Fatal(err)
		}
		return r.(groupstate.SubscribeResult).Subscription
	}
	left := func() (calls []string) {
		t.Helper()
		if err := s.groups.Read(t.Context(), ann, func(state *groupstate.State) {
			for _, sub := range state.User(ann).Subscriptions() {
				calls = append(calls, sub.Dialog.CallID)
			}
		}); err != nil {
			t.Fatal(err)
		}
		return calls
	}
	old := subscribe("old")
	if _, err := s.groups.Propose(t.Context(), ann, &groupstate.Unsubscribe{User: ann, ID: old.ID}); err != nil {
		t.Fatal(err)
	}
	young, other := subscribe("young"), subscribe("other")
	if young.ID != old.ID {
		t.Fatalf("numbers %d and %d; the test needs one that is used again", old.ID, young.ID)
	}
	x, err := s.groups.of(ann)
	if err != nil {
		t.Fatal(err)
	}
	both := x.raft.Status().Applied + 2 // a refused command is an entry as well
	s.watcherGone(ann, old)
	s.watcherGone(ann, other)
	for end := time.Now().Add(10 * time.Second); x.raft.Status().Applied < both && time.Now().Before(end); {
		wait, cancel := context.WithTimeout(t.Context(), 2*time.Millisecond)
		<-wait.Done()
		cancel()
	}
	calls := left()
	if len(calls) != 1 || calls[0] != "young" {
		t.Errorf("left: %v, want the one that took the number", calls)
	}
	stop()
}
