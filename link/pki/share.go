package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/uc"
)

// PoolSecrets are the secrets (see Authority.Secret) that all servers of a pool
// have in common, with their lengths in bytes: what one of them sealed or signed
// another opens.
var PoolSecrets = map[string]int{"seal": 32, "webticket": 32, "nonce": 32}

// NewPool fills dir with what the servers of a pool have in common: ca.pem, the
// authority, and in the folder pki its key and the PoolSecrets. What is there
// stays, so a pool can be given more servers later. The folder is made, for the
// owner alone; who has it can be any server of the pool.
func NewPool(dir string, pool uc.PoolFQDN, c clock.Clock) error {
	const op = "pki.NewPool"
	a := &Authority{cfg: Config{Dir: dir, Names: Names{Server: uc.ServerFQDN(pool)}, Clock: c}, keys: filepath.Join(dir, "pki")}
	if err := os.MkdirAll(a.keys, 0o700); err != nil {
		return fault.New(fault.Unavailable, op, "the folder for the keys of the pool cannot be made").About(dir).Because(err)
	}
	if err := a.openRoot(); err != nil {
		return fault.Wrap(op, err)
	}
	for name, n := range PoolSecrets {
		if _, err := a.Secret(name, n); err != nil {
			return fault.Wrap(op, err)
		}
	}
	return nil
}

// Share copies authority and secrets from a folder that NewPool filled, or from the
// data folder of a server, to the data folder of another server, which is made
// where it is missing. The server issues its own certificates at its start. A
// folder that has the same keys already is left as it is; one that has others is
// fault.Exists, and nothing is changed.
func Share(from, to string) error {
	const op = "pki.Share"
	files, err := shared(from)
	if err != nil {
		return fault.Wrap(op, err)
	}
	missing := map[string][]byte{}
	for name, want := range files {
		have, err := os.ReadFile(filepath.Join(to, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing[name] = want
		case err != nil:
			return fault.Wrap(op, err)
		case !bytes.Equal(have, want):
			return fault.Newf(fault.Exists, op, "%s is of another pool or authority; use an empty folder, or remove it and %s", name, filepath.Join("pki", "*.key")).About(to)
		}
	}
	if err := os.MkdirAll(filepath.Join(to, "pki"), 0o700); err != nil {
		return fault.New(fault.Unavailable, op, "the data folder cannot be made").About(to).Because(err)
	}
	for name, b := range missing {
		mode := fs.FileMode(0o600)
		if name == "ca.pem" {
			mode = 0o644
		}
		if err := writeFile(filepath.Join(to, name), b, mode); err != nil {
			return fault.Wrap(op, err)
		}
	}
	return nil
}

// shared reads the files that servers of a pool have in common, by their names
// below the data folder.
func shared(dir string) (map[string][]byte, error) {
	names := []string{"ca.pem", filepath.Join("pki", "ca.key")}
	secrets, err := filepath.Glob(filepath.Join(dir, "pki", "secret-*.key"))
	if err != nil {
		return nil, err
	}
	for _, s := range secrets {
		names = append(names, strings.TrimPrefix(s, filepath.Clean(dir)+string(filepath.Separator)))
	}
	files := map[string][]byte{}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fault.New(fault.NotFound, "pki.Share", "the folder has not the keys of a pool; trivet pool-keys makes it").About(filepath.Join(dir, name)).Because(err)
		}
		files[name] = b
	}
	return files, nil
}

// ReadRoots reads the authorities of a PEM file such as ca.pem.
func ReadRoots(file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(b) {
		return nil, fault.New(fault.Invalid, "pki.ReadRoots", "the file has no certificate in PEM form (BEGIN CERTIFICATE)").About(file).Because(err)
	}
	return roots, nil
}
