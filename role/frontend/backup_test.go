package frontend

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"trivet/admin/client"
	"trivet/fault"
	"trivet/kit/backup"
	"trivet/kit/clock"
	"trivet/kit/conf"
	"trivet/kit/log"
	"trivet/kit/sqlite"
	"trivet/replica"
	"trivet/rule/directory"
	"trivet/rule/groupstate"
	"trivet/uc"
)

const bea = uc.UserURI("sip:bea@example.test")

// backedUp asks a running server for a backup, as its owner does.
func backedUp(t *testing.T, s *server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trivet.tgz")
	if _, err := backup.Save(t.Context(), file, false, func(w io.Writer) error { return client.Backup(t.Context(), s.set.Data, w) }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.path(copyFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the backup has left its folder: %v", err)
	}
	return file
}

func restored(t *testing.T, file string) (string, backup.Manifest) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	m, err := Restore(t.Context(), file, dir, log.Discard())
	if err != nil {
		t.Fatal(err)
	}
	return dir, m
}

// TestBackupsWhilePeopleAreRenamed: a change of address goes through the directory,
// the user's group and the groups of all who know the user. Backups are made while
// one follows the other without a pause. In each of them the start finds either
// address, with the contact list, in everybody's eyes: parts of different moments
// would leave the list under an address that the directory no longer has, and lose
// it.
func TestBackupsWhilePeopleAreRenamed(t *testing.T) {
	t.Parallel()
	s, stop := run(t, t.TempDir())
	u := withFriend(t, s)
	if _, err := (directoryUsers{s}).Create(t.Context(), directory.User{
		SipAddress: bea, UserPrincipalName: "bea@example.test", SamAccountName: "bea", DisplayName: "Bea", Enabled: true,
	}, "Long-enough-1-password"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.groups.Propose(t.Context(), bea, &groupstate.SetContact{User: bea, Delta: 1, Max: 9,
		Contact: groupstate.Contact{URI: string(ann), Name: "A", Groups: groupstate.Groups(1)}}); err != nil {
		t.Fatal(err)
	}
	var enough atomic.Bool
	var wg sync.WaitGroup
	names := []uc.UserURI{ann, annMay, "sip:ann.third@example.test", "sip:ann.fourth@example.test", "sip:ann.fifth@example.test"}
	var renamed atomic.Int64
	another := make(chan struct{}, 1)
	wg.Go(func() {
		for ; !enough.Load(); renamed.Add(1) {
			if _, err := (directoryUsers{s}).Update(t.Context(), u.GUID, callHer(names[int(renamed.Load()+1)%len(names)])); err != nil {
				t.Error(err)
				return
			}
			select {
			case another <- struct{}{}:
			default:
			}
		}
	})
	var files []string
	for n := 0; n < 4 || n < 40 && renamed.Load() < 10; n++ { // a busy machine takes longer
		files = append(files, backedUp(t, s))
		files = append(files, backedUpSlowly(t, s, another))
	}
	enough.Store(true)
	wg.Wait()
	stop()
	if renamed.Load() < 10 {
		t.Errorf("only %d changes of address meanwhile", renamed.Load())
	}
	seen := map[uc.UserURI]int{}
	for _, file := range files {
		dir, _ := restored(t, file)
		s, stop := run(t, dir)
		is, err := s.store.ByGUID(t.Context(), u.GUID)
		if err != nil {
			t.Fatal(err)
		}
		seen[is.SipAddress]++
		for _, was := range names {
			if was == is.SipAddress {
				continue
			}
			hasFriend(t, s, was, is.SipAddress)
			if err := s.groups.Read(t.Context(), bea, func(state *groupstate.State) {
				if c := state.User(bea).Contacts(); c.Find(string(is.SipAddress)) == nil || c.Find(string(was)) != nil {
					t.Errorf("the list of who knows %s is not whole", is.SipAddress)
				}
			}); err != nil {
				t.Error(err)
			}
		}
		stop()
	}
	t.Logf("%d changes of address, backups with %v", renamed.Load(), seen)
}

// backedUpSlowly is a backup that leaves time for one more change of address where
// there must be none, between the directory and the groups.
func backedUpSlowly(t *testing.T, s *server, another chan struct{}) string {
	t.Helper()
	f := &folder{set: s.set, host: s.host, clock: clock.Real{}}
	f.still = func(during func() error) error {
		for range 3 { // the first may have ended before, the second be under way
			select {
			case <-another:
			case <-time.After(200 * time.Millisecond):
			}
		}
		return s.authority.Still(during)
	}
	m, err := f.take(t.Context())
	file := filepath.Join(t.TempDir(), "slow.tgz")
	if err == nil {
		_, err = backup.Save(t.Context(), file, false, func(w io.Writer) error { return f.write(t.Context(), w, m) })
	}
	if err = errors.Join(err, f.clear()); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestNothingChangesAtTheInstant: no database takes a change while the logs of the
// groups are marked.
func TestNothingChangesAtTheInstant(t *testing.T) {
	t.Parallel()
	s, _ := run(t, t.TempDir())
	u := withFriend(t, s)
	f := &folder{set: s.set, host: s.host, still: s.authority.Still, clock: clock.Real{}}
	if err := os.Mkdir(f.copy(""), 0o700); err != nil {
		t.Fatal(err)
	}
	err := f.instant(t.Context(), func() error {
		var wg sync.WaitGroup
		for _, name := range databases {
			wg.Go(func() {
				if p, err := sqlite.Pin(t.Context(), s.path(name)); !fault.Is(err, fault.Overload) {
					t.Errorf("%s can be changed: %v", name, errors.Join(err, p.Close()))
				}
			})
		}
		wg.Wait()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (directoryUsers{s}).Update(t.Context(), u.GUID, callHer(annMay)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestRestoredServerHasNobodyRegistered(t *testing.T) {
	t.Parallel()
	s, stop := run(t, t.TempDir())
	withFriend(t, s)
	for i, transport := range []string{"udp", "tls"} {
		flow := groupstate.Flow{Server: s.fqdn, Epoch: s.epoch, Conn: uint64(i + 1), Transport: transport, Remote: netip.MustParseAddrPort("192.0.2.1:5060")}
		if _, err := s.groups.Propose(t.Context(), ann, &groupstate.Bind{User: ann, Now: s.groups.now(), Max: 8, CallID: transport, CSeq: 1, Flow: flow,
			Contacts: []groupstate.BindContact{{Endpoint: uc.EndpointID(transport), Contact: "sip:x@192.0.2.1", Lifetime: 3_600_000}}}); err != nil {
			t.Fatal(err)
		}
	}
	file := backedUp(t, s)
	if list := s.registrar.Locate(ann); len(list) != 2 {
		t.Errorf("the backup has changed what is registered: %+v", list)
	}
	epoch := s.epoch
	stop()

	for round := range 2 {
		dir, m := restored(t, file)
		if m.Epoch != epoch || len(m.Groups) != groupCount {
			t.Errorf("%+v", m)
		}
		s, stop := run(t, dir)
		if list := s.registrar.Locate(ann); len(list) != 0 {
			t.Errorf("registered after the restore: %+v", list)
		}
		if s.epoch <= epoch+1000 {
			t.Errorf("round %d: epoch %d after %d", round, s.epoch, epoch)
		}
		for _, g := range m.Groups {
			if st := s.host.Group(uc.GroupID(g.Group)).Status(); st.Applied < g.Index {
				t.Errorf("group %d: %+v", g.Group, st)
			}
		}
		// the log goes on, over a restart too
		if _, err := s.groups.Propose(t.Context(), ann, &groupstate.SetContact{User: ann, Delta: 2, Max: 9,
			Contact: groupstate.Contact{URI: "sip:other@example.test", Groups: groupstate.Groups(1)}}); err != nil {
			t.Error(err)
		}
		stop()
		s, stop = run(t, dir)
		if err := s.groups.Read(t.Context(), ann, func(state *groupstate.State) {
			if c := state.User(ann).Contacts(); c.Find(friend) == nil || c.Find("sip:other@example.test") == nil || c.Delta != 3 {
				t.Errorf("%+v", c)
			}
		}); err != nil {
			t.Error(err)
		}
		stop()
	}
}

func TestOneBackupAtATime(t *testing.T) {
	t.Parallel()
	s, _ := run(t, t.TempDir())
	s.backing.Lock()
	err := client.Backup(t.Context(), s.set.Data, io.Discard)
	s.backing.Unlock()
	if !fault.Is(err, fault.Exists) || !strings.Contains(err.Error(), "another backup") {
		t.Errorf("a second backup: %v", err)
	}
	if err := BackupStopped(t.Context(), s.set, io.Discard); !fault.Is(err, fault.Unavailable) {
		t.Errorf("beside a server that runs: %v", err)
	}
	backedUp(t, s)
}

// TestBackupIsNotOnTheNetwork asks for one where cmdlets are run from elsewhere.
func TestBackupIsNotOnTheNetwork(t *testing.T) {
	t.Parallel()
	s, _ := run(t, t.TempDir())
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig.RootCAs, transport.TLSClientConfig.ServerName = s.authority.Roots(), s.set.FQDN
	defer transport.CloseIdleConnections()
	for _, path := range []string{"/backup", "/api/backup"} {
		res, err := (&http.Client{Transport: transport}).Post("https://"+s.https.String()+path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if kind := res.Header.Get("Content-Type"); res.StatusCode == http.StatusOK && !strings.HasPrefix(kind, "text/plain") {
			t.Errorf("%s: %s %s", path, res.Status, kind)
		}
	}
	if _, err := os.Stat(s.path(auditFile)); !errors.Is(err, os.ErrNotExist) {
		t.Error("a backup was made")
	}
}

// TestBackupThatDied: what it has left is gone after the next start, and one that
// nobody takes to its end leaves nothing.
func TestBackupThatDied(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s, stop := run(t, data)
	if err := client.Backup(t.Context(), data, failing{}); err == nil {
		t.Error("a disk that is full was not noticed")
	}
	s.backing.Lock() // until the handler has ended
	if _, err := os.Stat(s.path(copyFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	s.backing.Unlock()
	stop()
	if err := errors.Join(os.MkdirAll(filepath.Join(data, copyFolder, "groups", "log"), 0o700), os.WriteFile(filepath.Join(data, copyFolder, "users.db"), []byte("half"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s, _ = run(t, data)
	if _, err := os.Stat(s.path(copyFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}

// TestStopDuringABackup: a server that is to stop does not wait for somebody who
// takes a backup slowly, and who takes it learns that it is not whole.
func TestStopDuringABackup(t *testing.T) {
	t.Parallel()
	s, stop := run(t, t.TempDir())
	large := make([]byte, 16<<20) // more than sockets hold
	rand.NewChaCha8([32]byte{}).Read(large)
	if err := os.WriteFile(s.path("large"), large, 0o600); err != nil {
		t.Fatal(err)
	}
	s.set.Kerberos.Keytab = "large"
	slow := &slowly{begun: make(chan struct{}), on: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- client.Backup(context.Background(), s.set.Data, slow) }()
	<-slow.begun
	begin := time.Now()
	stop()
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("the stop took %v", d)
	}
	close(slow.on)
	if err := <-ended; !fault.Is(err, fault.Unavailable) {
		t.Errorf("who took it: %v", err)
	}
	if _, err := os.Stat(s.path(copyFolder)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

// slowly takes what it is given once it may go on.
type slowly struct {
	once      sync.Once
	begun, on chan struct{}
}

func (w *slowly) Write(b []byte) (int, error) {
	w.once.Do(func() { close(w.begun) })
	<-w.on
	return len(b), nil
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestWhatABackupHolds(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for name, text := range map[string]string{
		"trivet.yaml":     "domain: example.test\n",
		"keys/sip.keytab": "\x05\x02", "pw": "secret", "notes.txt": "mine", "audit.log": "{\"a\":1}\n{\"b\":", "demo-users.json": "[]",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(data, name)), 0o700), os.WriteFile(filepath.Join(data, name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	s, stop := run(t, data)
	stop()
	set := s.set
	set.Kerberos.Keytab = "keys/sip.keytab"
	set.Directory.Sources = append(set.Directory.Sources, conf.DirectorySource{PasswordFile: filepath.Join(data, "pw"), CA: "/etc/ssl/corp.pem"})
	var b bytes.Buffer
	if err := BackupStopped(t.Context(), set, &b); err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	m, err := backup.Read(t.Context(), &b, func(x backup.File, r io.Reader) error {
		text, err := io.ReadAll(r)
		texts[x.Name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"trivet.yaml", "keys/sip.keytab", "pw", "demo-users.json", "users.db", "central.db", "dirsync.db", "ca.pem", "pki/ca.key", "pki/secret-seal.key", "epoch"} {
		if texts[name] == "" {
			t.Errorf("%s is not in it", name)
		}
	}
	if texts[auditFile] != "{\"a\":1}\n" {
		t.Errorf("the audit file has half a line: %q", texts[auditFile])
	}
	if want := []string{"/etc/ssl/corp.pem (named by trivet.yaml)", "notes.txt"}; !slices.Equal(m.LeftOut, want) {
		t.Errorf("left out are %q", m.LeftOut)
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	s, stop := run(t, t.TempDir())
	withFriend(t, s)
	file := backedUp(t, s)
	stop()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	above := t.TempDir()
	refuse := func(what, file, dir string, kind fault.Kind, says string) {
		t.Helper()
		if _, err := Restore(t.Context(), file, dir, log.Discard()); !fault.Is(err, kind) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", what, err)
		}
	}
	full := filepath.Join(above, "full")
	if err := errors.Join(os.Mkdir(full, 0o700), os.WriteFile(filepath.Join(full, "users.db"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	refuse("not empty", file, full, fault.Exists, "users.db")
	refuse("no such file", file+"x", filepath.Join(above, "new"), fault.NotFound, file+"x")
	for name, b := range map[string][]byte{"cut": whole[:len(whole)/2], "changed": change(whole)} {
		bad := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(bad, b, 0o600); err != nil {
			t.Fatal(err)
		}
		refuse(name, bad, filepath.Join(above, "new"), fault.Invalid, "damaged")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Restore(ended, file, filepath.Join(above, "new"), log.Discard()); err == nil {
		t.Error("called off, and done")
	}
	if list, _ := os.ReadDir(above); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
	if err := os.Mkdir(filepath.Join(above, "new.partial"), 0o700); err != nil {
		t.Fatal(err)
	}
	refuse("another one", file, filepath.Join(above, "new"), fault.Exists, "new.partial")
	empty := filepath.Join(above, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	owner := os.Geteuid()
	if owner == 0 { // root restores for others
		if owner = 65534; os.Chown(empty, owner, owner) != nil {
			t.Fatal("the folder cannot be given away")
		}
	}
	if _, err := Restore(t.Context(), file, empty+"/", log.Discard()); err != nil {
		t.Errorf("into an empty folder: %v", err)
	}
	for _, name := range []string{"", "users.db", "pki/ca.key", "groups/log"} {
		info, err := os.Stat(filepath.Join(empty, name))
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 || int(info.Sys().(*syscall.Stat_t).Uid) != owner {
			t.Errorf("%q: %v, %+v", name, mode, info.Sys())
		}
	}
}

// TestRestoreOfAnIncompleteLog: sums that are right do not help an archive whose log
// ends before its manifest says.
func TestRestoreOfAnIncompleteLog(t *testing.T) {
	t.Parallel()
	s, stop := run(t, t.TempDir())
	withFriend(t, s)
	stop()
	host, err := replica.Open(t.Context(), replica.Config{Dir: s.path("groups")})
	if err != nil {
		t.Fatal(err)
	}
	f := &folder{set: s.set, host: host, still: func(f func() error) error { return f() }, clock: clock.Real{}}
	m, err := f.take(t.Context())
	m.Groups[0].Index += 1000
	var b bytes.Buffer
	if err = errors.Join(err, f.write(t.Context(), &b, m), host.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "a.tgz")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new")
	if _, err := Restore(t.Context(), file, dir, log.Discard()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "routing group 1") {
		t.Error(err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("it was restored")
	}
}

func change(b []byte) []byte {
	b = bytes.Clone(b)
	for i := range 8 { // somewhere in the middle, more than a bit that may say nothing
		b[len(b)/2+i] ^= 0xff
	}
	return b
}
