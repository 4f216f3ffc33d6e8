package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"

	"trivet/fault"
)

// Describe reads the first size bytes of the file name in folder, all of it when
// size is below 0, and returns its row of the manifest.
func Describe(ctx context.Context, folder, name string, size int64) (File, error) {
	f, err := os.Open(filepath.Join(folder, filepath.FromSlash(name)))
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	if size < 0 {
		info, err := f.Stat()
		if err != nil {
			return File{}, err
		}
		size = info.Size()
	}
	h := sha256.New()
	if _, err := io.CopyN(h, reader{ctx, f}, size); err != nil {
		return File{}, err
	}
	return File{Name: name, Size: size, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

// reader ends when its context does.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// Write writes the archive of the files that m lists in folder. They have to be as
// they were described: one that is shorter now is an error, one that differs is
// found by whoever reads the archive.
func Write(ctx context.Context, w io.Writer, m Manifest, folder string) error {
	const op = "backup.Write"
	m.Format = Format
	if err := m.check(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fault.Wrap(op, err)
	}
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return fault.Wrap(op, err)
	}
	t := tar.NewWriter(z)
	if err := entry(t, &m, ManifestName, int64(len(text)), 0o600); err != nil {
		return fault.Wrap(op, err)
	}
	if _, err := t.Write(text); err != nil {
		return fault.Wrap(op, err)
	}
	for _, f := range m.Files {
		if err := add(ctx, t, &m, f, folder); err != nil {
			return fault.Wrap(op+" "+f.Name, err)
		}
	}
	if err := t.Close(); err != nil {
		return fault.Wrap(op, err)
	}
	return fault.Wrap(op, z.Close())
}

func entry(t *tar.Writer, m *Manifest, name string, size, mode int64) error {
	return t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Format: tar.FormatPAX, Name: name, Size: size, Mode: mode, ModTime: m.Made.Truncate(1e9)})
}

func add(ctx context.Context, t *tar.Writer, m *Manifest, f File, folder string) error {
	from, err := os.Open(filepath.Join(folder, filepath.FromSlash(f.Name)))
	if err != nil {
		return err
	}
	defer from.Close()
	mode := int64(0o600)
	if f.Public {
		mode = 0o644
	}
	if err := entry(t, m, f.Name, f.Size, mode); err != nil {
		return err
	}
	_, err = io.CopyN(t, reader{ctx, from}, f.Size)
	return err
}
