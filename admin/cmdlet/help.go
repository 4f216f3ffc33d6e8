package cmdlet

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// Help is the cmdlet's manual page as text.
func (c Cmdlet) Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n    %s\n\nUsage\n    trivet %s%s\n\nParameters\n", c.Name, c.Synopsis, c.Name, c.usage())
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, p := range c.AllParams() {
		fmt.Fprintf(w, "    -%s\t%s\t%s\n", p.Name, p.Takes, p.explain())
	}
	w.Flush()
	if c.Example != "" {
		fmt.Fprintf(&b, "\nExample\n    trivet %s\n", c.Example)
	}
	where := "May be run from elsewhere by CsAdministrator"
	if len(c.Roles) > 0 {
		where += ", " + strings.Join(c.Roles, ", ")
	}
	if c.Local {
		where = "Runs here, against any deployment; no administrator's account is needed"
	}
	fmt.Fprintf(&b, "\n%s.\nExit status: 0 done, 1 failed, 2 wrong use, 3 not reached.\n", where)
	return b.String()
}

func (c Cmdlet) usage() string {
	var b strings.Builder
	for _, p := range c.Params() {
		item := "-" + p.Name
		if p.Position > 0 {
			item = "[" + item + "]"
		}
		if !p.Switch {
			item += " <" + p.Takes + ">"
		}
		if !p.Required {
			item = "[" + item + "]"
		}
		b.WriteString(" " + item)
	}
	return b.String()
}

func (p Param) explain() string {
	s := p.Help
	if p.Default != "" {
		s += " (default " + p.Default + ")"
	}
	if p.Required {
		s += " (required)"
	}
	return s
}
