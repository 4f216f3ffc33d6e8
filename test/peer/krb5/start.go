package krb5

import (
	"context"
	"testing"

	"trivet/test/peer/need"
)

// Start makes a realm for the length of a test and installs MIT Kerberos when
// it is missing.
func Start(t testing.TB, name string) *Realm {
	t.Helper()
	need.Packages(t, "krb5-kdc", "krb5-admin-server", "krb5-user")
	r, err := New(t.Context(), t.TempDir(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Errorf("stopping the KDC: %v", err)
		}
	})
	return r
}

// MustUser is User for tests.
func (r *Realm) MustUser(t testing.TB, name, password string) {
	t.Helper()
	if err := r.User(context.Background(), name, password); err != nil {
		t.Fatal(err)
	}
}

// MustService is Service for tests.
func (r *Realm) MustService(t testing.TB, name string) (keytab string) {
	t.Helper()
	path, err := r.Service(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
