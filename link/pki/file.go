package pki

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"trivet/fault"
)

// writeFile puts data in place of path such that a crash leaves the old file or
// the new one: written beside, synced, renamed, folder synced.
func writeFile(path string, data []byte, mode fs.FileMode) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Secret returns the n random bytes called name, made at the first call and the
// same ever after: the keys of web tickets and of sealed credentials. They lie in
// pki/<name>.key; servers of one pool have copies of the same file. The name is
// lower case letters and dashes.
func (a *Authority) Secret(name string, n int) ([]byte, error) {
	const op = "pki.Secret"
	for i := 0; i < len(name); i++ {
		if c := name[i]; c != '-' && (c < 'a' || c > 'z') {
			return nil, fault.New(fault.Internal, op, "a secret has a name of lower case letters").About(name)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	path := a.path("secret-" + name + ".key")
	b, err := os.ReadFile(path)
	if err == nil {
		if len(b) != n || bytes.Equal(b, make([]byte, n)) {
			return nil, fault.New(fault.Invalid, op, fmt.Sprintf("the key file must have %d random bytes; restore it from a copy", n)).About(path)
		}
		return b, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(op, err)
	}
	b = make([]byte, n)
	rand.Read(b)
	if err := writeFile(path, b, 0o600); err != nil {
		return nil, fault.Wrap(op, err)
	}
	return b, nil
}
