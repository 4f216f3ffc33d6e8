package manual

import (
	"time"

	"trivet/kit/conf"
)

// Settings is the page of the settings file, trivet.yaml in section 5.
func Settings(date time.Time) Page {
	w := &writer{}
	w.page(date, conf.FileName, 5, "settings of a Trivet server")
	w.section("DESCRIPTION")
	w.text("The file lies in the data folder of the server and is YAML. Everything works without it. " +
		"A setting comes from its default, then from this file, then from its flag of \"trivet run\", the later winning. " +
		"A dot in a name is a level of the file: sip.tls is tls below sip.\n\n" +
		"The file is read strictly, at the start: a key that does not exist, a key given twice or a value that does not fit is an error that names the line, " +
		"and the server does not start. \"trivet config\" checks the file and prints the settings in force; \"trivet config --example\" prints a file to start from.")
	w.macro("Bl", "-tag", "-width", "Ds")
	var blank conf.Settings
	for _, f := range conf.Fields(&blank) {
		if f.Flag == "" {
			w.macro("It", "Ic", word(f.Key))
		} else {
			w.macro("It", "Ic", word(f.Key), "Pq", "Fl", word("-"+f.Flag))
		}
		text := upperFirst(f.Help) + "."
		if f.Default != "" {
			text += " The default is " + f.Default + "."
		}
		w.text(text)
	}
	w.macro("El")
	w.macro("Ss", "Values")
	w.text("An address is a port (5061), an IP address with a port (192.0.2.1:5061, [2001:db8::1]:5061), or off. A port alone is on the address of the setting listen; port 0 takes any free one.\n\n" +
		"A duration is written 30s, 5m or 1h30m, a switch true or false.")
	w.section("FILES")
	w.macro("Bl", "-tag", "-width", "Ds", "-compact")
	w.macro("It", "Pa", "/etc/trivet/trivet.yaml")
	w.text("The settings of the service that the Debian package installs; a link in its data folder /var/lib/trivet leads there.")
	w.macro("It", "Pa", "./trivet-data/trivet.yaml")
	w.text("Those of a server in the default data folder.")
	w.macro("El")
	w.section("EXAMPLES")
	w.example("domain: example.test", "fqdn: sip.example.test", "listen: 0.0.0.0", "https: 443")
	w.see("trivet 1", "trivet-config 1", "trivet-run 1")
	return Page{conf.FileName, 5, w.Bytes()}
}
