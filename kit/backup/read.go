package backup

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"trivet/fault"
)

// maxTail is what may follow the last file of an archive: padding.
const maxTail = 1 << 20

// Read reads a whole archive and compares it with its manifest. take is called for
// every file, with a reader of no more than its bytes; it may leave some. What it was
// given is to be believed only when Read has returned nil. A nil take only compares.
//
// Errors: fault.Invalid for what is no archive, a damaged one, and one that was cut,
// with the first file that suffers; fault.Unsupported for one of a newer release.
func Read(ctx context.Context, r io.Reader, take func(File, io.Reader) error) (Manifest, error) {
	const op = "backup.Read"
	z, err := gzip.NewReader(bufio.NewReaderSize(reader{ctx, r}, 64<<10))
	if err != nil {
		return Manifest{}, own(ctx, err, fault.New(fault.Invalid, op, "this is no archive of Trivet, or its beginning is damaged"))
	}
	t := tar.NewReader(z)
	m, err := first(t)
	if err != nil {
		return Manifest{}, own(ctx, err, damaged(op, "its manifest cannot be read"))
	}
	for _, f := range m.Files {
		if err := next(ctx, t, f, take); err != nil {
			return m, err
		}
	}
	if h, err := t.Next(); err == nil {
		return m, fault.Newf(fault.Invalid, op, "the archive has an entry that its manifest does not have, %.80q; it was changed", h.Name)
	} else if err != io.EOF {
		return m, own(ctx, err, damaged(op, "its end is missing or changed"))
	}
	n, err := io.CopyN(io.Discard, z, maxTail+1) // checks the sum of all
	if err != io.EOF || n > maxTail {
		return m, own(ctx, err, damaged(op, "its end is missing or changed"))
	}
	return m, nil
}

// own is a fault that err already is, or the end of the context, else what err means
// here.
func own(ctx context.Context, err error, means *fault.Error) error {
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	if ctx.Err() != nil {
		return fault.New(fault.Timeout, "backup.Read", "the archive was not read to its end").Because(context.Cause(ctx))
	}
	return means.Because(err)
}

// first reads the manifest.
func first(t *tar.Reader) (Manifest, error) {
	const op = "backup.Read"
	h, err := t.Next()
	if err != nil {
		return Manifest{}, err
	}
	if h.Name != ManifestName || h.Typeflag != tar.TypeReg || h.Size > maxManifest {
		return Manifest{}, fault.Newf(fault.Invalid, op, "this is no archive of Trivet: its first entry is not %s", ManifestName)
	}
	text, err := io.ReadAll(t)
	if err != nil {
		return Manifest{}, err
	}
	return parse(text)
}

// next reads the entry that has to be f.
func next(ctx context.Context, t *tar.Reader, f File, take func(File, io.Reader) error) error {
	const op = "backup.Read"
	h, err := t.Next()
	if err != nil {
		return own(ctx, err, damaged(op, "it ends, or cannot be read any further, before "+f.Name))
	}
	switch {
	case h.Name != f.Name:
		return fault.Newf(fault.Invalid, op, "the archive has %.80q where its manifest has %s; it was changed", h.Name, f.Name)
	case h.Typeflag != tar.TypeReg:
		return fault.Newf(fault.Invalid, op, "the archive has a link or another thing that is no file under the name %s; it was not made by Trivet", f.Name)
	case h.Size != f.Size:
		return damaged(op, "the size of "+f.Name+" is not that of its manifest")
	}
	sum := sha256.New()
	body := io.TeeReader(t, sum)
	if take != nil {
		if err := take(f, body); err != nil {
			return own(ctx, err, damaged(op, "it cannot be read any further in "+f.Name))
		}
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return own(ctx, err, damaged(op, "it ends, or cannot be read any further, in "+f.Name))
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.SHA256 {
		return damaged(op, "the SHA-256 of "+f.Name+" is "+got+", not "+f.SHA256)
	}
	return nil
}
