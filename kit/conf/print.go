package conf

import (
	"bytes"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Print returns s as a settings file with the help of each setting beside it.
// Load of the result gives s again.
func Print(s Settings) []byte {
	var b bytes.Buffer
	section := ""
	for _, f := range Fields(&s) {
		head, tail, nested := strings.Cut(f.Key, ".")
		indent := ""
		if !nested {
			section, tail = "", head
		} else {
			indent = "  "
			if head != section {
				section = head
				b.WriteString(head + ":\n")
			}
		}
		f.print(&b, indent, tail)
	}
	return b.Bytes()
}

func (f Field) print(b *bytes.Buffer, indent, name string) {
	b.WriteString(indent + "# " + f.Help + "\n")
	if f.plural() {
		b.WriteString(indent + name + ": " + f.flow() + "\n")
		return
	}
	b.WriteString(indent + name + ": " + quote(f) + "\n")
}

func quote(f Field) string {
	v := any(f.String())
	switch f.value.Interface().(type) {
	case bool, int:
		v = f.value.Interface()
	}
	out, err := yaml.Dump(v)
	if err != nil {
		return "null"
	}
	return strings.TrimSpace(string(out))
}
