package frontend

import (
	"testing"

	"trivet/fault"
	"trivet/store/backend"
	"trivet/test/peer/postgres"
)

func TestBackEndForCmdlets(t *testing.T) {
	t.Parallel()
	server := postgres.New(t)
	store, err := backend.Open(backend.Config{Pool: "pool1.example.test", Primary: server.Addr(), User: "rtc", PassFile: postgres.Credentials(t, server), CA: server.CA()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	b := backEnd{store: store}
	if list, _ := b.Test(t.Context()); len(list) != 2 || list[0].Succeed || list[0].Diagnosis == "" {
		t.Errorf("before they are installed: %+v", list)
	}
	if made, err := b.Install(t.Context()); err != nil || len(made) != 3 {
		t.Errorf("Install: %v %v", made, err)
	}
	if list, _ := b.Test(t.Context()); !list[0].Succeed || !list[1].Succeed {
		t.Errorf("after: %+v", list)
	}
	if _, err := b.MirrorState(t.Context()); fault.KindOf(err) != fault.NotFound {
		t.Errorf("the state of a mirror that is not there: %v", err)
	}
	if err := b.Failover(t.Context(), "Mirror"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("failover to it: %v", err)
	}
}
