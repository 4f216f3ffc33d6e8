package manual

import (
	"strings"
	"time"

	"trivet/admin/cmdlet"
)

// Cmdlet is the page of a cmdlet: trivet-NAME in section 1.
func Cmdlet(c cmdlet.Cmdlet, date time.Time) Page {
	w, name := &writer{}, "trivet-"+c.Name
	w.page(date, name, 1, c.Synopsis)
	w.section("SYNOPSIS")
	w.macro("Nm", "trivet", word(c.Name))
	for _, p := range c.AllParams() {
		line := synopsis(p)
		w.macro(line[0], line[1:]...)
	}
	w.section("DESCRIPTION")
	w.text(c.Synopsis)
	w.text(rights(c))
	w.text("Names of parameters are known in any case and by their beginning.")
	w.macro("Bl", "-tag", "-width", "Ds")
	for _, p := range c.AllParams() {
		if p.Takes == "" {
			w.macro("It", "Fl", word(p.Name))
		} else {
			w.macro("It", "Fl", word(p.Name), "Ar", word(p.Takes))
		}
		w.text(parameter(p))
	}
	w.macro("El")
	if !c.Local {
		target(w)
	}
	w.statuses()
	if c.Example != "" {
		w.section("EXAMPLES")
		w.example("trivet " + c.Example)
	}
	w.see("trivet 1")
	return Page{name, 1, w.Bytes()}
}

// synopsis is the parameter as a line of the synopsis.
func synopsis(p cmdlet.Param) []string {
	line := []string{"Fl", word(p.Name)}
	if p.Takes != "" && !p.Switch {
		line = append(line, "Ar", word(p.Takes))
	}
	if !p.Required {
		line = append([]string{"Op"}, line...)
	}
	return line
}

// parameter explains p in sentences.
func parameter(p cmdlet.Param) string {
	s := strings.TrimSuffix(p.Help, ".") + "."
	if p.Default != "" {
		s += " The default is " + p.Default + "."
	}
	if p.Required {
		s += " It has to be given."
	}
	if p.Position > 0 {
		s += " Its name may be left out."
	}
	if p.File {
		s += " The value names a file of this computer, whose contents are sent."
	}
	return s
}

func rights(c cmdlet.Cmdlet) string {
	switch {
	case c.Local:
		return "It runs where it is started, against any deployment, and needs no account of an administrator."
	case len(c.Roles) == 0:
		return "The owner of the data folder may run it, and from elsewhere CsAdministrator."
	}
	return "The owner of the data folder may run it, and from elsewhere CsAdministrator and " + strings.Join(c.Roles, ", ") + "."
}

// target explains which server is asked.
func target(w *writer) {
	w.text("Which server is asked:")
	w.macro("Bl", "-tag", "-width", "Ds")
	for _, f := range []struct{ name, takes, help string }{
		{"data", "dir", "The server of this data folder, on this computer, as the folder's owner. The default is $TRIVET_DATA, else ./trivet-data."},
		{"server", "url", "Another server, as an administrator."},
		{"user", "name", "The administrator; the password comes from $TRIVET_PASSWORD or the terminal."},
		{"ca", "file", "Authorities that the other server's certificate may be of, PEM."},
	} {
		w.macro("It", "Fl", "-"+f.name, "Ar", f.takes)
		w.text(f.help)
	}
	w.macro("El")
}
