package manual

import (
	"strings"
	"time"

	"trivet/admin/cmdlet"
)

// Command is a command of the program that is no cmdlet.
type Command struct {
	Name  string // "run", "completion bash"
	Args  string // what follows the flags, "" for nothing
	Short string // one sentence
	Long  string // paragraphs
	Flags []Flag
}

// Flag is a flag of a command.
type Flag struct {
	Name  string // without hyphens
	Takes string // "" for a switch
	Help  string
}

// Subcommand is the page of a command: trivet-NAME in section 1.
func Subcommand(c Command, date time.Time) Page {
	w, name := &writer{}, "trivet-"+strings.ReplaceAll(c.Name, " ", "-")
	w.page(date, name, 1, c.Short)
	w.section("SYNOPSIS")
	w.macro("Nm", "trivet", word(c.Name))
	for _, f := range c.Flags {
		w.macro("Op", f.line()...)
	}
	if c.Args != "" {
		w.macro("Ar", word(c.Args))
	}
	w.section("DESCRIPTION")
	long := c.Long
	if long == "" {
		long = strings.TrimSuffix(c.Short, ".") + "."
	}
	for paragraph := range strings.SplitSeq(long, "\n\n") {
		w.describe(paragraph)
	}
	if len(c.Flags) > 0 {
		w.macro("Bl", "-tag", "-width", "Ds")
		for _, f := range c.Flags {
			w.macro("It", f.line()...)
			w.text(upperFirst(strings.TrimSuffix(f.Help, ".")) + ".")
		}
		w.macro("El")
	}
	w.statuses()
	w.see("trivet 1", "trivet.yaml 5")
	return Page{name, 1, w.Bytes()}
}

// describe writes a paragraph; one that is indented is a block of command lines.
func (w *writer) describe(paragraph string) {
	head, lines := "", []string{}
	for l := range strings.Lines(paragraph) {
		if trimmed := strings.TrimSpace(l); strings.HasPrefix(l, "\t") || strings.HasPrefix(l, "    ") {
			lines = append(lines, trimmed)
		} else {
			head += l
		}
	}
	if strings.TrimSpace(head) != "" {
		if w.mid() {
			w.macro("Pp")
		}
		w.text(strings.NewReplacer("####", "").Replace(head))
	}
	if len(lines) > 0 {
		w.example(lines...)
	}
}

// mid reports whether there is text before in the section.
func (w *writer) mid() bool {
	return !strings.HasSuffix(w.String(), ".Sh DESCRIPTION\n") && !strings.HasSuffix(w.String(), ".Ed\n")
}

func (f Flag) line() []string {
	line := []string{"Fl", word("-" + f.Name)}
	if f.Takes != "" {
		line = append(line, "Ar", word(f.Takes))
	}
	return line
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// Program is the page of the program, which lists commands and cmdlets.
func Program(commands []Command, cmdlets []cmdlet.Cmdlet, date time.Time) Page {
	w := &writer{}
	w.page(date, "trivet", 1, "unified communications server and its management shell")
	w.section("SYNOPSIS")
	w.macro("Nm", "trivet", "Ar", "command", "Op", "Fl", "-flag", "Ar", "...")
	w.macro("Nm", "trivet", "Ar", "Verb-CsNoun", "Op", "Fl", "Parameter", "Ar", "value ...")
	w.section("DESCRIPTION")
	w.text("Trivet serves presence, contact lists and instant messages to Lync-capable clients and to SIP clients, on one's own machines. " +
		"The program is the server, started by \"trivet run\", and the shell that manages it: a cmdlet is given to the server in the data folder, as its owner, or to another with --server.")
	w.macro("Pp")
	w.text("Commands:")
	w.macro("Bl", "-tag", "-width", "Ds", "-compact")
	var pages []string
	for _, c := range commands {
		w.macro("It", "Ic", word(c.Name))
		w.text(strings.TrimSuffix(c.Short, ".") + ".")
		pages = append(pages, "trivet-"+strings.ReplaceAll(c.Name, " ", "-")+" 1")
	}
	w.macro("El")
	w.macro("Pp")
	w.text("Cmdlets, each with a page of its name after trivet-:")
	w.macro("Bl", "-tag", "-width", "Ds", "-compact")
	for _, c := range cmdlets {
		w.macro("It", "Ic", word(c.Name))
		w.text(c.Synopsis)
	}
	w.macro("El")
	w.section("ENVIRONMENT")
	w.macro("Bl", "-tag", "-width", "TRIVET_PASSWORD")
	w.macro("It", "Ev", "TRIVET_DATA")
	w.text("The data folder, where no --data names one; else ./trivet-data.")
	w.macro("It", "Ev", "TRIVET_PASSWORD")
	w.text("The password of the administrator whom --user names.")
	w.macro("El")
	w.statuses()
	w.see(append(pages, "trivet.yaml 5")...)
	return Page{"trivet", 1, w.Bytes()}
}
