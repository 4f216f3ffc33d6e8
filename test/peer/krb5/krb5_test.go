package krb5

import (
	"os"
	"testing"
)

func TestRealm(t *testing.T) {
	ctx := t.Context()
	r, err := New(ctx, t.TempDir(), "EXAMPLE.TEST")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := r.User(ctx, "alice", "secret"); err != nil {
		t.Fatal(err)
	}
	kt, err := r.Service(ctx, "sip/fe1.example.test")
	if err != nil {
		t.Fatal(err)
	}
	cc, err := r.Login(ctx, "alice", "secret")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{kt, cc} {
		if st, err := os.Stat(path); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := r.Login(ctx, "alice", "wrong"); err == nil {
		t.Error("a wrong password gave a ticket")
	}
}
