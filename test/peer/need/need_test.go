package need

import "testing"

func TestMissingNamesOnlyWhatIsNotInstalled(t *testing.T) {
	got := missing([]string{"dpkg", "no-such-package-trivet"})
	if len(got) != 1 || got[0] != "no-such-package-trivet" {
		t.Errorf("missing = %q, want only no-such-package-trivet", got)
	}
}
