package phonenorm_test

import (
	"strings"
	"testing"

	"trivet/fault"
	"trivet/rule/phonenorm"
)

const file = "\ufeff# extensions of the head office\r\n\r\n(\\d{4})\r\n+1425555$1;ext=$1\r\n" +
	"# American numbers\n1?([2-9]\\d{9})\n+1$1\n# nothing is one\n(?:none)\nx$\n"

func TestNormalize(t *testing.T) {
	company, err := phonenorm.Parse(file)
	if err != nil || len(company) != 3 {
		t.Fatal(len(company), err)
	}
	for _, c := range []struct{ in, both, own, builtIn string }{
		{"+1 (425) 555-0100", "+14255550100", "", "+14255550100"},
		{"tel:+14255550100", "+14255550100", "", "+14255550100"},
		{"+44 (0)20 7946.0000", "+442079460000", "", "+442079460000"},
		{"+49 30 1234 x56", "+49301234;ext=56", "", "+49301234;ext=56"},
		{"+49 30 1234 ext. 56", "+49301234;ext=56", "", "+49301234;ext=56"},
		{"0049 30 123456", "+4930123456", "", "+4930123456"},
		{"011 49 30 123456", "+4930123456", "", "+4930123456"},
		{"(425) 555-0100", "+14255550100", "+14255550100", ""},
		{"0123", "+14255550123;ext=0123", "+14255550123;ext=0123", ""},
		{"12345", "", "", ""},
		{"none", "x$", "x$", ""},
		{"", "", "", ""},
		{" - ", "", "", ""},
		{"+0301234567", "", "", ""},
		{"+" + strings.Repeat("1", 200), "", "", ""},
	} {
		for _, with := range []struct {
			rules *phonenorm.Normalizer
			want  string
		}{{phonenorm.New(company, false), c.both}, {phonenorm.New(company, true), c.own}, {phonenorm.New(nil, false), c.builtIn}} {
			if got, ok := with.rules.Normalize(c.in); got != with.want || ok != (with.want != "") {
				t.Errorf("%q is %q, %v; want %q", c.in, got, ok, with.want)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		what, in, about string
		kind            fault.Kind
	}{
		{"no translation", "# a\n(\\d)\n", "line 2 has no translation", fault.Invalid},
		{"not RE2", "(?=a)b\n$1", "lines 1 and 2", fault.Invalid},
		{"huge repetition", "(\\d{5000})\n$1", "lines 1 and 2", fault.Invalid},
		{"no such group", "(\\d)\n$2", "$2", fault.Invalid},
		{"not a group", "(\\d)\n$x", "$x", fault.Invalid},
		{"long line", strings.Repeat("a", 2000), "line 1", fault.Limit},
		{"many rules", strings.Repeat("a\nb\n", 1001), "1000 rules", fault.Limit},
		{"large file", strings.Repeat("#\n", 200<<10), "at most", fault.Limit},
	} {
		if _, wrong := phonenorm.Parse(c.in); len(wrong) != 1 || !fault.Is(wrong[0], c.kind) || !strings.Contains(wrong[0].Error(), c.about) {
			t.Errorf("%s: %v", c.what, wrong)
		}
	}
	if r, err := phonenorm.Parse("# nothing\n"); err != nil || len(r) != 0 {
		t.Errorf("an empty file: %v, %v", r, err)
	}
}

// TestWrongRulesOnly: the others count, and the faults are named, in bounds.
func TestWrongRulesOnly(t *testing.T) {
	rules, wrong := phonenorm.Parse("(\\d{4})\n+1425555$1\n(?=a)b\n$1\n# next\n9(\\d{3})\n+1$1\n(\\d)\n$2\n")
	if len(rules) != 2 || len(wrong) != 2 || !strings.Contains(wrong[0].Error(), "lines 3 and 4") || !strings.Contains(wrong[1].Error(), "lines 8 and 9") {
		t.Errorf("%d rules, %v", len(rules), wrong)
	}
	rules, wrong = phonenorm.Parse(strings.Repeat("(\n$1\n", 500) + "1\n2\n")
	if len(rules) != 1 || len(wrong) != 20 {
		t.Errorf("%d rules, %d faults", len(rules), len(wrong))
	}
	if rules, _ = phonenorm.Parse(strings.Repeat("a\nb\n", 1001)); len(rules) != 1000 {
		t.Errorf("%d rules", len(rules))
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file, "+1 (425) 555-0100")
	f.Add("(\\d+)\n$1", "0123")
	f.Fuzz(func(t *testing.T, text, number string) {
		r, _ := phonenorm.Parse(text)
		phonenorm.New(r, false).Normalize(number)
	})
}
