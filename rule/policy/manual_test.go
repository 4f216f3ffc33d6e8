package policy_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trivet/rule/policy"
)

var update = flag.Bool("update", false, "write the tables of docs/policies.md anew")

// The tables of the kinds are between these two lines of the page.
const (
	page  = "../../docs/policies.md"
	begin = "<!-- kinds: written by go test ./rule/policy -run TestManual -update -->\n"
	end   = "<!-- end of kinds -->\n"
)

func manual() string {
	var b strings.Builder
	for _, k := range policy.Kinds() {
		fmt.Fprintf(&b, "\n### %s\n\nHolds %s. %s\n\n", k.Noun, k.About, reach(k))
		b.WriteString("| parameter | takes | default | what it says | effect |\n|---|---|---|---|---|\n")
		for _, p := range k.Params {
			def := "not set"
			if p.Default != "" {
				def = "`" + p.Default + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", p.Name, strings.ReplaceAll(p.Takes(), "|", ", "), def, p.Help, effect(p))
		}
	}
	return b.String()
}

func reach(k *policy.Kind) string {
	s := "For Global and sites."
	if k.Grant != "" {
		s = "For Global, sites and tags, which `Grant-" + k.Noun + "` gives to users."
	}
	for _, t := range k.Shipped {
		var values []string
		for _, p := range k.Params {
			if v, ok := t.Values[p.Name]; ok {
				values = append(values, fmt.Sprintf("`%s` %s", p.Name, v))
			}
		}
		s += fmt.Sprintf(" The tag *%s* is there from the start: %s.", t.Name, strings.Join(values, ", "))
	}
	return s
}

func effect(p policy.Param) string {
	var list []string
	if p.Server != "" {
		list = append(list, "the server "+p.Server)
	}
	if p.Client != "" {
		list = append(list, "clients are told, as `"+p.Client+"`")
	}
	return strings.Join(list, "; ")
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
		if err := os.WriteFile(page, []byte(head+begin+manual()+"\n"+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(manual()+"\n", got); d != "" {
		t.Errorf("%s does not have the kinds as they are (-kinds +page):\n%s", page, d)
	}
}
