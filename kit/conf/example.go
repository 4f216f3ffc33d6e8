package conf

import (
	"bytes"
	"strings"
)

// Example returns a settings file to start from: every setting with its help and
// its default, all of it comments, so that it sets nothing until somebody takes a
// "#" away.
func Example() []byte {
	var b bytes.Buffer
	b.WriteString("# Settings of a Trivet server; trivet.yaml(5) explains them. Nothing is set as long\n" +
		"# as a line begins with \"#\": the value shown is the default. Take the \"#\" away, also\n" +
		"# from the line of the section above an indented one. \"trivet config\" checks the file.\n")
	var blank Settings
	section := ""
	for _, f := range Fields(&blank) {
		head, tail, nested := strings.Cut(f.Key, ".")
		indent := ""
		switch {
		case !nested:
			section, tail = "", head
		case head != section:
			section = head
			b.WriteString("\n#" + head + ":")
		}
		if nested {
			indent = "  "
		}
		value := f.Default
		if value != "" {
			value = " " + value
		}
		b.WriteString("\n" + indent + "# " + f.Help + "\n#" + indent + tail + ":" + value + "\n")
	}
	return b.Bytes()
}
