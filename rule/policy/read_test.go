package policy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"trivet/rule/policy"
)

// TestEffectsAreRead: a parameter that says what the server does with it is read
// by some package of the server.
func TestEffectsAreRead(t *testing.T) {
	t.Parallel()
	read := map[string]bool{}
	member := regexp.MustCompile(`\.([A-Z]\w+)`)
	for _, floor := range []string{"role", "service"} {
		err := filepath.WalkDir("../../"+floor, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range member.FindAllSubmatch(text, -1) {
				read[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range policy.Kinds() {
		for _, p := range k.Params {
			if p.Server != "" && !read[p.Name] {
				t.Errorf("%s -%s: the server %s, but nobody reads it", k.Noun, p.Name, p.Server)
			}
		}
	}
}
