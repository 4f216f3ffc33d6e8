// Package manual holds the parts of the pages in docs that are made from the
// program to what the program is. A test calls Hold for each part; run with
// -update it writes the part anew.
package manual

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the parts of docs that are made from the program anew")

// Part is a part of a page: what is between the line that names the test and
// "<!-- end of NAME -->".
type Part struct {
	Page string // from the folder of the test, "../../docs/policies.md"
	Name string // what it holds, "kinds"
	Run  string // the test's package, "./rule/policy"
}

// Hold compares the part with text, which ends in a newline.
func (p Part) Hold(t *testing.T, text string) {
	t.Helper()
	begin := fmt.Sprintf("<!-- %s: written by go test %s -run %s -update -->\n", p.Name, p.Run, t.Name())
	end := fmt.Sprintf("<!-- end of %s -->\n", p.Name)
	page, err := os.ReadFile(p.Page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok1 := strings.Cut(string(page), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatalf("%s lacks the lines %q and %q", p.Page, begin, end)
	}
	if !*update {
		if d := cmp.Diff(text, got); d != "" {
			t.Errorf("%s does not have the %s as they are (-program +page):\n%s", p.Page, p.Name, d)
		}
		return
	}
	if err := os.WriteFile(p.Page, []byte(head+begin+text+end+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}
