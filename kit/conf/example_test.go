package conf_test

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/kit/conf"
)

// TestExample: the file sets nothing as it is, and the defaults with every "#" of
// a setting taken away.
func TestExample(t *testing.T) {
	t.Parallel()
	want, err := conf.Load(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	bare := regexp.MustCompile(`(?m)^#((?:  )?[a-z0-9-]+:)`).ReplaceAllString(string(conf.Example()), "$1")
	if bare == string(conf.Example()) {
		t.Fatal("no setting was found in the file")
	}
	for what, text := range map[string]string{"as it is": string(conf.Example()), "with everything set": bare} {
		got, err := conf.Load(folder(t, text), nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got.Data = want.Data
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s it changes settings:\n%s", what, d)
		}
	}
}
