package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"trivet/fault"
)

// maxFile bounds the settings file.
const maxFile = 1 << 20

// Load returns the effective settings of the data folder: defaults, then its
// trivet.yaml if there is one, then overrides (setting key or flag name to
// text), completed and validated. Errors are fault.Invalid and name file, line
// and setting, or the flag.
func Load(data string, overrides map[string]string) (Settings, error) {
	s := Settings{Data: data}
	fields := Fields(&s)
	for _, f := range fields {
		if err := f.Set(f.Default); err != nil {
			return Settings{}, err
		}
	}
	path := filepath.Join(data, FileName)
	text, err := readSmall(path)
	if err != nil {
		return Settings{}, err
	}
	if err := decode(path, text, fields); err != nil {
		return Settings{}, err
	}
	for _, f := range fields {
		for name, v := range overrides {
			if name != f.Key && (f.Flag == "" || name != f.Flag) {
				continue
			}
			if err := f.Set(v); err != nil {
				return Settings{}, fault.Newf(fault.Invalid, "conf.Load", "--%s: %s", name, textOf(err))
			}
		}
	}
	s.complete()
	return s, nil
}

func readSmall(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && st.Size() > maxFile {
		return nil, fault.Newf(fault.Invalid, "conf.Load", "%s is larger than 1 MiB; that is no settings file", path)
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "conf.Load", "cannot read %s: %v", path, err)
	}
	return b, nil
}

// decode sets the fields that the YAML text names.
func decode(path string, text []byte, fields []Field) error {
	top, err := document(path, text)
	if err != nil || top == nil {
		return err
	}
	byKey := make(map[string]Field, len(fields))
	for _, f := range fields {
		byKey[f.Key] = f
	}
	d := decoder{byKey: byKey, seen: map[string]int{}}
	if line, err := d.mapping("", top); err != nil {
		return fault.Newf(fault.Invalid, "conf.Load", "%s:%d: %s", path, line, textOf(err))
	}
	return nil
}

// document reads one YAML document; nil for nothing but comments.
func document(path string, text []byte) (*yaml.Node, error) {
	var doc, rest yaml.Node
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err == nil {
		err = loader.Load(&doc)
	}
	if err == io.EOF { // nothing but comments
		return nil, nil
	}
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "conf.Load", "%s is not YAML: %v", path, err)
	}
	if err := loader.Load(&rest); err != io.EOF {
		return nil, fault.Newf(fault.Invalid, "conf.Load", "%s needs to be one YAML document; remove the second", path)
	}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" { // comments only
		return nil, nil
	}
	return doc.Content[0], nil
}

type decoder struct {
	byKey map[string]Field
	seen  map[string]int // key to line
}

// mapping sets what m names; on error it returns the line at fault.
func (d *decoder) mapping(prefix string, m *yaml.Node) (line int, err error) {
	if m.Kind != yaml.MappingNode {
		return m.Line, fault.Newf(fault.Invalid, "conf.Load", "%s needs settings of the form \"key: value\"", orFile(prefix))
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		k, v := m.Content[i], m.Content[i+1]
		key := prefix + k.Value
		if first, twice := d.seen[key]; twice {
			return k.Line, fault.Newf(fault.Invalid, "conf.Load", "%s is already set in line %d; keep one of the two", key, first)
		}
		d.seen[key] = k.Line
		if f, ok := d.byKey[key]; ok {
			if f.plural() {
				if line, err := f.setNode(v); err != nil {
					return line, err
				}
				continue
			}
			if v.Kind != yaml.ScalarNode {
				return v.Line, fault.Newf(fault.Invalid, "conf.Load", "%s needs one value", key)
			}
			if err := f.Set(scalar(v)); err != nil {
				return v.Line, err
			}
			continue
		}
		if !d.section(key) {
			return k.Line, fault.Newf(fault.Invalid, "conf.Load", "there is no setting %q%s", key, d.hint(key))
		}
		if v.Tag == "!!null" {
			continue
		}
		if line, err := d.mapping(key+".", v); err != nil {
			return line, err
		}
	}
	return 0, nil
}

func scalar(n *yaml.Node) string {
	if n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

func (d *decoder) section(key string) bool {
	for k := range d.byKey {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

// hint proposes the setting that ends like key, or differs in one sign or in two
// that changed places.
func (d *decoder) hint(key string) string {
	last := key[strings.LastIndexByte(key, '.')+1:]
	best := ""
	for k := range d.byKey {
		if tail := k[strings.LastIndexByte(k, '.')+1:]; near(tail, last) && (best == "" || k < best) {
			best = k
		}
	}
	if best == "" {
		return "; \"trivet config\" lists all"
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// near reports whether a and b differ in at most one inserted, left out or
// changed byte, or in two neighbours that changed places, ignoring case.
func near(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) == len(b) {
		return i == len(a) || a[i+1:] == b[i+1:] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
	}
	return a[i:] == b[i+1:]
}

func orFile(prefix string) string {
	if prefix == "" {
		return "the file"
	}
	return strings.TrimSuffix(prefix, ".")
}
