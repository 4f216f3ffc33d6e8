package trivet

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDependenciesPage holds docs/dependencies.md to go.mod: a row for every
// direct module, none for others.
func TestDependenciesPage(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(page, -1) {
		listed[string(row[1])] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllSubmatch(mod, -1) { // the indirect ones end in a comment
		if !listed[string(m[1])] {
			t.Errorf("docs/dependencies.md has no row for %s of go.mod", m[1])
		}
		delete(listed, string(m[1]))
	}
	for m := range listed {
		t.Errorf("docs/dependencies.md has a row for %s, which go.mod does not require directly", m)
	}
}

// TestLinks finds links between pages that lead nowhere.
func TestLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#\s]+)`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".md") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllSubmatch(text, -1) {
			to := string(m[1])
			if strings.Contains(to, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), to)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", path, to)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
