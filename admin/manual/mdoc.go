// Package manual writes the manual pages of the program in mdoc(7): one for the
// program, one for each of its commands, one for each cmdlet of the catalogue, and
// one for the settings file. Everything in them comes from the values that also
// make flags, help and completion, so that no page can say what the program does
// not do. The same input gives the same bytes; the date is the caller's.
//
// Values are not changed by printing and functions may be called from any
// goroutine.
package manual

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// Page is one manual page.
type Page struct {
	Name    string // "trivet-New-CsUser"
	Section int
	Text    []byte // mdoc(7)
}

// File is the name of the page's file, "trivet-New-CsUser.1".
func (p Page) File() string { return fmt.Sprintf("%s.%d", p.Name, p.Section) }

// writer writes mdoc.
type writer struct{ bytes.Buffer }

// page begins a page: date, title, and its name and what it is in one line.
func (w *writer) page(date time.Time, name string, section int, what string) {
	w.macro("Dd", date.UTC().Format("January 2, 2006"))
	fmt.Fprintf(w, ".Dt %s %d\n.Os\n.Sh NAME\n", strings.ToUpper(name), section)
	w.macro("Nm", name)
	w.macro("Nd", word(lowerFirst(strings.TrimSuffix(what, "."))))
}

// macro writes a line of a macro whose arguments are mdoc already.
func (w *writer) macro(name string, args ...string) {
	w.WriteString("." + name)
	for _, a := range args {
		w.WriteString(" " + a)
	}
	w.WriteByte('\n')
}

func (w *writer) section(title string) { w.macro("Sh", title) }

// text writes sentences, each beginning on a line of its own; an empty line begins a
// paragraph.
func (w *writer) text(s string) {
	for i, paragraph := range strings.Split(strings.TrimSpace(s), "\n\n") {
		if i > 0 {
			w.macro("Pp")
		}
		for _, line := range sentences(strings.Join(strings.Fields(paragraph), " ")) {
			for _, part := range wrapped(line) {
				w.WriteString(guarded(part) + "\n")
			}
		}
	}
}

// wrapped cuts a sentence into lines that mdoc likes.
func wrapped(s string) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(escaped(s)) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

// width is the most bytes of a line, less two that guarded may add.
const width = 78

// guarded keeps a line of text from being taken for a macro.
func guarded(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}

// example writes command lines as they are typed.
func (w *writer) example(lines ...string) {
	w.macro("Bd", "-literal", "-offset", "indent")
	for _, l := range lines {
		w.WriteString(guarded(escaped(l)) + "\n")
	}
	w.macro("Ed")
}

// statuses are the exit statuses of commands and cmdlets.
func (w *writer) statuses() {
	w.section("EXIT STATUS")
	w.macro("Bl", "-tag", "-width", "Ds", "-compact")
	for _, s := range []struct{ number, what string }{{"0", "Done."}, {"1", "Failed."}, {"2", "Wrong use: an argument or a setting does not fit."}, {"3", "The server was not reached."}} {
		w.macro("It", s.number)
		w.text(s.what)
	}
	w.macro("El")
}

// see lists other pages of section 1 and 5, "trivet 1".
func (w *writer) see(pages ...string) {
	w.section("SEE ALSO")
	for i, p := range pages {
		if i < len(pages)-1 {
			p += " ,"
		}
		w.macro("Xr", p)
	}
}

// sentences cuts text after full stops, because mdoc wants a line for each.
func sentences(s string) []string {
	var out []string
	for {
		i := strings.Index(s, ". ")
		if i < 0 {
			return append(out, s)
		}
		out, s = append(out, s[:i+1]), s[i+2:]
	}
}

var escaper = strings.NewReplacer(`\`, `\e`, "…", "...", "-", `\-`, "’", "'")

// escaped is plain text that mdoc takes as it is.
func escaped(s string) string { return escaper.Replace(s) }

// word is one argument of a macro: quoted, and never taken for another macro.
func word(s string) string {
	return `"\&` + strings.ReplaceAll(escaped(s), `"`, `""`) + `"`
}

// lowerFirst makes a sentence one that goes on; SIP stays SIP.
func lowerFirst(s string) string {
	if len(s) > 1 && 'A' <= s[0] && s[0] <= 'Z' && !('A' <= s[1] && s[1] <= 'Z') {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}
