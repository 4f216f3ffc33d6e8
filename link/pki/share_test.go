package pki

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"trivet/fault"
	"trivet/kit/clock"
)

func TestServersOfAPoolShareAnAuthority(t *testing.T) {
	t.Parallel()
	keys, one, two := t.TempDir(), filepath.Join(t.TempDir(), "fe1"), filepath.Join(t.TempDir(), "fe2")
	for range 2 { // the second time changes nothing
		if err := NewPool(keys, fe1.Pool, clock.Real{}); err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{one, two} {
			if err := Share(keys, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	fe2 := fe1
	fe2.Server = "fe2.example.test"
	a, b := open(t, one, clock.Real{}, fe1), open(t, two, clock.Real{}, fe2)
	if !a.Root().Equal(b.Root()) {
		t.Error("the servers have different authorities")
	}
	for name, n := range PoolSecrets {
		x, err := a.Secret(name, n)
		if err != nil {
			t.Fatal(err)
		}
		if y, err := b.Secret(name, n); err != nil || !bytes.Equal(x, y) {
			t.Errorf("the secret %s differs (%v)", name, err)
		}
	}
	cert, err := b.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fe2.example.test", "pool1.example.test"} {
		if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: a.Roots(), DNSName: name}); err != nil {
			t.Errorf("the certificate of fe2 is not good for %s at fe1: %v", name, err)
		}
	}
	for name, mode := range map[string]os.FileMode{"ca.pem": 0o644, "pki": 0o700, "pki/ca.key": 0o600, "pki/secret-seal.key": 0o600} {
		if i, err := os.Stat(filepath.Join(two, name)); err != nil || i.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want %v", name, i, err, mode)
		}
	}
}

func TestShareRefusesAnotherPool(t *testing.T) {
	t.Parallel()
	keys, other := t.TempDir(), t.TempDir()
	if err := Share(keys, other); !fault.Is(err, fault.NotFound) {
		t.Errorf("an empty folder is shared: %v", err)
	}
	for _, dir := range []string{keys, other} {
		if err := NewPool(dir, fe1.Pool, clock.Real{}); err != nil {
			t.Fatal(err)
		}
	}
	before, err := os.ReadFile(filepath.Join(other, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Share(keys, other); !fault.Is(err, fault.Exists) {
		t.Errorf("a folder of another pool is taken: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(other, "ca.pem")); err != nil || !bytes.Equal(before, after) {
		t.Error("the folder was changed")
	}
}
