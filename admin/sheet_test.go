package admin_test

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSheetRoundTrip exports users, imports them into an empty directory, and
// finds the same table there, but for what belongs to the place.
func TestSheetRoundTrip(t *testing.T) {
	t.Parallel()
	first := newSite(t)
	run := func(s *site, args ...string) string {
		t.Helper()
		out, errs, status := s.shell("", args...)
		if status != 0 {
			t.Fatalf("%v: %d %s", args, status, errs)
		}
		return out
	}
	sheet, err := filepath.Abs("testdata/people.csv")
	if err != nil {
		t.Fatal(err)
	}
	run(first, "Import-CsUser", "-Path", sheet)
	run(first, "Set-CsUser", "carol", "-ProxyAddresses", "X400:C=DE;S=Carol", "-Description", `commas, "quotes"; and =1+1`, "-LineURI", "+14255550100;ext=7", "-Enabled", "$false",
		"-HideFromAddressLists", "$true", "-EnterpriseVoiceEnabled", "$true", "-City", "Köln", "-Title", "=HYPERLINK(1)", "-Company", "'-1")
	run(first, "New-CsUser", "unhomed", "-Enabled:$false", "-Password", "correct horse")
	exported := run(first, "Get-CsUser", "-As", "csv")
	if !strings.Contains(exported, ",'=HYPERLINK(1),") || !strings.Contains(exported, ",''-1,") {
		t.Errorf("formulas are exported as they are:\n%s", exported)
	}
	path := filepath.Join(t.TempDir(), "users.csv")
	if err := os.WriteFile(path, []byte(exported), 0o600); err != nil {
		t.Fatal(err)
	}
	second := newSite(t)
	run(second, "Import-CsUser", "-Path", path)
	if want, got := portable(t, exported), portable(t, run(second, "Get-CsUser", "-As", "csv")); want != got {
		t.Errorf("exported\n%s\nimported and exported\n%s", want, got)
	}
	if out := run(second, "Import-CsUser", "-Path", path, "-As", "csv"); strings.Count(out, "Unchanged") != 4 {
		t.Errorf("the same file again: %s", out)
	}
}

// portable is a table without the columns that belong to the place.
func portable(t *testing.T, text string) string {
	t.Helper()
	table, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(table) != 5 {
		t.Fatalf("%d lines, %v", len(table), err)
	}
	var b strings.Builder
	for _, row := range table {
		for i, cell := range row {
			if !slices.Contains([]string{"Guid", "RoutingGroupId", "WhenCreated", "WhenChanged", "HomeServer", "RegistrarPool"}, table[0][i]) {
				b.WriteString(cell + "|")
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
