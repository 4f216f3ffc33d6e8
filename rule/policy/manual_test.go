package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"trivet/rule/policy"
	"trivet/test/manual"
)

func kinds() string {
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
	manual.Part{Page: "../../docs/policies.md", Name: "kinds", Run: "./rule/policy"}.Hold(t, kinds()+"\n")
}
