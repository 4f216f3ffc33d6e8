package cmdlet

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"trivet/rule/policy"
)

// change is a parameter that gets another value; texts are as they are typed.
type change struct{ name, old, new string }

// ShouldChange is ShouldProcess for a cmdlet that sets values: its plan tells which,
// from what to what.
func (c *Call) ShouldChange(action, target string, changes []change) bool {
	if !c.WhatIf {
		return c.ShouldProcess(action, target)
	}
	parts := make([]string, len(changes))
	for i, x := range changes {
		parts[i] = "-" + x.name + " from " + x.old + " to " + x.new
	}
	what := strings.Join(parts, ", ")
	if len(changes) == 0 {
		what = "nothing changes"
	}
	c.Plans = append(c.Plans, fmt.Sprintf("Performing the operation %q on target %q: %s.", action, target, what))
	return false
}

// differences compares two rows of the same type, property by property. Identity
// stands for another property.
func differences(old, new any) []change {
	var list []change
	a, b := reflect.ValueOf(old), reflect.ValueOf(new)
	for i := range a.NumField() {
		name, was, is := a.Type().Field(i).Name, typed(a.Field(i)), typed(b.Field(i))
		if was != is && name != "Identity" {
			list = append(list, change{name, was, is})
		}
	}
	return list
}

// typed is a value as it is typed.
func typed(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case bool:
		return fmt.Sprintf("$%v", x)
	case []string:
		return word(strings.Join(x, ","))
	}
	return word(fmt.Sprint(v.Interface()))
}

// word is a text as one word of a command line.
func word(s string) string {
	switch {
	case s == "":
		return "$null"
	case strings.ContainsAny(s, " \t'\"") || strings.ContainsFunc(s, unicode.IsControl):
		return strconv.Quote(s)
	}
	return s
}

// changesOf compares the given parameters of two instances of a kind.
func changesOf(k *policy.Kind, old, new, given policy.Values) []change {
	var list []change
	for i := range k.Params {
		p := &k.Params[i]
		was, is := p.Text(old), p.Text(new)
		if _, ok := given[p.Name]; !ok || was == is {
			continue
		}
		if p.IsBool() {
			was, is = truthOf(was), truthOf(is)
		}
		list = append(list, change{p.Name, word(was), word(is)})
	}
	return list
}

func truthOf(canonical string) string {
	if canonical == "" {
		return ""
	}
	return "$" + canonical
}
