package pki

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"trivet/fault"
	"trivet/uc"
)

// journal is the record of client certificates: a file of one JSON object per
// line, each an issue or a revocation, and its sum in memory. A line is synced
// before the change counts; a last line without its end, left by a crash, never
// counted. Lines that no longer matter are dropped at the start and hourly.
type journal struct {
	path string

	mu     sync.Mutex // guards the fields below
	file   *os.File
	size   int64 // bytes of whole lines
	lines  int
	broken error // after a write that could not be undone
	byKey  map[KeyHash]ClientCert
	byUser map[uc.UserURI][]KeyHash // oldest first
}

type line struct {
	Issue  *ClientCert `json:"issue,omitempty"`
	Revoke *KeyHash    `json:"revoke,omitempty"`
}

// MarshalText writes the hash as lower case hex.
func (k KeyHash) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(k[:])), nil }

// UnmarshalText reads what MarshalText wrote.
func (k *KeyHash) UnmarshalText(b []byte) error {
	if len(b) != 2*len(k) {
		return errors.New("a key's hash has 64 hex digits")
	}
	_, err := hex.Decode(k[:], b)
	return err
}

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

func (a *Authority) openClients() error {
	if a.clients = a.cfg.Clients; a.clients != nil {
		return nil
	}
	j := &journal{path: a.path("clients.jsonl"), byKey: map[KeyHash]ClientCert{}, byUser: map[uc.UserURI][]KeyHash{}}
	b, err := os.ReadFile(j.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for rest := b; len(rest) > 0; {
		row, more, whole := bytes.Cut(rest, []byte{'\n'})
		if !whole {
			break // a crash cut this line: it was never acknowledged
		}
		if err := j.replay(row); err != nil {
			return fault.Newf(fault.Invalid, "pki.openClients", "line %d cannot be read; remove it, or restore the file from a copy", j.lines+1).About(j.path).Because(err)
		}
		rest = more
	}
	a.clients, a.journal = j, j
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.rewrite(a.cfg.Clock.Now())
}

func (j *journal) replay(row []byte) error {
	var l line
	if err := json.Unmarshal(row, &l); err != nil {
		return err
	}
	j.apply(l)
	return nil
}

func (j *journal) apply(l line) {
	j.lines++
	if l.Revoke != nil {
		j.drop(*l.Revoke)
	}
	if l.Issue == nil {
		return
	}
	j.drop(l.Issue.Key)
	j.byKey[l.Issue.Key] = *l.Issue
	j.byUser[l.Issue.User] = append(j.byUser[l.Issue.User], l.Issue.Key)
}

func (j *journal) drop(k KeyHash) {
	c, ok := j.byKey[k]
	if !ok {
		return
	}
	delete(j.byKey, k)
	keys := slices.DeleteFunc(j.byUser[c.User], func(x KeyHash) bool { return x == k })
	if j.byUser[c.User] = keys; len(keys) == 0 {
		delete(j.byUser, c.User)
	}
}

// write appends lines, syncs, and only then applies them.
func (j *journal) write(lines []line) error {
	if j.broken != nil {
		return fault.New(fault.Unavailable, "pki.journal", "the record of client certificates cannot be written; free disk space and restart the server").Because(j.broken)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	_, err := j.file.WriteAt(b.Bytes(), j.size)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		if cut := j.file.Truncate(j.size); cut != nil {
			j.broken = cut
		}
		return fault.New(fault.Unavailable, "pki.journal", "the record of client certificates cannot be written").Because(err)
	}
	j.size += int64(b.Len())
	for _, l := range lines {
		j.apply(l)
	}
	return nil
}

// Add implements Ledger.
func (j *journal) Add(_ context.Context, c ClientCert) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if old, ok := j.byKey[c.Key]; ok && old.User != c.User {
		return fault.New(fault.Forbidden, "pki.journal", "the key of the certificate request belongs to another user; make a new key").About(string(c.User))
	}
	lines := []line{{Issue: &c}}
	if keys := j.byUser[c.User]; len(keys) >= perUser && !slices.Contains(keys, c.Key) {
		oldest := keys[0]
		lines = append([]line{{Revoke: &oldest}}, lines...)
	}
	return j.write(lines)
}

// Revoke implements Ledger.
func (j *journal) Revoke(_ context.Context, user uc.UserURI, device string) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var lines []line
	for _, k := range j.byUser[user] {
		if device == "" || strings.EqualFold(j.byKey[k].Device, device) {
			lines = append(lines, line{Revoke: &k})
		}
	}
	if len(lines) == 0 {
		return 0, nil
	}
	return len(lines), j.write(lines)
}

// ByKey implements Ledger.
func (j *journal) ByKey(_ context.Context, k KeyHash) (ClientCert, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c, ok := j.byKey[k]
	if !ok {
		return c, fault.New(fault.NotFound, "pki.ByKey", "no client certificate was issued for this key")
	}
	return c, nil
}

// Of implements Ledger.
func (j *journal) Of(_ context.Context, user uc.UserURI) ([]ClientCert, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []ClientCert
	for _, k := range j.byUser[user] {
		out = append(out, j.byKey[k])
	}
	return out, nil
}

// compact rewrites the file when more than half of its lines say nothing any more.
func (j *journal) compact(now time.Time) error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lines < 2*len(j.byKey)+1000 {
		return nil
	}
	return j.rewrite(now)
}

// rewrite replaces the file by one line for each certificate that is still valid.
func (j *journal) rewrite(now time.Time) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for _, c := range j.byKey {
		if !now.Before(c.Expires) {
			j.drop(c.Key)
		}
	}
	n := 0
	for _, keys := range j.byUser {
		for _, k := range keys {
			c := j.byKey[k]
			if err := enc.Encode(line{Issue: &c}); err != nil {
				return err
			}
			n++
		}
	}
	if err := writeFile(j.path, b.Bytes(), 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(j.path, os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if j.file != nil {
		j.file.Close()
	}
	j.file, j.size, j.lines, j.broken = f, int64(b.Len()), n, nil
	return nil
}

func (j *journal) close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.file.Close()
	j.broken = errors.New("closed")
	return err
}
