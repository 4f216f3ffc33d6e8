package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPoolKeys(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	for _, servers := range []string{"fe1.example.test,fe2.example.test", "FE2.example.test,fe3.example.test"} {
		if _, errs, status := invoke(t, nil, "pool-keys", "--pool", "pool1.example.test", "--computer", servers, "--out", dir); status != 0 {
			t.Fatal(errs)
		}
	}
	for _, name := range []string{"ca.pem", "pki/ca.key", "pki/secret-seal.key"} {
		want, err := os.ReadFile(filepath.Join(dir, "authority", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{"fe1.example.test", "fe2.example.test", "fe3.example.test"} {
			if got, err := os.ReadFile(filepath.Join(dir, s, name)); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s of %s is not the pool's: %v", name, s, err)
			}
		}
	}
	for args, want := range map[string]string{
		"pool-keys --computer fe1.example.test --out " + dir:                              "--pool is missing",
		"pool-keys --pool pool1.example.test --out " + dir:                                "--computer is missing",
		"pool-keys --pool pool1.example.test --computer fe1.example.test":                 "--out is missing",
		"pool-keys --pool pool1.example.test --computer ../fe1.example.test --out " + dir: "needs a full name",
		"pool-keys --pool pool1.example.test --computer fe1 --out " + dir:                 "needs a full name",
		"pool-keys --pool pool1/x.example.test --computer fe1.example.test --out " + dir:  "needs a full name",
	} {
		if _, errs, status := invoke(t, nil, strings.Fields(args)...); status != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %s", args, status, errs)
		}
	}
}
