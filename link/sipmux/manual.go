package sipmux

import (
	"cmp"
	"slices"
	"strings"
)

// Rows are the table, in the order of method, event and type.
func (m *Mux) Rows() []Route {
	var rows []Route
	for _, e := range m.methods {
		rows = append(rows, e.rows...)
	}
	if m.methods["OPTIONS"] == nil {
		rows = append(rows, m.options())
	}
	slices.SortFunc(rows, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Method, b.Method), cmp.Compare(a.App, b.App), cmp.Compare(a.Event, b.Event), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Who, b.Who))
	})
	return rows
}

// Markdown prints rows for the manual: one line each.
func Markdown(rows []Route) string {
	var b strings.Builder
	b.WriteString("| method | for | event | content type | who | what it does |\n|---|---|---|---|---|---|\n")
	for i := range rows {
		r := &rows[i]
		for _, cell := range []string{r.Method, or(r.App, "any"), or(r.Event, "any"), or(r.Type, "any"), r.callers()} {
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("| " + strings.ReplaceAll(r.Doc, "|", `\|`) + " |\n")
	}
	return b.String()
}

// callers are those whom the row admits.
func (r *Route) callers() string {
	if r.Who == User && r.Asserted {
		return "user, asserted"
	}
	return r.Who.String()
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
