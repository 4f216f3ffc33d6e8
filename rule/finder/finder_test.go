package finder_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"trivet/rule/finder"
)

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"":                  "",
		"alice":             "alice",
		"Alice Miller":      "alice miller",
		"  Alice\t Miller ": "alice miller",
		"Müller":            "muller",
		"Mu\u0308ller":      "muller",
		"STRAßE":            "strasse",
		"Łukasz Øster-Æ":    "lukasz oster-ae",
		"İstanbul":          "istanbul",
		"Ｗｉｄｅ":              "wide",
		"Ελλάς":             "ελλας",
		"日本":                "日本",
		"\xff":              "\ufffd",
	} {
		if got := finder.Fold(in); got != want {
			t.Errorf("Fold(%q) = %q, want %q", in, got, want)
		}
	}
}

// The attributes of the tests: a name of words, and an address.
const (
	name = 1 << iota
	address
	everything = name | address
)

func people() *finder.Index[string] {
	x := finder.New[string](2, name)
	for _, p := range [][2]string{
		{"Anna-Lena Müller", "sip:anna@example.test"}, {"Annabel Smith", "sip:annabel@example.test"}, {"Ann", "sip:ann@example.test"},
		{"Smith, John", "sip:john-ann@example.test"}, {"Jane van der Berg", "sip:jane@example.test"}, {"", "sip:nameless@example.test"},
	} {
		x.Put(p[1], p[1][4:], p[:])
	}
	return x
}

func TestFind(t *testing.T) {
	all := func(terms ...finder.Term) []finder.Term { return terms }
	for _, c := range []struct {
		what  string
		terms []finder.Term
		want  string
	}{
		{"beginning", all(finder.Term{Attrs: name, Text: "ann"}), "ann anna annabel"},
		{"exact ones first", all(finder.Term{Attrs: address, Text: "sip:ann"}), "ann anna annabel"},
		{"another case and no accent", all(finder.Term{Attrs: name, Text: "MULLER"}), "anna"},
		{"an accent where there is none", all(finder.Term{Attrs: name, Text: "smíth"}), "annabel john-ann"},
		{"a later word", all(finder.Term{Attrs: name, Text: "berg"}), "jane"},
		{"two words in a row", all(finder.Term{Attrs: name, Text: "van der"}), "jane"},
		{"behind a hyphen", all(finder.Term{Attrs: name, Text: "lena"}), "anna"},
		{"addresses have no words", all(finder.Term{Attrs: address, Text: "ann@"}), ""},
		{"in the middle of a word", all(finder.Term{Attrs: name, Text: "nna"}), ""},
		{"all terms", all(finder.Term{Attrs: name, Text: "ann"}, finder.Term{Attrs: name, Text: "smith"}), "annabel"},
		{"any attribute", all(finder.Term{Attrs: everything, Text: "j"}), "jane john-ann"},
		{"a term without text", all(finder.Term{Attrs: name, Text: " "}, finder.Term{Attrs: name, Text: "berg"}), "jane"},
		{"the whole", all(finder.Term{Attrs: name, Text: "ann", Exact: true}), "ann"},
		{"a word is not the whole", all(finder.Term{Attrs: name, Text: "berg", Exact: true}), ""},
		{"the whole and more", all(finder.Term{Attrs: name, Text: "ann"}, finder.Term{Attrs: address, Text: "SIP:Anna@example.test", Exact: true}), "anna"},
		{"no text at all", all(finder.Term{Attrs: name, Text: ""}), ""},
		{"no terms", nil, ""},
		{"unknown attributes", all(finder.Term{Attrs: 1 << 40, Text: "ann"}), ""},
	} {
		got, more := people().Find(c.terms, 10, nil)
		for i := range got {
			got[i], _, _ = strings.Cut(got[i], "@")
		}
		if strings.Join(got, " ") != c.want || more {
			t.Errorf("%s: %q, more %v; want %q", c.what, got, more, c.want)
		}
	}
}

func TestLimitAndKeep(t *testing.T) {
	x := people()
	for _, c := range []struct {
		limit, want int
		more        bool
	}{{0, 0, false}, {1, 1, true}, {2, 2, true}, {3, 3, false}, {4, 3, false}} {
		if got, more := x.Find([]finder.Term{{Attrs: name, Text: "ann"}}, c.limit, nil); len(got) != c.want || more != c.more {
			t.Errorf("limit %d: %q, more %v", c.limit, got, more)
		}
	}
	got, more := x.Find([]finder.Term{{Attrs: name, Text: "ann"}}, 1, func(s string) bool { return strings.HasPrefix(s, "annabel") })
	if len(got) != 1 || got[0] != "annabel@example.test" || more {
		t.Errorf("%q, more %v", got, more)
	}
}

