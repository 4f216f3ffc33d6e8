package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"trivet/admin/cmdlet"
	"trivet/kit/conf"
	"trivet/test/peer/need"
)

// manPages writes the pages for a day.
func manPages(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "man")
	if _, errs, status := invoke(t, nil, "man", dir, "--date", "2026-02-28"); status != 0 {
		t.Fatalf("%d %s", status, errs)
	}
	return dir
}

// TestManPages: a page for everything, with everything in it, the same each time.
func TestManPages(t *testing.T) {
	t.Parallel()
	dir, again := manPages(t), manPages(t)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := os.ReadFile(filepath.Join(again, filepath.Base(f))); err != nil || !bytes.Equal(text, same) {
			t.Errorf("%s is another page the second time (%v)", f, err)
		}
		pages[filepath.Base(f)] = string(text)
	}
	has := func(page string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(pages[page], strings.NewReplacer("-", `\-`, "…", "...").Replace(w)) {
				t.Errorf("%s does not tell of %s", page, w)
			}
		}
	}
	has("trivet.1", "completion bash", "run", "TRIVET_DATA", "February 28, 2026")
	has("trivet-run.1", "listen", "sip-tls", "data")
	for _, c := range cmdlet.All() {
		has("trivet.1", c.Name)
		for _, p := range c.AllParams() {
			has("trivet-"+c.Name+".1", p.Name, p.Takes)
		}
	}
	var blank conf.Settings
	for _, f := range conf.Fields(&blank) {
		has("trivet.yaml.5", f.Key, f.Default)
	}
	if n, want := len(files), len(cmdlet.All())+9; n < want { // run, config, version, four completions, trivet, trivet.yaml
		t.Errorf("%d pages, want at least %d", n, want)
	}
}

// TestManPagesAreGoodMdoc has mandoc judge the pages. A page that is not installed
// yet cannot be found by those that name it.
func TestManPagesAreGoodMdoc(t *testing.T) {
	t.Parallel()
	need.Packages(t, "mandoc")
	files, err := filepath.Glob(filepath.Join(manPages(t), "*"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("mandoc", append([]string{"-Tlint"}, files...)...).Output()
	if len(files) == 0 || err != nil && len(out) == 0 {
		t.Fatalf("mandoc judged %d pages: %v", len(files), err)
	}
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "referenced manual not found") {
			t.Error(strings.TrimSpace(line))
		}
	}
}
