package conf_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/kit/conf"
)

var update = flag.Bool("update", false, "write the table of docs/configuration.md anew")

// The table of settings is between these two lines of the page.
const (
	page  = "../../docs/configuration.md"
	begin = "<!-- settings: written by go test ./kit/conf -run TestManual -update -->\n"
	end   = "<!-- end of settings -->\n"
)

func table() string {
	var b strings.Builder
	b.WriteString("| setting | flag | default | what it does |\n|---|---|---|---|\n")
	var s conf.Settings
	var all []conf.Field
	for _, f := range conf.Fields(&s) {
		all = append(append(all, f), f.Elements()...)
	}
	for _, f := range all {
		flag, def := "", ""
		if f.Flag != "" {
			flag = "`--" + f.Flag + "`"
		}
		if f.Default != "" {
			def = "`" + f.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Key, flag, def, f.Help)
	}
	return b.String()
}

func TestManual(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(text), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks the lines %q and %q", page, begin, end)
	}
	if *update {
		if err := os.WriteFile(page, []byte(head+begin+table()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(table(), got); d != "" {
		t.Errorf("%s does not have the settings as they are (-settings +page):\n%s", page, d)
	}
}
