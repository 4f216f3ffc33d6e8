package backup

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"trivet/fault"
)

// partial is the end of the name of what is not whole yet.
const partial = ".partial"

// Save has produce write an archive, reads it back, and gives it the name file when
// it is whole and on disk. Its owner alone may read it. A file that exists is
// replaced only when replace is set; after a failure it is as it was.
func Save(ctx context.Context, file string, replace bool, produce func(io.Writer) error) (m Manifest, err error) {
	const op = "backup.Save"
	if info, err := os.Lstat(file); err == nil && (!replace || !info.Mode().IsRegular()) {
		return m, fault.Newf(fault.Exists, op, "%s exists already; choose another name, or say --replace", file)
	}
	temporary := file + partial
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return m, fault.Newf(fault.Unavailable, op, "%s is in the way and cannot be removed", temporary).Because(err)
	}
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return m, fault.Newf(fault.Unavailable, op, "%s cannot be written", temporary).Because(err)
	}
	named := false
	defer func() {
		err = errors.Join(err, f.Close())
		if !named {
			err = errors.Join(err, os.Remove(temporary))
		}
	}()
	if err := produce(f); err != nil {
		return m, err
	}
	if err := f.Sync(); err != nil {
		return m, fault.Newf(fault.Unavailable, op, "%s cannot be written", temporary).Because(err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return m, fault.Wrap(op, err)
	}
	if m, err = Read(ctx, f, nil); err != nil {
		return m, err
	}
	if err := os.Rename(temporary, file); err != nil {
		return m, fault.Newf(fault.Unavailable, op, "%s cannot be written", file).Because(err)
	}
	named = true
	if err := syncFolder(filepath.Dir(file)); err != nil { // it is there, perhaps not after a power cut
		return m, fault.Newf(fault.Unavailable, op, "the folder of %s cannot be written to disk", file).Because(err)
	}
	return m, nil
}

// Extract reads the archive and writes its files into an empty folder, flushed. It
// writes nothing outside of it, whatever the archive says.
func Extract(ctx context.Context, r io.Reader, folder string) (Manifest, error) {
	const op = "backup.Extract"
	root, err := os.OpenRoot(folder)
	if err != nil {
		return Manifest{}, fault.Wrap(op, err)
	}
	defer root.Close()
	m, err := Read(ctx, r, func(f File, body io.Reader) error { return put(root, f, body) })
	if err != nil {
		return m, err
	}
	var folders []string
	for _, f := range m.Files {
		for dir := path.Dir(f.Name); !slices.Contains(folders, dir); dir = path.Dir(dir) {
			folders = append(folders, dir)
		}
	}
	for _, dir := range folders {
		if err := syncFolder(filepath.Join(folder, filepath.FromSlash(dir))); err != nil {
			return m, unwritten(dir, err)
		}
	}
	return m, nil
}

func put(root *os.Root, f File, body io.Reader) error {
	name := filepath.FromSlash(f.Name)
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return unwritten(f.Name, err)
	}
	mode := fs.FileMode(0o600)
	if f.Public {
		mode = 0o644
	}
	to, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return unwritten(f.Name, err)
	}
	_, err = io.Copy(writer{to, f.Name}, body)
	if err = errors.Join(err, to.Sync(), to.Close()); err != nil {
		return err
	}
	return nil
}

// writer tells failures of writing from those of reading.
type writer struct {
	f    *os.File
	name string
}

func (w writer) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		err = unwritten(w.name, err)
	}
	return n, err
}

func unwritten(name string, err error) error {
	return fault.Newf(fault.Unavailable, "backup.Extract", "%s cannot be written; the disk may be full", name).Because(err)
}

// syncFolder has the disk keep the names in a folder.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
