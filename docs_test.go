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

// TestLimitsPage holds docs/limits.md to the settings and the constants: names and
// values.
func TestLimitsPage(t *testing.T) {
	page, err := os.ReadFile("docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile("docs/configuration.md") // which a test holds to the program
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| [^|]+ \\| `([^`]+)` \\| `([^`]+)` \\|").FindAllStringSubmatch(string(page), -1)
	if len(rows) < 30 {
		t.Fatalf("docs/limits.md has only %d rows with a value", len(rows))
	}
	for _, row := range rows {
		name, value := row[1], row[2]
		if strings.HasPrefix(name, "limits.") {
			if !regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(name) + "` \\|[^|]*\\| `" + regexp.QuoteMeta(value) + "` \\|").Match(settings) {
				t.Errorf("docs/limits.md: the setting %s has not the default %s", name, value)
			}
			continue
		}
		folder, constant, _ := strings.Cut(name, ".")
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		says := regexp.MustCompile(`(\b` + constant + `\s*=\s*|&c\.` + constant + `, )` + regexp.QuoteMeta(value) + `(\)|\s)`)
		found := false
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			found = found || says.Match(text)
		}
		if !found {
			t.Errorf("docs/limits.md: %s is not %s", name, value)
		}
	}
}
