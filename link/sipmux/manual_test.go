package sipmux

import (
	"fmt"
	"strings"
	"testing"

	"trivet/fault"
	"trivet/test/manual"
	"trivet/wire/sip"
)

// TestDiagnosticsManual holds the table of docs/diagnostics.md to the one here.
func TestDiagnosticsManual(t *testing.T) {
	var b strings.Builder
	b.WriteString("| kind | SIP | number |\n|---|---|---|\n")
	for kind, row := range statuses {
		fmt.Fprintf(&b, "| %s | %d %s | %d |\n", fault.Kind(kind), row.status, sip.Reason(row.status), row.diag)
	}
	manual.Part{Page: "../../docs/diagnostics.md", Name: "kinds", Run: "./link/sipmux"}.Hold(t, b.String())
}
