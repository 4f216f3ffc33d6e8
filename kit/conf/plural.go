package conf

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"trivet/fault"
)

// Settings of several values: a list of texts, a map of such lists, or a list of
// settings of their own. In the file a list of one text may be written as the
// text. What is not given is nil; an empty list is not the same.

// maxElements bounds a list.
const maxElements = 100

// plural reports whether the setting has several values.
func (f Field) plural() bool {
	k := f.value.Kind()
	return k == reflect.Slice || k == reflect.Map
}

// Elements lists the settings of one element of a list of settings, nil for
// other settings.
func (f Field) Elements() []Field {
	if f.value.Kind() != reflect.Slice || f.value.Type().Elem().Kind() != reflect.Struct {
		return nil
	}
	return appendFields(nil, f.Key+"[].", reflect.New(f.value.Type().Elem()).Elem())
}

func (f Field) setText(text string) error {
	n, err := document(f.Key, []byte(text))
	if err == nil && n == nil {
		f.value.SetZero()
		return nil
	}
	if err == nil {
		_, err = f.setNode(n)
	}
	return err
}

// setNode sets what the node has; on error it returns the line at fault.
func (f Field) setNode(n *yaml.Node) (line int, err error) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		f.value.SetZero()
		return 0, nil
	}
	switch {
	case f.value.Kind() == reflect.Map:
		return f.setMap(n)
	case f.value.Type().Elem().Kind() == reflect.Struct:
		return f.setElements(n)
	}
	list, line, err := f.texts(f.Key, n)
	if err == nil {
		f.value.Set(reflect.ValueOf(list))
	}
	return line, err
}

// texts reads a list of texts, or one text.
func (f Field) texts(key string, n *yaml.Node) (list []string, line int, err error) {
	items := []*yaml.Node{n}
	switch {
	case n.Kind == yaml.SequenceNode:
		items = n.Content
	case n.Kind == yaml.ScalarNode && scalar(n) == "":
		items = nil
	}
	list = []string{}
	for _, item := range items {
		s := scalar(item)
		if item.Kind != yaml.ScalarNode || s == "" || len(list) == maxElements {
			return nil, item.Line, fault.Newf(fault.Invalid, "conf.Load", "%s needs a list of at most %d texts, like [one, two]", key, maxElements)
		}
		if check := checks[f.check]; check != nil {
			if err := check(s); err != nil {
				return nil, item.Line, fault.Newf(fault.Invalid, "conf.Load", "%s %s", key, textOf(err))
			}
		}
		list = append(list, s)
	}
	return list, 0, nil
}

// setMap reads a map whose keys are one of values.
func (f Field) setMap(n *yaml.Node) (line int, err error) {
	allowed := strings.Split(f.values, "|")
	if n.Kind != yaml.MappingNode {
		return n.Line, fault.Newf(fault.Invalid, "conf.Load", "%s needs settings of the form \"key: value\"", f.Key)
	}
	m := reflect.MakeMap(f.value.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		at := slices.IndexFunc(allowed, func(a string) bool { return strings.EqualFold(a, k.Value) })
		if at < 0 {
			return k.Line, fault.Newf(fault.Invalid, "conf.Load", "%s knows no %q; it takes %s", f.Key, k.Value, strings.Join(allowed, ", "))
		}
		key := reflect.ValueOf(allowed[at])
		if m.MapIndex(key).IsValid() {
			return k.Line, fault.Newf(fault.Invalid, "conf.Load", "%s.%s is already set above; keep one of the two", f.Key, k.Value)
		}
		list, line, err := f.texts(f.Key+"."+allowed[at], v)
		if err != nil {
			return line, err
		}
		m.SetMapIndex(key, reflect.ValueOf(list))
	}
	f.value.Set(m)
	return 0, nil
}

// setElements reads a list of settings. Each begins with its defaults; what is
// needed has to be there.
func (f Field) setElements(n *yaml.Node) (line int, err error) {
	if n.Kind != yaml.SequenceNode || len(n.Content) > maxElements {
		return n.Line, fault.Newf(fault.Invalid, "conf.Load", "%s needs a list of at most %d, each beginning with \"- \"", f.Key, maxElements)
	}
	list := reflect.MakeSlice(f.value.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		fields := appendFields(nil, f.Key+"[].", list.Index(i))
		d := decoder{byKey: make(map[string]Field, len(fields)), seen: map[string]int{}}
		for _, e := range fields {
			if err := e.Set(e.Default); err != nil {
				return item.Line, err
			}
			d.byKey[e.Key] = e
		}
		if line, err := d.mapping(f.Key+"[].", item); err != nil {
			return line, err
		}
		for _, e := range fields {
			if e.needed && (e.value.IsZero() || e.plural() && e.value.Len() == 0) {
				return item.Line, fault.Newf(fault.Invalid, "conf.Load", "%s is missing; it is %s", e.Key, e.Help)
			}
		}
	}
	f.value.Set(list)
	return 0, nil
}

// flow writes the value in the flow style of YAML, on one line.
func (f Field) flow() string {
	switch v := f.value.Interface().(type) {
	case []string:
		return flowList(v)
	case map[string][]string:
		if v == nil {
			return "null"
		}
		var parts []string
		for _, key := range strings.Split(f.values, "|") {
			if list, ok := v[key]; ok {
				parts = append(parts, key+": "+flowList(list))
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	if f.value.IsNil() {
		return "null"
	}
	var elements []string
	for i := range f.value.Len() {
		var parts []string
		for _, e := range appendFields(nil, "", f.value.Index(i)) {
			parts = append(parts, e.Key+": "+e.inline())
		}
		elements = append(elements, "{"+strings.Join(nest(parts), ", ")+"}")
	}
	return "[" + strings.Join(elements, ", ") + "]"
}

func (f Field) inline() string {
	if f.plural() {
		return f.flow()
	}
	switch v := f.value.Interface().(type) {
	case bool, int:
		return fmt.Sprint(v)
	}
	return strconv.Quote(f.String())
}

// nest turns "a.b: 1", "a.c: 2" into "a: {b: 1, c: 2}".
func nest(parts []string) (out []string) {
	for i := 0; i < len(parts); i++ {
		head, _, _ := strings.Cut(parts[i], ": ")
		section, _, nested := strings.Cut(head, ".")
		if !nested {
			out = append(out, parts[i])
			continue
		}
		var inner []string
		for ; i < len(parts) && strings.HasPrefix(parts[i], section+"."); i++ {
			inner = append(inner, strings.TrimPrefix(parts[i], section+"."))
		}
		i--
		out = append(out, section+": {"+strings.Join(inner, ", ")+"}")
	}
	return out
}

func flowList(list []string) string {
	if list == nil {
		return "null"
	}
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
