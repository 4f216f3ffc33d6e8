package deb

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"trivet/test/peer/child"
	"trivet/test/peer/need"
)

const patience = time.Minute

// system is a Debian system that packages are installed into.
type system struct {
	root   string   // "" = this one
	prefix []string // what runs a command in it
	env    []string
}

// mount makes an overlay over this system in a mount namespace of its own and
// stays there. Its argument is an empty folder.
const mount = `set -e
mount -t tmpfs trivet-test "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay trivet-test -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc" || mount --rbind /proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
echo mounted
exec sleep infinity`

// newSystem ends the test when it may not install packages.
func newSystem(t *testing.T) *system {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test installs a Debian package, which only root may do: run it as root, for instance in a container")
	}
	need.Packages(t, "adduser", "init-system-helpers")
	s := &system{env: append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", "PATH=/fake:/usr/sbin:/usr/bin:/sbin:/bin")}
	dir := t.TempDir()
	if exec.Command("unshare", "--mount", "sh", "-c", "mount -t tmpfs x "+dir).Run() == nil {
		cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "mount", dir)
		holder := child.Start(t, "overlay", cmd)
		holder.Await(t, "the overlay", patience, func(l string) bool { return l == "mounted" })
		s.root = filepath.Join(dir, "root")
		s.prefix = []string{"nsenter", "--mount=/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/mnt", "chroot", s.root}
		s.must(t, "rm", "-rf", "/run/systemd", "/usr/sbin/policy-rc.d")
	} else {
		s.takeThis(t)
	}
	return s
}

// takeThis uses this system, where that cannot do harm.
func (s *system) takeThis(t *testing.T) {
	t.Helper()
	_, systemd := os.Stat("/run/systemd/system")
	if systemd == nil || exec.Command("dpkg-query", "-W", "trivet").Run() == nil {
		t.Fatal("this test may not mount an overlay here, and does not touch a system with systemd or with the package installed: run it in a container")
	}
	const policy, aside = "/usr/sbin/policy-rc.d", "/usr/sbin/policy-rc.d.trivet-test" // a container's, which forbids services
	if os.Rename(policy, aside) == nil {
		t.Cleanup(func() {
			if err := os.Rename(aside, policy); err != nil {
				t.Error(err)
			}
		})
	}
	t.Log("mounting is not allowed here: the package is installed into this system and purged afterwards")
	t.Cleanup(func() {
		for _, c := range [][]string{{"dpkg", "--purge", "trivet"}, {"deluser", "--quiet", "--system", "trivet"}, {"rm", "-rf", "/fake", "/run/systemd/system"}} {
			if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
				t.Logf("%v: %v %s", c, err, out)
			}
		}
	})
}

func (s *system) command(args ...string) *exec.Cmd {
	args = append(append([]string{}, s.prefix...), args...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = s.env
	return cmd
}

// must runs a command in the system and returns what it says.
func (s *system) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// fails reports whether a command fails.
func (s *system) fails(args ...string) bool { return s.command(args...).Run() != nil }

// write makes a file in the system.
func (s *system) write(t *testing.T, path, mode string, content []byte) {
	t.Helper()
	s.must(t, "mkdir", "-p", filepath.Dir(path))
	cmd := s.command("sh", "-c", `cat >"$1" && chmod "$2" "$1"`, "write", path, mode)
	cmd.Stdin = bytes.NewReader(content)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s cannot be written: %v\n%s", path, err, out)
	}
}

// install installs or upgrades, and returns what the administrator reads.
func (s *system) install(t *testing.T, deb string) string {
	t.Helper()
	content, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	at := "/tmp/" + filepath.Base(deb)
	s.write(t, at, "644", content)
	return s.must(t, "dpkg", "--install", at)
}

// service is the installed server, run as its unit says, with the test in
// systemd's place.
type service struct {
	*child.Process
	notify *net.UnixConn
}

// unit reads a setting of the installed unit.
func (s *system) unit(t *testing.T, key string) string {
	t.Helper()
	for line := range strings.Lines(s.must(t, "cat", "/lib/systemd/system/trivet.service")) {
		if v, ok := strings.CutPrefix(line, key+"="); ok {
			return strings.TrimSpace(v)
		}
	}
	t.Fatalf("the unit has no %s", key)
	return ""
}

// start runs the server and returns when it says that it is ready.
func (s *system) start(t *testing.T) *service {
	t.Helper()
	name := "@trivet-test-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	user := s.unit(t, "User")
	args := append([]string{"setpriv", "--reuid", user, "--regid", user, "--init-groups", "--no-new-privs", "env", "NOTIFY_SOCKET=" + name, "WATCHDOG_USEC=4000000"},
		strings.Fields(s.unit(t, "ExecStart"))...)
	x := &service{child.Start(t, "trivet", s.command(args...)), c}
	x.hears(t, "READY=1")
	return x
}

// hears waits until the server tells its service manager something.
func (x *service) hears(t *testing.T, want string) {
	t.Helper()
	b := make([]byte, 4096)
	for got := ""; !strings.Contains(got, want); {
		x.notify.SetReadDeadline(time.Now().Add(patience))
		n, err := x.notify.Read(b)
		if err != nil {
			t.Fatalf("the server does not say %s: %v\n%s", want, err, x.Tail())
		}
		got = string(b[:n])
	}
}
