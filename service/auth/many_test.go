package auth

import (
	"testing"

	"trivet/fault"
	"trivet/store/users"
)

// TestPasswordWithoutTheSlowHash signs in a user made together with many others.
func TestPasswordWithoutTheSlowHash(t *testing.T) {
	h := open(t)
	u := h.add("alice", true)
	if err := h.store.SetSecrets(t.Context(), u.GUID, h.SIPSecrets(&u, password)); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Password(t.Context(), here, "alice@contoso.test", password); err != nil || got.SipAddress != alice {
		t.Errorf("the right password: %v %v", got.SipAddress, err)
	}
	for _, wrong := range []string{"", "wrong"} {
		if _, err := h.Password(t.Context(), here, "alice@contoso.test", wrong); !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if err := h.store.SetSecrets(t.Context(), u.GUID, users.Secrets{}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Password(t.Context(), here, "alice@contoso.test", password); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a user without secrets: %v", err)
	}
}
