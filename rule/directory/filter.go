package directory

import (
	"strings"

	"trivet/fault"
)

// Filter is a condition on a user. The zero Filter fits everybody.
type Filter struct{ root node }

// Fits reports whether u meets the condition.
func (f Filter) Fits(u *User) bool { return f.root == nil || f.root.fits(u) }

type node interface{ fits(u *User) bool }

type (
	both    struct{ a, b node }
	either  struct{ a, b node }
	negated struct{ a node }
	compare struct {
		field Field
		like  bool
		not   bool
		value string
	}
)

func (n both) fits(u *User) bool    { return n.a.fits(u) && n.b.fits(u) }
func (n either) fits(u *User) bool  { return n.a.fits(u) || n.b.fits(u) }
func (n negated) fits(u *User) bool { return !n.a.fits(u) }

func (n compare) fits(u *User) bool {
	got := n.field.Get(u)
	if n.like {
		return Match(n.value, got) != n.not
	}
	return strings.EqualFold(got, n.value) != n.not
}

// Limits of a filter.
const (
	maxFilter = 4096 // bytes
	maxDepth  = 32   // parentheses and -not
)

// ParseFilter reads an expression like
//
//	LineURI -like "tel:+1425*" -and (Enabled -eq $true -or -not Department -eq 'Sales')
//
// with the operators -eq, -ne, -like, -notlike, -not, -and and -or, in any case;
// -and binds tighter than -or. Errors are fault.Invalid and say what was
// expected where.
func ParseFilter(s string) (Filter, error) {
	if len(s) > maxFilter {
		return Filter{}, fault.Newf(fault.Invalid, "directory.ParseFilter", "Filter may have at most %d bytes", maxFilter).About("Filter")
	}
	if t := strings.TrimSpace(s); strings.HasPrefix(t, "{") && strings.HasSuffix(t, "}") {
		s = t[1 : len(t)-1]
	}
	p := parser{rest: s}
	if err := p.next(); err != nil {
		return Filter{}, err
	}
	if p.kind == end {
		return Filter{}, nil
	}
	n, err := p.alternatives(0)
	if err == nil && p.kind != end {
		err = p.expected("-and, -or or the end")
	}
	return Filter{n}, err
}

type token uint8

const (
	end    token = iota
	word         // a bare word or an operator
	quoted       // a text in quotes
	open
	shut
)

type parser struct {
	rest string
	kind token
	text string
}

func (p *parser) expected(what string) error {
	got := p.text
	if p.kind == end {
		got = "the end"
	}
	if len(got) > 40 {
		got = got[:40] + "…"
	}
	return fault.Newf(fault.Invalid, "directory.ParseFilter", "Filter needs %s where it has %q", what, got).About("Filter")
}

// next reads one token.
func (p *parser) next() error {
	s := strings.TrimLeft(p.rest, " \t\r\n")
	switch {
	case s == "":
		p.kind, p.text, p.rest = end, "", ""
	case s[0] == '(' || s[0] == ')':
		p.kind, p.text, p.rest = open, s[:1], s[1:]
		if s[0] == ')' {
			p.kind = shut
		}
	case s[0] == '"' || s[0] == '\'':
		i := strings.IndexByte(s[1:], s[0])
		if i < 0 {
			p.kind, p.text = quoted, s
			return p.expected("a closing quote")
		}
		p.kind, p.text, p.rest = quoted, s[1:1+i], s[i+2:]
	default:
		i := strings.IndexAny(s, " \t\r\n()\"'")
		if i < 0 {
			i = len(s)
		}
		p.kind, p.text, p.rest = word, s[:i], s[i:]
	}
	return nil
}

func (p *parser) is(operator string) bool {
	return p.kind == word && strings.EqualFold(p.text, operator)
}

func (p *parser) alternatives(depth int) (node, error) {
	a, err := p.conditions(depth)
	for err == nil && p.is("-or") {
		if err = p.next(); err == nil {
			var b node
			b, err = p.conditions(depth)
			a = either{a, b}
		}
	}
	return a, err
}

func (p *parser) conditions(depth int) (node, error) {
	a, err := p.condition(depth)
	for err == nil && p.is("-and") {
		if err = p.next(); err == nil {
			var b node
			b, err = p.condition(depth)
			a = both{a, b}
		}
	}
	return a, err
}

func (p *parser) condition(depth int) (node, error) {
	if depth > maxDepth {
		return nil, fault.Newf(fault.Invalid, "directory.ParseFilter", "Filter may be nested at most %d deep", maxDepth).About("Filter")
	}
	switch {
	case p.is("-not") || p.is("!"):
		if err := p.next(); err != nil {
			return nil, err
		}
		n, err := p.condition(depth + 1)
		return negated{n}, err
	case p.kind == open:
		if err := p.next(); err != nil {
			return nil, err
		}
		n, err := p.alternatives(depth + 1)
		if err != nil {
			return nil, err
		}
		if p.kind != shut {
			return nil, p.expected("a closing parenthesis")
		}
		return n, p.next()
	}
	return p.comparison()
}

// operators of a comparison.
var operators = map[string]compare{"-eq": {}, "-ne": {not: true}, "-like": {like: true}, "-notlike": {like: true, not: true}}

func (p *parser) comparison() (node, error) {
	f, ok := FieldNamed(p.text)
	if p.kind != word || !ok {
		return nil, p.expected("a property of a user, like DisplayName or Enabled,")
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	c, ok := operators[strings.ToLower(p.text)]
	if p.kind != word || !ok {
		return nil, p.expected("-eq, -ne, -like or -notlike")
	}
	if err := p.next(); err != nil {
		return nil, err
	}
	if p.kind != word && p.kind != quoted || p.kind == word && strings.HasPrefix(p.text, "-") {
		return nil, p.expected("a value")
	}
	c.field, c.value = f, p.text
	if p.kind == word {
		c.value = constant(p.text)
	}
	return c, p.next()
}

// constant reads $true, $false and $null.
func constant(s string) string {
	switch strings.ToLower(s) {
	case "$true":
		return "True"
	case "$false":
		return "False"
	case "$null":
		return ""
	}
	return s
}
