package directory

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"trivet/fault"
)

// Sheet is a table of users as administrators exchange it: comma separated values
// (RFC 4180) in UTF-8 with a header of property names. Commas may be semicolons or
// tabs, as spreadsheets of some countries write them.
type Sheet struct {
	Rows    []SheetRow
	Ignored []string // columns that are there and are not read, as the header has them

	columns map[string]int // lower case name to place
}

// SheetRow is one user of a Sheet.
type SheetRow struct {
	Line  int // in the file, from 1
	cells []string
}

// Limits of a Sheet.
const (
	MaxSheetRows = 100_000
	maxColumns   = 100
)

// sheetKeys are columns that are not plain properties: what a row means by them is
// the reader's business.
var sheetKeys = []string{"Identity", "SipAddress", "Manager", "Password"}

// sheetIgnored are properties that a listing of users shows and nobody sets.
var sheetIgnored = []string{"Guid", "RegistrarPool", "HomeServer", "RoutingGroupId", "AdminRoles", "Source", "SourceID", "WhenCreated", "WhenChanged"}

// ReadSheet reads a file. Errors are fault.Invalid and name the line.
func ReadSheet(data []byte) (*Sheet, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !utf8.Valid(data) {
		return nil, sheetError("needs to be in UTF-8; line %d is not", 1+bytes.Count(data[:firstInvalid(data)], []byte("\n")))
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma, r.FieldsPerRecord, r.ReuseRecord = separator(data), -1, false
	header, err := r.Read()
	if err != nil {
		return nil, sheetFault(err, "is empty; it needs a first line with the names of properties")
	}
	s := &Sheet{columns: make(map[string]int, len(header))}
	if err := s.header(header); err != nil {
		return nil, err
	}
	for {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return nil, sheetFault(err, "")
		}
		line, _ := r.FieldPos(0)
		if err := s.row(line, cells, len(header)); err != nil {
			return nil, err
		}
	}
}

func sheetError(format string, args ...any) error {
	return fault.Newf(fault.Invalid, "directory.ReadSheet", "the file "+format, args...).About("Path")
}

// sheetFault explains an error of the reader; empty is for a file without lines.
func sheetFault(err error, empty string) error {
	var p *csv.ParseError
	switch {
	case errors.As(err, &p) && errors.Is(p.Err, csv.ErrQuote):
		return sheetError("has a quote that is not closed or is followed by text, from line %d to line %d", p.StartLine, p.Line)
	case errors.As(err, &p):
		return sheetError("has a quote in the middle of a cell in line %d; put the cell in quotes and write the quote twice", p.Line)
	}
	return sheetError("%s", empty)
}

func firstInvalid(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// separator is what the header has most of.
func separator(data []byte) rune {
	first, _, _ := bytes.Cut(data, []byte("\n"))
	best, most := ',', 0
	for _, c := range ",;\t" {
		if n := bytes.Count(first, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best
}

func (s *Sheet) header(names []string) error {
	if len(names) > maxColumns {
		return sheetError("may have at most %d columns; it has %d", maxColumns, len(names))
	}
	for i, name := range names {
		name = strings.TrimSpace(name)
		key := strings.ToLower(name)
		if _, twice := s.columns[key]; twice {
			return sheetError("has the column %q twice", name)
		}
		switch column, ok := columnNamed(name); {
		case !ok:
			return sheetError("has %q as the name of column %d, which is no property of a user", clip(name), i+1)
		case slices.Contains(sheetIgnored, column):
			s.Ignored = append(s.Ignored, column)
		}
		s.columns[key] = i
	}
	return nil
}

// columnNamed is the right spelling of a column.
func columnNamed(name string) (string, bool) {
	for _, list := range [][]string{sheetKeys, sheetIgnored} {
		for _, k := range list {
			if strings.EqualFold(k, name) {
				return k, true
			}
		}
	}
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			return f.Name, true
		}
	}
	return "", false
}

func (s *Sheet) row(line int, cells []string, columns int) error {
	switch {
	case len(cells) != columns:
		return sheetError("has %d columns, but line %d has %d cells", columns, line, len(cells))
	case len(s.Rows) == MaxSheetRows:
		return sheetError("may have at most %d rows; divide it", MaxSheetRows)
	}
	if slices.ContainsFunc(cells, func(c string) bool { return strings.TrimSpace(c) != "" }) {
		for i := range cells {
			cells[i] = unguard(cells[i])
		}
		s.Rows = append(s.Rows, SheetRow{line, cells})
	}
	return nil
}

// Cell is what a row has in the column called name, without space around it;
// false when there is no such column.
func (s *Sheet) Cell(r SheetRow, name string) (string, bool) {
	i, ok := s.columns[strings.ToLower(name)]
	if !ok {
		return "", false
	}
	return strings.TrimSpace(r.cells[i]), true
}

// Apply sets the plain properties of u that the sheet has a column for; those in
// sheetKeys stay. An empty cell removes a text and leaves alone what cannot be
// empty: names that a user needs, and switches. Errors are fault.Invalid with the
// property as subject.
func (s *Sheet) Apply(r SheetRow, u *User) error {
	for _, f := range fields {
		text, given := s.Cell(r, f.Name)
		if !given || slices.Contains(sheetKeys, f.Name) || slices.Contains(sheetIgnored, f.Name) {
			continue
		}
		switch {
		case f.Name == "ProxyAddresses":
			u.ProxyAddresses = SplitList(r.cells[s.columns["proxyaddresses"]]) // a line's end counts
		case f.flag != nil && text != "":
			b, ok := truths[strings.ToLower(text)]
			if !ok {
				return invalid(f.Name, "True or False", text)
			}
			*f.flag(u) = b
		case f.text != nil && (text != "" || !slices.Contains(needed, f.Name)):
			*f.text(u) = text
		}
	}
	return nil
}

// needed are texts that no user is without.
var needed = []string{"UserPrincipalName", "SamAccountName", "DisplayName"}

// truths are the spellings of a switch in a cell.
var truths = map[string]bool{
	"true": true, "$true": true, "1": true, "yes": true, "false": false, "$false": false, "0": false, "no": false,
}

// formula reports whether a spreadsheet could take a cell for a formula, with or
// without the apostrophes in front that GuardCell puts there.
func formula(cell string) bool {
	cell = strings.TrimLeft(cell, "'")
	return cell != "" && strings.IndexByte("=+-@\t\r", cell[0]) >= 0
}

// GuardCell is a text as a cell of an exported table: one that a spreadsheet would
// run as a formula, beginning with =, +, -, @, a tab or a carriage return, gets an
// apostrophe in front. So does one that has apostrophes in front of such a
// character, so that ReadSheet, which takes one away, always reads the text back.
func GuardCell(text string) string {
	if formula(text) {
		return "'" + text
	}
	return text
}

// unguard is the inverse of GuardCell.
func unguard(cell string) string {
	if formula(cell) {
		return strings.TrimPrefix(cell, "'")
	}
	return cell
}

// SplitList reads a list out of a cell: one item a line, or separated by ;.
func SplitList(cell string) []string {
	by := ";"
	if strings.Contains(cell, "\n") {
		by = "\n"
	}
	var list []string
	for item := range strings.SplitSeq(cell, by) {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// JoinList is the inverse of SplitList.
func JoinList(list []string) string {
	if !slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, ";") }) {
		return strings.Join(list, ";")
	}
	return strings.Join(list, "\n") + "\n"
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
