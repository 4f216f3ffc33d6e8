// Package phonenorm brings telephone numbers as people write them into one form,
// E.164 with ;ext= (RFC 3966 5.1), by rules: first those of the company, then the
// built-in ones. A rule is a regular expression (RE2, so that its time is bounded)
// that has to fit the whole number, and a translation with $1 to $9 for its groups.
//
// White space and the characters people group digits with are dropped before rules
// are tried. Rules are values that do not change; they may be shared.
package phonenorm

import (
	"bufio"
	"regexp"
	"strings"
	"unicode/utf8"

	"trivet/fault"
)

// Rule is one rule.
type Rule struct {
	fits *regexp.Regexp
	to   string
}

// Rules are tried in their order; the first that fits counts.
type Rules []Rule

// Limits of a rules file and of a number.
const (
	maxFile   = 256 << 10
	maxRules  = 1000
	maxLine   = 1024
	maxNumber = 128
	maxFaults = 20 // that are told
)

// FileName is the name of the file with the company's rules.
const FileName = "Company_Phone_Number_Normalization_Rules.txt"

// Parse reads a file of rules: pairs of lines, a regular expression and a
// translation. Empty lines and lines that begin with # do not count. Rules that are
// wrong are left out, and so are those after a limit; what is wrong is told, at most
// 20 times, as fault.Invalid or fault.Limit that names the line.
func Parse(text string) (rules Rules, wrong []error) {
	const op = "phonenorm.Parse"
	if len(text) > maxFile {
		return nil, []error{fault.Newf(fault.Limit, op, "a rules file may have at most %d bytes", maxFile)}
	}
	pattern, at := "", 0
	in := bufio.NewScanner(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	in.Buffer(nil, maxLine+2)
	number := 0
	for in.Scan() {
		number++
		line := strings.TrimSpace(in.Text())
		switch {
		case line == "" || line[0] == '#':
		case pattern == "":
			pattern, at = line, number
		default:
			if len(rules) == maxRules {
				return rules, append(wrong, fault.Newf(fault.Limit, op, "a rules file may have at most %d rules; those from line %d on are left out", maxRules, at))
			}
			r, bad := rule(pattern, line)
			switch {
			case bad == "":
				rules = append(rules, r)
			case len(wrong) < maxFaults:
				wrong = append(wrong, fault.Newf(fault.Invalid, op, "the rule in lines %d and %d is left out: %s", at, number, bad))
			}
			pattern = ""
		}
	}
	switch {
	case in.Err() != nil:
		wrong = append(wrong, fault.Newf(fault.Limit, op, "line %d is longer than %d bytes; it and what follows are left out", number+1, maxLine))
	case pattern != "":
		wrong = append(wrong, fault.Newf(fault.Invalid, op, "the regular expression in line %d has no translation below it", at))
	}
	return rules, wrong
}

// rule compiles a pair of lines, or says what is wrong.
func rule(pattern, to string) (r Rule, wrong string) {
	re, err := regexp.Compile(`^(?:` + pattern + `)$`)
	if err != nil {
		return Rule{}, "the regular expression is not one of RE2 (" + err.Error() + ")"
	}
	for i := 0; i+1 < len(to); i++ {
		if c, _ := utf8.DecodeRuneInString(to[i+1:]); to[i] == '$' && (c < '1' || c > '9' || int(c-'0') > re.NumSubexp()) {
			return Rule{}, "$" + string(c) + " in the translation has no group in the regular expression"
		}
	}
	return Rule{re, to}, ""
}

// generic are the built-in rules: numbers that say all by themselves.
var generic = mustParse(`
# international, with or without extension
(?:tel:)?\+([1-9]\d{5,14})
+$1
(?:tel:)?\+([1-9]\d{5,14})(?:;ext=|[xX]|[eE][xX][tT]:?|#)(\d{1,10})
+$1;ext=$2
# international, dialled as from most countries
00([1-9]\d{7,14})
+$1
00([1-9]\d{7,14})(?:;ext=|[xX]|[eE][xX][tT]:?|#)(\d{1,10})
+$1;ext=$2
# international, dialled as from North America
011([1-9]\d{7,14})
+$1
011([1-9]\d{7,14})(?:;ext=|[xX]|[eE][xX][tT]:?|#)(\d{1,10})
+$1;ext=$2
`)

func mustParse(text string) Rules {
	r, wrong := Parse(text)
	if wrong != nil {
		panic(wrong[0])
	}
	return r
}

// Normalizer applies rules.
type Normalizer struct{ rules Rules }

// New makes a Normalizer of the company's rules and, unless they are to be ignored,
// the built-in ones.
func New(company Rules, ignoreGeneric bool) *Normalizer {
	n := &Normalizer{append(Rules(nil), company...)}
	if !ignoreGeneric {
		n.rules = append(n.rules, generic...)
	}
	return n
}

// Normalize returns the number in its one form; ok is false when no rule fits.
func (n *Normalizer) Normalize(number string) (e164 string, ok bool) {
	s := clean(number)
	if s == "" {
		return "", false
	}
	for _, r := range n.rules {
		if m := r.fits.FindStringSubmatch(s); m != nil {
			return r.translate(m), true
		}
	}
	return "", false
}

func (r *Rule) translate(groups []string) string {
	var b strings.Builder
	for i := 0; i < len(r.to); i++ {
		if r.to[i] == '$' && i+1 < len(r.to) {
			i++
			b.WriteString(groups[r.to[i]-'0'])
			continue
		}
		b.WriteByte(r.to[i])
	}
	return b.String()
}

// clean drops what does not count: white space, (0) after a country code, and what
// people group digits with. "" for what is too long to be a number.
func clean(s string) string {
	if len(s) > maxNumber {
		return ""
	}
	if strings.HasPrefix(strings.TrimSpace(s), "+") {
		s = strings.ReplaceAll(s, "(0)", "")
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\u00a0()[]-./\u2010\u2011\u2012\u2013", r) {
			return -1
		}
		return r
	}, s)
}
