package cmdlet

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"trivet/fault"
	"trivet/kit/log"
)

// Param is a parameter, read from a field of the cmdlet's struct. The field's
// type says what values it takes: bool is a switch, *bool takes $true or $false,
// string and log.Secret take text, *string text or $null (nil = not given), int
// a number, []string and *[]string a comma list. Tags: help, default, values
// (allowed texts, separated by |) and param, a list of "required", "pos=N"
// (from 1), "file" (the value names a file whose contents are sent),
// "output=Property" (the value names a file that gets that property of the
// result, at the caller's) and "binary" (the contents are sent in base64).
type Param struct {
	Name     string
	Help     string
	Default  string
	Values   []string
	Required bool
	Position int // 0 = by name only
	File     bool
	Output   string // property of the result
	Binary   bool   // the file's contents travel in base64
	Secret   bool
	Switch   bool
	List     bool
	Takes    string // what it takes, for help: "text", "$true|$false"

	index []int // of the field in the struct, nil for one that is collected
}

// Params lists the parameters in the order of the struct; those of a struct that
// is embedded stand in its place.
func (c Cmdlet) Params() []Param {
	fields := reflect.VisibleFields(reflect.TypeOf(c.New()).Elem())
	list := make([]Param, 0, len(fields))
	for _, f := range fields {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		p := Param{Name: f.Name, Help: f.Tag.Get("help"), Default: f.Tag.Get("default"), index: f.Index}
		if v := f.Tag.Get("values"); v != "" {
			p.Values = strings.Split(v, "|")
		}
		for _, word := range strings.Split(f.Tag.Get("param"), ",") {
			position, isPosition := strings.CutPrefix(word, "pos=")
			output, isOutput := strings.CutPrefix(word, "output=")
			switch {
			case isOutput:
				p.Output = output
			case isPosition:
				p.Position, _ = strconv.Atoi(position)
			case word == "required":
				p.Required = true
			case word == "file":
				p.File = true
			case word == "binary":
				p.Binary = true
			}
		}
		p.describe(f.Type)
		list = append(list, p)
	}
	return append(list, c.More...)
}

// Choices are the values that a shell proposes; nil where any text may be meant.
func (p Param) Choices() []string {
	if p.Switch || strings.HasPrefix(p.Takes, "$true|$false") {
		return []string{"$true", "$false"}
	}
	return p.Values
}

func (p *Param) describe(t reflect.Type) {
	switch reflect.Zero(t).Interface().(type) {
	case bool:
		p.Switch = true
	case *bool:
		p.Takes = "$true|$false"
	case int:
		p.Takes = "number"
	case []string, *[]string:
		p.List, p.Takes = true, "text,…"
	case log.Secret:
		p.Secret, p.Takes = true, "secret"
	default:
		p.Takes = "text"
	}
	if len(p.Values) > 0 {
		p.Takes = strings.Join(p.Values, "|")
	}
	if p.File || p.Output != "" {
		p.Takes = "file"
	}
}

// Bind makes the parameter struct from values as they come from a command line
// or from JSON: string, bool, float64, nil, []string or []any. Names match in any
// case. Errors are fault.Invalid about the parameter.
func (c Cmdlet) Bind(given map[string]any) (Runner, error) {
	r := c.New()
	v := reflect.ValueOf(r).Elem()
	params := c.Params()
	set := make(map[string]bool, len(given))
	for name, value := range given {
		i := slices.IndexFunc(params, func(p Param) bool { return strings.EqualFold(p.Name, name) })
		if i < 0 {
			return nil, wrong(clip(name), "is no parameter of %s; see trivet help %s", c.Name, c.Name)
		}
		if set[params[i].Name] {
			return nil, wrong(params[i].Name, "is given twice; give it once")
		}
		set[params[i].Name] = true
		if err := params[i].take(r, v, value); err != nil {
			return nil, err
		}
	}
	for _, p := range params {
		switch {
		case p.index == nil:
		case p.Required && v.FieldByIndex(p.index).IsZero():
			return nil, wrong(p.Name, "is missing; give %s", strings.TrimSuffix(p.Help, "."))
		case p.Default != "" && !set[p.Name]:
			if err := p.assign(v.FieldByIndex(p.index), p.Default); err != nil {
				return nil, fault.Newf(fault.Internal, "cmdlet.Bind", "the default of %s -%s does not fit", c.Name, p.Name)
			}
		}
	}
	return r, nil
}

// take gives the struct a value: in its field, or as text to collect.
func (p Param) take(r Runner, v reflect.Value, value any) error {
	if p.index != nil {
		return p.assign(v.FieldByIndex(p.index), value)
	}
	text, err := p.one(value)
	if err == nil {
		r.(collector).collect(p.Name, text)
	}
	return err
}

// assign converts value to the type of the field.
func (p Param) assign(field reflect.Value, value any) error {
	switch field.Interface().(type) {
	case bool, *bool:
		b, err := p.truth(value)
		if err != nil {
			return err
		}
		store(field, b)
	case int:
		n, err := strconv.Atoi(strings.TrimSpace(p.text(value)))
		if err != nil || n < 0 {
			return wrong(p.Name, "needs a whole number, not %q", clip(p.text(value)))
		}
		field.SetInt(int64(n))
	case []string, *[]string:
		list, err := p.list(value)
		if err != nil {
			return err
		}
		store(field, list)
	default:
		s, err := p.one(value)
		if err != nil {
			return err
		}
		if field.Kind() == reflect.Pointer {
			field.Set(reflect.ValueOf(&s))
		} else {
			field.SetString(s)
		}
	}
	return nil
}

// store sets a field of type T or *T.
func store[T any](field reflect.Value, v T) {
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.ValueOf(&v))
	} else {
		field.Set(reflect.ValueOf(v))
	}
}

// truths are the spellings of a switch.
var truths = map[string]bool{"$true": true, "true": true, "1": true, "$false": false, "false": false, "0": false}

func (p Param) truth(value any) (bool, error) {
	b, ok := truths[strings.ToLower(p.text(value))]
	if !ok {
		return false, wrong(p.Name, "needs $true or $false, not %q", clip(p.text(value)))
	}
	return b, nil
}

// text is a scalar as it would be typed.
func (p Param) text(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}

func (p Param) one(value any) (string, error) {
	switch value.(type) {
	case []string, []any, map[string]any:
		return "", wrong(p.Name, "takes one value")
	}
	s := p.text(value)
	if strings.EqualFold(s, "$null") {
		s = ""
	}
	if s == "" || len(p.Values) == 0 {
		return s, nil
	}
	for _, allowed := range p.Values {
		if strings.EqualFold(allowed, s) {
			return allowed, nil
		}
	}
	return "", wrong(p.Name, "needs one of %s, not %q", strings.Join(p.Values, ", "), clip(s))
}

func (p Param) list(value any) ([]string, error) {
	var items []any
	switch v := value.(type) {
	case []any:
		items = v
	case []string:
		for _, s := range v {
			items = append(items, s)
		}
	case map[string]any:
		return nil, wrong(p.Name, "takes a list of texts")
	default:
		for s := range strings.SplitSeq(p.text(value), ",") {
			items = append(items, strings.TrimSpace(s))
		}
	}
	list := []string{}
	for _, item := range items {
		s, err := p.one(item)
		if err != nil {
			return nil, err
		}
		if s != "" {
			list = append(list, s)
		}
	}
	return list, nil
}
