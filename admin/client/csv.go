package client

import (
	"encoding/csv"
	"encoding/json"

	"trivet/fault"
	"trivet/rule/directory"
)

// csv prints all properties of all rows as comma separated values (RFC 4180), as
// exact as JSON: Import-CsUser reads it back.
func (s *Session) csv(rows [][]member) error {
	names := present(nil, rows)
	w := csv.NewWriter(s.Out)
	if err := w.Write(names); err != nil {
		return err
	}
	for _, row := range rows {
		cells := make([]string, len(names))
		for i, name := range names {
			for _, m := range row {
				if m.name == name {
					cells[i] = exact(m.value)
				}
			}
		}
		if err := w.Write(cells); err != nil {
			return fault.Wrap("client.csv", err)
		}
	}
	w.Flush()
	return w.Error()
}

// exact is a JSON value as a cell: texts as they are, switches as True and False,
// lists as directory.JoinList has them; texts and lists that a spreadsheet would run
// as formulas are guarded (directory.GuardCell).
func exact(raw json.RawMessage) string {
	var text string
	var list []string
	var truth *bool
	switch {
	case json.Unmarshal(raw, &text) == nil:
		return directory.GuardCell(text)
	case json.Unmarshal(raw, &list) == nil:
		return directory.GuardCell(directory.JoinList(list))
	case json.Unmarshal(raw, &truth) == nil && truth != nil:
		if *truth {
			return "True"
		}
		return "False"
	}
	return string(raw)
}
