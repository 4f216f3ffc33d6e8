package conf_test

import (
	"fmt"
	"strings"
	"testing"

	"trivet/kit/conf"
	"trivet/test/manual"
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
	manual.Part{Page: "../../docs/configuration.md", Name: "settings", Run: "./kit/conf"}.Hold(t, table())
}
