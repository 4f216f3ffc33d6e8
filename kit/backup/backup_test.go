package backup_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"trivet/fault"
	"trivet/kit/backup"
)

var contents = map[string]string{
	"ca.pem": "public", "groups/log/000001.log": strings.Repeat("entry ", 50_000), "groups/snapshots/1/7.snap": "", "pki/ca.key": "secret",
}

// fill makes a folder with contents and a manifest of it.
func fill(t testing.TB) (string, backup.Manifest) {
	t.Helper()
	dir := t.TempDir()
	m := backup.Manifest{Program: "test", Made: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), FQDN: "sip.example.test", Domain: "example.test", Epoch: 3, Groups: []backup.Group{{Group: 1, Index: 9}}}
	for _, name := range []string{"ca.pem", "groups/log/000001.log", "groups/snapshots/1/7.snap", "pki/ca.key"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(contents[name]), 0o600)); err != nil {
			t.Fatal(err)
		}
		f, err := backup.Describe(t.Context(), dir, name, -1)
		if err != nil {
			t.Fatal(err)
		}
		f.Public = name == "ca.pem"
		m.Files = append(m.Files, f)
	}
	return dir, m
}

func archive(t testing.TB) []byte {
	t.Helper()
	dir, m := fill(t)
	var b bytes.Buffer
	if err := backup.Write(t.Context(), &b, m, dir); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestThereAndBack(t *testing.T) {
	dir := t.TempDir()
	m, err := backup.Extract(t.Context(), bytes.NewReader(archive(t)), dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.Format != backup.Format || m.FQDN != "sip.example.test" || m.Epoch != 3 || len(m.Groups) != 1 || m.Groups[0].Index != 9 {
		t.Errorf("%+v", m)
	}
	got := map[string]string{}
	for name := range contents {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		got[name] = string(b)
		want := os.FileMode(0o600)
		if name == "ca.pem" {
			want = 0o644
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v", name, info.Mode())
		}
	}
	if !maps.Equal(got, contents) {
		t.Error("other contents")
	}
}

// TestDamage changes each byte of an archive in turn, and cuts it anywhere: it is
// noticed, unless what is read is the same all the same.
func TestDamage(t *testing.T) {
	whole := archive(t)
	sound, err := backup.Read(t.Context(), bytes.NewReader(whole), nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		if _, err := backup.Read(t.Context(), bytes.NewReader(whole[:n]), nil); !fault.Is(err, fault.Invalid) {
			t.Fatalf("cut after %d of %d bytes: %v", n, len(whole), err)
		}
	}
	for n := range whole {
		b := bytes.Clone(whole)
		b[n] ^= 0x10
		if m, err := backup.Read(t.Context(), bytes.NewReader(b), nil); err == nil && !reflect.DeepEqual(m, sound) {
			t.Errorf("byte %d of %d changed: not noticed", n, len(whole))
		}
	}
	if _, err := backup.Read(t.Context(), io.MultiReader(bytes.NewReader(whole), strings.NewReader("more")), nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("something behind it: %v", err)
	}
}

// item is an entry of an archive made by hand.
type item struct {
	name, body string
	kind       byte
	link       string
}

func forge(t testing.TB, manifest string, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, x := range append([]item{{name: backup.ManifestName, body: manifest, kind: tar.TypeReg}}, items...) {
		if err := w.WriteHeader(&tar.Header{Name: x.name, Typeflag: x.kind, Linkname: x.link, Size: int64(len(x.body)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, x.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func manifest(t testing.TB, format int, files ...backup.File) string {
	t.Helper()
	b, err := json.Marshal(backup.Manifest{Format: format, Program: "v9", Files: files})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func row(name, body string) backup.File {
	h := sha256.Sum256([]byte(body))
	return backup.File{Name: name, Size: int64(len(body)), SHA256: hex.EncodeToString(h[:])}
}

// TestHostileArchives: nothing of them gets out of the folder, and each is refused
// with what is wrong.
func TestHostileArchives(t *testing.T) {
	file := func(name string) item { return item{name: name, body: "x", kind: tar.TypeReg} }
	for name, c := range map[string]struct {
		b    []byte
		kind fault.Kind
		says string
	}{
		"newer":         {forge(t, `{"Format": 99, "Program": "v9", "Files": "another shape"}`), fault.Unsupported, "newer release"},
		"no archive":    {[]byte("hello"), fault.Invalid, "no archive"},
		"no manifest":   {forge(t, "{}"), fault.Invalid, "manifest"},
		"up":            {forge(t, manifest(t, 1, row("../evil", "x")), file("../evil")), fault.Invalid, "../evil"},
		"inside up":     {forge(t, manifest(t, 1, row("a/../../evil", "x")), file("a/../../evil")), fault.Invalid, "evil"},
		"absolute":      {forge(t, manifest(t, 1, row("/evil", "x")), file("/evil")), fault.Invalid, "/evil"},
		"backslash":     {forge(t, manifest(t, 1, row(`..\evil`, "x")), file(`..\evil`)), fault.Invalid, "evil"},
		"symbolic link": {forge(t, manifest(t, 1, row("a", "")), item{name: "a", kind: tar.TypeSymlink, link: "/etc"}), fault.Invalid, "link"},
		"hard link":     {forge(t, manifest(t, 1, row("a", "")), item{name: "a", kind: tar.TypeLink, link: "/etc/passwd"}), fault.Invalid, "link"},
		"device":        {forge(t, manifest(t, 1, row("a", "")), item{name: "a", kind: tar.TypeChar}), fault.Invalid, "no file"},
		"twice":         {forge(t, manifest(t, 1, row("a", "x"), row("a", "x")), file("a"), file("a")), fault.Invalid, "twice"},
		"file, folder":  {forge(t, manifest(t, 1, row("a", "x"), row("a/b", "x")), file("a"), file("a/b")), fault.Invalid, "folder too"},
		"not listed":    {forge(t, manifest(t, 1, row("a", "x")), file("a"), file("b")), fault.Invalid, `"b"`},
		"other":         {forge(t, manifest(t, 1, row("a", "x")), file("b")), fault.Invalid, `"b"`},
		"missing":       {forge(t, manifest(t, 1, row("a", "x"), row("users.db", "x")), file("a")), fault.Invalid, "users.db"},
		"hash":          {forge(t, manifest(t, 1, row("users.db", "y")), file("users.db")), fault.Invalid, "SHA-256 of users.db is 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"},
		"size":          {forge(t, manifest(t, 1, row("users.db", "xy")), file("users.db")), fault.Invalid, "size of users.db"},
	} {
		dir := filepath.Join(t.TempDir(), "below", "folder")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := backup.Extract(t.Context(), bytes.NewReader(c.b), dir)
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if above, _ := filepath.Glob(filepath.Join(dir, "..", "*")); len(above) != 1 {
			t.Errorf("%s: beside the folder are %q", name, above)
		}
	}
}

func TestSave(t *testing.T) {
	whole := archive(t)
	file := filepath.Join(t.TempDir(), "trivet.tgz")
	good := func(w io.Writer) error { _, err := w.Write(whole); return err }
	if err := os.WriteFile(file+".partial", []byte("left by a dead process"), 0o644); err != nil {
		t.Fatal(err)
	}
	if m, err := backup.Save(t.Context(), file, false, good); err != nil || len(m.Files) != len(contents) {
		t.Fatal(m, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if _, err := backup.Save(t.Context(), file, false, good); !fault.Is(err, fault.Exists) {
		t.Errorf("a file that exists: %v", err)
	}
	for name, produce := range map[string]func(io.Writer) error{
		"cut":    func(w io.Writer) error { _, err := w.Write(whole[:len(whole)/2]); return err },
		"failed": func(io.Writer) error { return fault.New(fault.Unavailable, "x", "no") },
	} {
		if _, err := backup.Save(t.Context(), file, true, produce); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if b, err := os.ReadFile(file); err != nil || !bytes.Equal(b, whole) {
		t.Error("the file is not what it was", err)
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if _, err := backup.Save(t.Context(), file, true, good); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := backup.Save(ctx, file, true, good); !fault.Is(err, fault.Timeout) {
		t.Errorf("called off: %v", err)
	}
}

// TestFileThatShrinks: an archive never has less of a file than its manifest says.
func TestFileThatShrinks(t *testing.T) {
	dir, m := fill(t)
	if err := os.Truncate(filepath.Join(dir, "pki/ca.key"), 2); err != nil {
		t.Fatal(err)
	}
	if err := backup.Write(t.Context(), io.Discard, m, dir); err == nil {
		t.Error("no error")
	}
}

// FuzzRead: whatever comes in, a file is given out under a harmless name, and what
// is accepted is as its manifest says.
func FuzzRead(f *testing.F) {
	file := item{name: "a", body: "x", kind: tar.TypeReg}
	plain := func(b []byte) []byte {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			f.Fatal(err)
		}
		raw, err := io.ReadAll(z)
		if err != nil {
			f.Fatal(err)
		}
		return raw
	}
	f.Add(plain(forge(f, manifest(f, 1, row("a", "x")), file)))
	f.Add(plain(forge(f, manifest(f, 1, row("../a", "x")), file)))
	f.Add(plain(forge(f, manifest(f, 2), file)))
	f.Fuzz(func(t *testing.T, raw []byte) { // gzip is put around it: a fuzzer does not find its sums
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(raw)
		z.Close()
		var n int64
		m, err := backup.Read(t.Context(), &b, func(f backup.File, r io.Reader) error {
			if !filepath.IsLocal(f.Name) || strings.Contains(f.Name, `\`) {
				t.Errorf("a file named %q", f.Name)
			}
			k, err := io.Copy(io.Discard, r)
			n += k
			return err
		})
		if err == nil && (n != m.Bytes() || m.Format != backup.Format) {
			t.Errorf("%d bytes given out, %d in the manifest", n, m.Bytes())
		}
	})
}
