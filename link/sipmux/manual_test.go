package sipmux

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/wire/sip"
)

var update = flag.Bool("update", false, "write the table of docs/diagnostics.md anew")

// TestDiagnosticsManual holds the table of docs/diagnostics.md to the one here.
func TestDiagnosticsManual(t *testing.T) {
	const (
		page  = "../../docs/diagnostics.md"
		begin = "<!-- kinds: written by go test ./link/sipmux -run TestDiagnosticsManual -update -->\n"
		end   = "<!-- end of kinds -->\n"
	)
	var b strings.Builder
	b.WriteString("| kind | SIP | number |\n|---|---|---|\n")
	for kind, row := range statuses {
		fmt.Fprintf(&b, "| %s | %d %s | %d |\n", fault.Kind(kind), row.status, sip.Reason(row.status), row.diag)
	}
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
		if err := os.WriteFile(page, []byte(head+begin+b.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(b.String(), got); d != "" {
		t.Errorf("%s does not have the kinds as they are (-kinds +page):\n%s", page, d)
	}
}
