// Package need makes the foreign programs of a test available: it installs the
// Debian packages a test names, when they are missing and the test runs as root,
// and otherwise ends the test with a sentence that says what to install.
//
// Packages may be called by several tests and several test programs at once; one
// of them installs and the others wait for it.
package need

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Packages returns when all the Debian packages are installed.
func Packages(t testing.TB, packages ...string) {
	t.Helper()
	if len(missing(packages)) == 0 {
		return
	}
	unlock, err := lock()
	if err != nil {
		t.Fatalf("need: %v", err)
	}
	defer unlock()
	lacking := missing(packages) // somebody else may have installed them meanwhile
	if len(lacking) == 0 {
		return
	}
	if os.Geteuid() != 0 {
		t.Fatal(advice(lacking))
	}
	if err := install(lacking); err != nil {
		t.Fatalf("%s: %v", advice(lacking), err)
	}
	if still := missing(packages); len(still) > 0 {
		t.Fatal(advice(still))
	}
}

func advice(packages []string) string {
	return "this test needs Debian packages that are not installed; run: apt-get install " + strings.Join(packages, " ")
}

// missing returns the packages that dpkg does not know as installed, which are
// all of them on a machine without dpkg.
func missing(packages []string) (lacking []string) {
	args := append([]string{"-W", "-f", "${Package} ${db:Status-Status}\n"}, packages...)
	out, _ := exec.Command("dpkg-query", args...).Output() // fails when one is unknown, and still lists the others
	installed := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutSuffix(strings.TrimSpace(line), " installed"); ok {
			installed[name] = true
		}
	}
	for _, p := range packages {
		if !installed[p] {
			lacking = append(lacking, p)
		}
	}
	return lacking
}

func install(packages []string) error {
	install := append([]string{"install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"}, packages...)
	if aptGet(install) == nil {
		return nil
	}
	if err := aptGet([]string{"update", "-qq"}); err != nil { // the lists may be old or absent
		return err
	}
	return aptGet(install)
}

func aptGet(args []string) error {
	cmd := exec.Command("apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
	}
	return nil
}

// lock keeps other test programs from installing at the same time.
func lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(os.TempDir(), "trivet-test-packages.lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
