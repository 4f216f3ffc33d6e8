// Package backup is the archive of a data folder: a tar (POSIX.1-2001 pax) in gzip
// (RFC 1952) whose first entry is the manifest, a JSON object that names every
// entry after it with size and SHA-256. What a file means is not known here.
//
// An archive is read from its beginning to its end in bounded memory, and nothing
// of it is believed before it was compared with the manifest. Functions may be
// called from any goroutine.
package backup

import (
	"encoding/hex"
	"encoding/json"
	"path"
	"path/filepath"
	"strings"
	"time"

	"trivet/fault"
)

// Format is the version of what an archive holds, of its form as of the files in
// it. It grows with every release whose data folder older ones cannot read.
const Format = 1

// ManifestName is the first entry of an archive.
const ManifestName = "MANIFEST.json"

// Limits of an archive.
const (
	maxManifest = 16 << 20
	maxFiles    = 100_000
	maxName     = 512
)

// Manifest says what an archive holds.
type Manifest struct {
	Format  int
	Program string    // build of the program that made it
	Made    time.Time // the moment of which everything in it is
	FQDN    string    // name of the server
	Domain  string    // its SIP domain
	Epoch   uint64    // starts of the server so far
	Groups  []Group   // how far the routing groups were
	Files   []File    // in the order of the archive
	LeftOut []string  `json:",omitempty"` // what the server does not know, or what lies elsewhere
}

// Group is a routing group: its log up to Index is in the archive.
type Group struct {
	Group uint32
	Index uint64
}

// File is one file of the folder; its name has slashes.
type File struct {
	Name   string
	Size   int64
	SHA256 string // hex
	Public bool   `json:",omitempty"` // others may read it
}

// Bytes is the size of all files together.
func (m *Manifest) Bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// parse reads a manifest and checks it. A newer format is told before anything else
// is looked at.
func parse(b []byte) (Manifest, error) {
	const op = "backup.parse"
	var head struct {
		Format  int
		Program string
	}
	if err := json.Unmarshal(b, &head); err != nil || head.Format < 1 {
		return Manifest{}, damaged(op, "its manifest cannot be read").Because(err)
	}
	if head.Format > Format {
		return Manifest{}, fault.Newf(fault.Unsupported, op, "the archive was made by a newer release (%.60q, format %d); restore it with that release", head.Program, head.Format)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, damaged(op, "its manifest cannot be read").Because(err)
	}
	return m, m.check()
}

// check finds names that could lead out of a folder, and what could not have been
// written by Write.
func (m *Manifest) check() error {
	const op = "backup.check"
	if len(m.Files) > maxFiles {
		return damaged(op, "its manifest has more files than an archive may have")
	}
	for _, name := range []string{m.FQDN, m.Domain} { // they are shown as part of a command
		if strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
			return damaged(op, "its manifest names a server by what is no name")
		}
	}
	kind := map[string]string{} // file or folder, by name in lower case
	for _, f := range m.Files {
		if err := checkName(f.Name); err != nil {
			return err
		}
		if b, err := hex.DecodeString(f.SHA256); err != nil || len(b) != 32 || f.Size < 0 {
			return damaged(op, "its manifest has no size or hash of "+f.Name)
		}
		folded := strings.ToLower(f.Name)
		if kind[folded] != "" {
			return damaged(op, "its manifest has "+f.Name+" twice")
		}
		kind[folded] = "file"
		for dir := path.Dir(folded); dir != "."; dir = path.Dir(dir) {
			if kind[dir] == "file" {
				return damaged(op, "its manifest has a file that is a folder too: "+dir)
			}
			kind[dir] = "folder"
		}
	}
	return nil
}

// checkName refuses what is not a plain name below the folder.
func checkName(name string) error {
	switch {
	case name == "", len(name) > maxName, name == ManifestName, path.Clean(name) != name, !filepath.IsLocal(name), strings.ContainsAny(name, "\\:\x00"):
		return fault.Newf(fault.Invalid, "backup.checkName", "the archive has a file that does not belong into a data folder, %.80q; it was not made by Trivet", name)
	}
	return nil
}

func damaged(op, why string) *fault.Error {
	return fault.New(fault.Invalid, op, "the archive is damaged: "+why)
}
