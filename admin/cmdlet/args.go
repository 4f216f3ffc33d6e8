package cmdlet

import (
	"slices"
	"strings"

	"trivet/fault"
)

// Given is a parsed command line.
type Given struct {
	Values  map[string]any // own parameters: string or bool
	As      string         // "", "table", "list", "json" or "csv"
	WhatIf  bool
	Confirm *bool // nil = not given
	Force   bool
	Verbose bool
	Help    bool
}

// common are the parameters that every cmdlet has, and those that have only
// cmdlets that change something.
var common = []Param{
	{Name: "As", Values: []string{"table", "list", "json", "csv"}, Takes: "table|list|json|csv", Help: "How to print the result; table on a terminal, else json"},
	{Name: "Json", Switch: true, Help: "The same as -As json"},
	{Name: "Verbose", Switch: true, Help: "Say on standard error which server was asked and how long it took"},
	{Name: "Help", Switch: true, Help: "Show this help"},
}

var changing = []Param{
	{Name: "WhatIf", Switch: true, Help: "Say what would be done and do nothing"},
	{Name: "Confirm", Switch: true, Help: "Ask before doing it; -Confirm:$false never asks"},
	{Name: "Force", Switch: true, Help: "Do not ask, and do also what would be refused out of caution"},
}

// AllParams lists the cmdlet's own parameters, then the common ones it has.
func (c Cmdlet) AllParams() []Param {
	list := c.Params()
	if c.Changes {
		list = append(list, changing...)
	}
	return append(list, common...)
}

// Parse reads "-Name value -Switch -Name:value positional …". Names match in any
// case and by unambiguous beginning, in one or two hyphens. Errors are
// fault.Invalid about the parameter.
func (c Cmdlet) Parse(args []string) (Given, error) {
	p := argParser{cmdlet: c, params: c.AllParams(), values: map[string]any{}}
	for len(args) > 0 {
		var err error
		if args, err = p.next(args); err != nil {
			return Given{}, err
		}
	}
	return p.given()
}

type argParser struct {
	cmdlet Cmdlet
	params []Param
	values map[string]any
}

// next takes one parameter off args.
func (a *argParser) next(args []string) ([]string, error) {
	name, value, inline := parameter(args[0])
	if name == "" {
		return args[1:], a.positional(args[0])
	}
	p, err := a.find(name)
	if err != nil {
		return nil, err
	}
	args = args[1:]
	switch {
	case inline && p.Switch:
		truth, err := p.truth(value)
		if err != nil {
			return nil, err
		}
		return args, a.put(p, truth)
	case inline:
		return args, a.put(p, value)
	case p.Switch:
		return args, a.put(p, true)
	case len(args) == 0:
		return nil, wrong(p.Name, "needs a value: %s", p.Takes)
	}
	if next, _, _ := parameter(args[0]); next != "" {
		return nil, wrong(p.Name, "needs a value before %s; write -%s:VALUE for a value that begins with a hyphen", args[0], p.Name)
	}
	return args[1:], a.put(p, args[0])
}

// parameter takes "-Name" and "-Name:value" apart; name is "" for a value. A
// lone hyphen and a negative number are values.
func parameter(arg string) (name, value string, inline bool) {
	s, ok := strings.CutPrefix(arg, "-")
	if !ok {
		return "", "", false
	}
	s = strings.TrimPrefix(s, "-")
	if s == "?" {
		return "Help", "", false
	}
	if s == "" || !('a' <= s[0]|0x20 && s[0]|0x20 <= 'z') {
		return "", "", false
	}
	if i := strings.IndexAny(s, ":="); i > 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func (a *argParser) find(name string) (Param, error) {
	var fits []string
	var found Param
	for _, p := range a.params {
		if strings.EqualFold(p.Name, name) {
			return p, nil
		}
		if len(name) < len(p.Name) && strings.EqualFold(p.Name[:len(name)], name) {
			fits, found = append(fits, "-"+p.Name), p
		}
	}
	switch len(fits) {
	case 1:
		return found, nil
	case 0:
		return Param{}, wrong(clip(name), "is no parameter of %s; see trivet help %s", a.cmdlet.Name, a.cmdlet.Name)
	}
	return Param{}, wrong(name, "may mean %s; write more of it", strings.Join(fits, " or "))
}

// positional gives a value without a name to the next parameter that takes one.
func (a *argParser) positional(value string) error {
	byPosition := slices.Clone(a.params)
	slices.SortStableFunc(byPosition, func(x, y Param) int { return x.Position - y.Position })
	for _, p := range byPosition {
		if _, taken := a.values[p.Name]; p.Position > 0 && !taken {
			return a.put(p, value)
		}
	}
	return fault.Newf(fault.Invalid, "cmdlet.Parse", "%s does not know what %q is for; name the parameter", a.cmdlet.Name, clip(value))
}

func (a *argParser) put(p Param, value any) error {
	if _, twice := a.values[p.Name]; twice {
		return wrong(p.Name, "is given twice; give it once")
	}
	a.values[p.Name] = value
	return nil
}

// given sorts the common parameters out.
func (a *argParser) given() (Given, error) {
	g := Given{Values: a.values}
	for name, into := range map[string]*bool{"WhatIf": &g.WhatIf, "Force": &g.Force, "Verbose": &g.Verbose, "Help": &g.Help} {
		*into, _ = a.values[name].(bool)
		delete(a.values, name)
	}
	if v, ok := a.values["Confirm"].(bool); ok {
		g.Confirm = &v
		delete(a.values, "Confirm")
	}
	if v, ok := a.values["As"]; ok {
		as, err := common[0].one(v)
		if err != nil {
			return Given{}, err
		}
		g.As = as
		delete(a.values, "As")
	}
	if json, _ := a.values["Json"].(bool); json {
		if g.As != "" && g.As != "json" {
			return Given{}, wrong("Json", "and -As %s exclude each other; give one of them", g.As)
		}
		g.As = "json"
	}
	delete(a.values, "Json")
	return g, nil
}
