package interop

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// side is how many flows run at once: they mostly wait, for clients that take
// their time, so more of them than processors.
const side = "8"

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", side); err != nil {
			panic(err)
		}
	}
	status := m.Run()
	if dir, err := binaryDir(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(status)
}

var binaryDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "trivet-interop") })

// binary builds the program and returns its path. TRIVET_BINARY names another
// build to be tested instead: an older release, an installed package.
var binary = sync.OnceValues(func() (string, error) {
	if other := os.Getenv("TRIVET_BINARY"); other != "" {
		return filepath.Abs(other)
	}
	dir, err := binaryDir()
	if err != nil {
		return "", err
	}
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "trivet")
	build := exec.Command("go", "build", "-o", program, "./cmd/trivet")
	build.Dir = filepath.Dir(strings.TrimSpace(string(mod)))
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/trivet: %w\n%s", err, out)
	}
	return program, nil
})
