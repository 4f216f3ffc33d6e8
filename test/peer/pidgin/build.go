package pidgin

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

//go:embed driver
var source embed.FS

// packages are the Debian packages that build and run the driver.
var packages = []string{"gcc", "libc6-dev", "pkg-config", "libpurple-dev", "libjson-glib-dev", "libxml2-dev", "pidgin-sipe"}

// driver builds the driver, unless the cache folder of the user has one from the
// same source and libraries, and returns its path.
var driver = sync.OnceValues(func() (string, error) {
	versions, err := exec.Command("pkg-config", "--modversion", "purple", "json-glib-1.0", "libxml-2.0").Output()
	if err != nil {
		return "", fmt.Errorf("pkg-config: %w", err)
	}
	files, err := source.ReadDir("driver")
	if err != nil {
		return "", err
	}
	texts, sum := map[string][]byte{}, sha256.New()
	sum.Write(versions)
	for _, f := range files {
		text, err := source.ReadFile("driver/" + f.Name())
		if err != nil {
			return "", err
		}
		texts[f.Name()] = text
		fmt.Fprintf(sum, "%s %d\n%s", f.Name(), len(text), text)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "trivet-test")
	program := filepath.Join(cache, "pidgin-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	return program, compile(texts, cache, program)
})

// compile writes the texts to a folder of their own and builds them. The program
// appears under its name in one step: other test programs may build it, too.
func compile(texts map[string][]byte, cache, program string) error {
	dir, err := os.MkdirTemp(cache, "build")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	flags, err := exec.Command("pkg-config", "--cflags", "--libs", "purple", "json-glib-1.0", "libxml-2.0").Output()
	if err != nil {
		return fmt.Errorf("pkg-config: %w", err)
	}
	args := []string{"-O1", "-g", "-Wall", "-Wextra", "-Wno-cast-function-type", "-rdynamic", "-o", "driver"}
	for name, text := range texts {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
		if strings.HasSuffix(name, ".c") {
			args = append(args, name)
		}
	}
	gcc := exec.Command("gcc", append(args, strings.Fields(string(flags))...)...)
	gcc.Dir = dir
	if out, err := gcc.CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w\n%s", err, out)
	}
	return os.Rename(filepath.Join(dir, "driver"), program)
}