// TestAgainstPlainSearch compares the index, through puts, replacements and
// removals, with a search that looks at everything.
func TestAgainstPlainSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[abAÄ]{1,2}`)
		text := rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(word, 0, 3).Draw(t, "words"), rapid.SampledFrom([]string{" ", "-"}).Draw(t, "between"))
		})
		x, plain := finder.New[string](2, name), map[string][2]string{}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			id := fmt.Sprint(rapid.IntRange(0, 20).Draw(t, "id"))
			if rapid.IntRange(0, 3).Draw(t, "what") == 0 {
				x.Remove(id)
				delete(plain, id)
				continue
			}
			v := [2]string{text.Draw(t, "name"), text.Draw(t, "address")}
			x.Put(id, id, v[:])
			plain[id] = v
		}
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		var want []string
		for _, id := range slices.Sorted(maps.Keys(plain)) {
			named := slices.ContainsFunc(strings.FieldsFunc(finder.Fold(plain[id][0]), func(r rune) bool { return r == ' ' || r == '-' }),
				func(w string) bool { return strings.HasPrefix(w, finder.Fold(a)) })
			if named && strings.HasPrefix(finder.Fold(plain[id][1]), finder.Fold(b)) {
				want = append(want, id)
			}
		}
		got, more := x.Find([]finder.Term{{Attrs: name, Text: a}, {Attrs: address, Text: b}}, 100, nil)
		slices.Sort(got)
		if !slices.Equal(got, want) || more || x.Len() != len(plain) {
			t.Fatalf("found %q, want %q among %q", got, want, plain)
		}
	})
}

// TestManyKeys fills several chunks and empties them again.
func TestManyKeys(t *testing.T) {
	const n = 5000
	x := finder.New[int](1, 1)
	count := func(text string) int {
		found, more := x.Find([]finder.Term{{Attrs: 1, Text: text}}, n, nil)
		if more {
			t.Errorf("%s: more than %d", text, n)
		}
		return len(found)
	}
	for i := range n {
		x.Put(fmt.Sprint(i), i, []string{fmt.Sprintf("same %04d", i*7919%n)})
	}
	if count("same") != n || count("00") != 100 || count("same 1") != 1000 || len(x.All()) != n {
		t.Errorf("found %d, %d and %d", count("same"), count("00"), count("same 1"))
	}
	for i := range n {
		x.Remove(fmt.Sprint(i * 3 % n))
	}
	if count("same") != 0 || count("0") != 0 || x.Len() != 0 {
		t.Errorf("%d and %d are left of %d", count("same"), count("0"), x.Len())
	}
}

func company(n int) *finder.Index[int] {
	x := finder.New[int](3, 1)
	for i := range n {
		x.Put(fmt.Sprint(i), i, []string{fmt.Sprintf("First%d Last%d", i*7919%n, i*104729%n), fmt.Sprintf("sip:user%d@example.test", i), "Contoso"})
	}
	return x
}

func BenchmarkFind(b *testing.B) {
	x := company(80_000)
	for what, terms := range map[string][]finder.Term{
		"letter":   {{Attrs: 1, Text: "f"}},
		"exact":    {{Attrs: 2, Text: "sip:user4711@example.test"}},
		"narrow":   {{Attrs: 4, Text: "contoso"}, {Attrs: 1, Text: "last777"}},
		"disjoint": {{Attrs: 1, Text: "first1"}, {Attrs: 1, Text: "last2"}, {Attrs: 4, Text: "other"}},
		"broad":    {{Attrs: 1, Text: "first1"}, {Attrs: 1, Text: "last9999"}, {Attrs: 4, Text: "contoso"}},
		"vain":     {{Attrs: 4, Text: "contoso"}, {Attrs: 1, Text: "first"}, {Attrs: 2, Text: "sip:user"}, {Attrs: 1, Text: "last1"}, {Attrs: 1, Text: "first99"}},
	} {
		b.Run(what, func(b *testing.B) {
			for b.Loop() {
				x.Find(terms, 100, nil)
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	x := company(80_000)
	i := 0
	for b.Loop() {
		i++
		x.Put(fmt.Sprint(i%80_000), i, []string{fmt.Sprintf("First%d Last%d", i, i), "sip:x", "Contoso"})
	}
}
