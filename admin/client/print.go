package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"trivet/admin/cmdlet"
	"trivet/fault"
)

// member is one property of a row.
type member struct {
	name  string
	value json.RawMessage
}

// properties reads the members of a JSON object in their order.
func properties(raw json.RawMessage) ([]member, error) {
	const op = "client.properties"
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fault.New(fault.Unavailable, op, "the server sent a row that is no object")
	}
	var list []member
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fault.Wrap(op, err)
		}
		var m member
		m.name, _ = name.(string)
		if err := dec.Decode(&m.value); err != nil {
			return nil, fault.Wrap(op, err)
		}
		list = append(list, m)
	}
	return list, nil
}

func compose(row []member) json.RawMessage {
	b := []byte{'{'}
	for i, m := range row {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, marshalText(m.name)...), ':'), m.value...)
	}
	return append(b, '}')
}

func marshalText(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil { // a string always can
		return json.RawMessage(`""`)
	}
	return b
}

// print shows the result: rows on Out, plans and warnings on Err. JSON is always
// an array of objects.
func (s *Session) print(c cmdlet.Cmdlet, as string, r Reply) error {
	for _, w := range r.Warnings {
		fmt.Fprintln(s.Err, "Warning: "+w)
	}
	for _, p := range r.Plans {
		fmt.Fprintln(s.Err, "What if: "+p)
	}
	if as == "" {
		as = "json"
		if s.Terminal {
			as = "table"
		}
	}
	if len(r.Rows) == 0 && (c.Table == nil || as != "json" || c.Changes) {
		return nil
	}
	if as == "json" {
		return s.json(r.Rows)
	}
	rows := make([][]member, len(r.Rows))
	for i, raw := range r.Rows {
		row, err := properties(raw)
		if err != nil {
			return err
		}
		rows[i] = row
	}
	switch as {
	case "list":
		return s.list(rows)
	case "csv":
		return s.csv(rows)
	}
	return s.table(c.Table, rows)
}

func (s *Session) json(rows []json.RawMessage) error {
	if rows == nil {
		rows = []json.RawMessage{}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(rows); err != nil {
		return fault.Wrap("client.json", err)
	}
	_, err := s.Out.Write(out.Bytes())
	return err
}

func (s *Session) list(rows [][]member) error {
	for i, row := range rows {
		if i > 0 {
			fmt.Fprintln(s.Out)
		}
		w := tabwriter.NewWriter(s.Out, 0, 0, 1, ' ', 0)
		for _, m := range row {
			fmt.Fprintf(w, "%s\t: %s\n", m.name, s.cell(m.value))
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) table(columns []string, rows [][]member) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	shown := present(columns, rows)
	fmt.Fprintln(w, strings.Join(shown, "\t"))
	fmt.Fprintln(w, strings.Join(underlines(shown), "\t"))
	for _, row := range rows {
		cells := make([]string, len(shown))
		for i, name := range shown {
			for _, m := range row {
				if m.name == name {
					cells[i] = s.cell(m.value)
				}
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// present are the columns that some row has, all properties when none has any.
func present(columns []string, rows [][]member) []string {
	has := map[string]bool{}
	var all []string
	for _, row := range rows {
		for _, m := range row {
			if !has[m.name] {
				has[m.name], all = true, append(all, m.name)
			}
		}
	}
	var shown []string
	for _, c := range columns {
		if has[c] {
			shown = append(shown, c)
		}
	}
	if shown == nil {
		return all
	}
	return shown
}

func underlines(names []string) []string {
	lines := make([]string, len(names))
	for i, n := range names {
		lines[i] = strings.Repeat("-", len(n))
	}
	return lines
}

// cell is a JSON value for a person: no quotes, lists with commas, times in the
// reader's zone, nothing that a terminal would obey.
func (s *Session) cell(raw json.RawMessage) string {
	zone := s.Zone
	if zone == nil {
		zone = time.Local
	}
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		if v {
			return "True"
		}
		return "False"
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil && strings.Contains(v, "T") {
			if t.IsZero() {
				return ""
			}
			return t.In(zone).Format("2006-01-02 15:04:05")
		}
		return Tame(v)
	case []any:
		var parts []string
		for _, p := range v {
			parts = append(parts, Tame(inner(p)))
		}
		return strings.Join(parts, ", ")
	}
	return Tame(string(raw))
}

// inner is a value within a list: of an object its properties by name.
func inner(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, name+"="+inner(v[name]))
		}
		return "{" + strings.Join(parts, "; ") + "}"
	case []any:
		var parts []string
		for _, p := range v {
			parts = append(parts, inner(p))
		}
		return strings.Join(parts, ", ")
	}
	return fmt.Sprint(v)
}

// Tame is text of a stranger for a terminal: one line, nothing that it would obey.
func Tame(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
