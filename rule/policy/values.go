package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Values are the parameters that an instance sets: canonical text by name, "" for
// one that is explicitly not set. The others have the defaults of the kind.
type Values map[string]string

// Check parses every value and returns them in their canonical form and under
// their own names. Errors are fault.Invalid and name the parameter.
func (k *Kind) Check(given Values) (Values, error) {
	out := make(Values, len(given))
	for name, text := range given {
		p := k.Param(name)
		if p == nil {
			return nil, invalid(name, "%s is no parameter of %s", clip(name), k.Noun)
		}
		if _, twice := out[p.Name]; twice {
			return nil, invalid(name, "%s is given twice; give it once", p.Name)
		}
		canonical, err := p.Parse(text)
		if err != nil {
			return nil, err
		}
		out[p.Name] = canonical
	}
	if k.rule == nil {
		return out, nil
	}
	v, err := k.make(out)
	if err != nil {
		return nil, err
	}
	return out, k.rule(v)
}

// make is the struct of an instance.
func (k *Kind) make(values Values) (any, error) {
	v := k.fresh()
	for i := range k.Params {
		if text, ok := values[k.Params[i].Name]; ok {
			if err := k.Params[i].set(v, text); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// Text is the value of the parameter in an instance with these values, "" for not
// set.
func (p *Param) Text(values Values) string {
	if text, ok := values[p.Name]; ok {
		return text
	}
	return p.Default
}

// JSON is a canonical text as a JSON value: numbers and switches as such, not set
// as null, all others as text.
func (p *Param) JSON(canonical string) json.RawMessage {
	switch {
	case canonical == "" && p.optional:
		return json.RawMessage("null")
	case p.of == reflect.TypeFor[bool](), p.of == reflect.TypeFor[int]():
		return json.RawMessage(canonical)
	}
	b, err := json.Marshal(canonical)
	if err != nil {
		return json.RawMessage("null") // a text always has a form
	}
	return b
}

// Encode is the stored form of checked values: a JSON object in the order of the
// parameters.
func (k *Kind) Encode(values Values) []byte {
	b := []byte{'{'}
	for i := range k.Params {
		p := &k.Params[i]
		text, ok := values[p.Name]
		if !ok {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, p.Name), ':')
		b = append(b, p.JSON(text)...)
	}
	return append(b, '}')
}

const maxStored = 1 << 20 // bytes

// Decode reads the stored form and checks it. Errors are fault.Invalid.
func (k *Kind) Decode(stored []byte) (Values, error) {
	if len(stored) > maxStored {
		return nil, invalid(k.Noun, "an instance of %s may have at most 1 MiB", k.Noun)
	}
	dec := json.NewDecoder(bytes.NewReader(stored))
	dec.UseNumber()
	var object map[string]any
	if err := dec.Decode(&object); err != nil || dec.More() {
		return nil, invalid(k.Noun, "an instance of %s needs to be one JSON object", k.Noun)
	}
	values := make(Values, len(object))
	for name, v := range object {
		switch v := v.(type) {
		case nil:
			values[name] = ""
		case string:
			values[name] = v
		case bool, json.Number:
			values[name] = fmt.Sprint(v)
		default:
			return nil, invalid(name, "%s needs one value", clip(name))
		}
	}
	return k.Check(values)
}

// Apply lays changes over values: both are left as they are.
func (k *Kind) Apply(values, changes Values) (Values, error) {
	out := make(Values, len(values)+len(changes))
	for name, text := range values {
		out[name] = text
	}
	checked, err := k.checkNames(changes)
	if err != nil {
		return nil, err
	}
	for name, text := range checked {
		out[name] = text
	}
	return k.Check(out)
}

// checkNames brings names into their own spelling, so that a change finds what it
// replaces.
func (k *Kind) checkNames(given Values) (Values, error) {
	out := make(Values, len(given))
	for name, text := range given {
		p := k.Param(strings.TrimSpace(name))
		if p == nil {
			return nil, invalid(name, "%s is no parameter of %s", clip(name), k.Noun)
		}
		out[p.Name] = text
	}
	return out, nil
}
