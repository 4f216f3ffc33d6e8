package krb5

import (
	"os"
	"testing"
)

func TestRealm(t *testing.T) {
	r := Start(t, "EXAMPLE.TEST")
	r.MustUser(t, "alice", "secret")
	kt := r.MustService(t, "sip/fe1.example.test")
	cc, err := r.Login(t.Context(), "alice", "secret")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{kt, cc} {
		if st, err := os.Stat(path); err != nil || st.Size() == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := r.Login(t.Context(), "alice", "wrong"); err == nil {
		t.Error("a wrong password gave a ticket")
	}
}
