package policy

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// TimeOfDay is minutes after midnight.
type TimeOfDay int

// Param is one parameter of a kind. It is made from a field of the kind's struct:
// the field's name is the name, its type the type; a pointer may be not set. Tags:
//
//	default  the value of an instance that does not set it; none for a pointer: not set
//	range    "0-3000", ends included; of durations like "30s-8h"; of texts the bytes
//	values   allowed texts, separated by |
//	unit     what a number counts, for help: "KB"
//	help     one phrase
//	server   what the server does with it, as a phrase; "" = nothing
//	client   "group/property" of the in-band settings that tells clients; "" = not told
type Param struct {
	Name    string
	Help    string
	Default string // canonical text, "" = not set
	Range   string // for people: "0 to 3000", "" for none
	Values  []string
	Unit    string
	Server  string
	Client  string

	index    int
	of       reflect.Type // without the pointer
	optional bool
	min, max int64
}

// Takes says what values a parameter takes, for help.
func (p *Param) Takes() string {
	s := p.takes()
	if p.Range != "" {
		s += " " + p.Range
	}
	if p.Unit != "" {
		s += " " + p.Unit
	}
	if p.optional {
		s += " or $null"
	}
	return s
}

func (p *Param) takes() string {
	switch {
	case len(p.Values) > 0:
		return strings.Join(p.Values, "|")
	case p.of == reflect.TypeFor[bool]():
		return "$true|$false"
	case p.of == reflect.TypeFor[int]():
		return "number"
	case p.of == reflect.TypeFor[time.Duration]():
		return "time"
	case p.of == reflect.TypeFor[TimeOfDay]():
		return "hh:mm"
	}
	return "text"
}

// IsBool reports whether the parameter is a switch.
func (p *Param) IsBool() bool { return p.of == reflect.TypeFor[bool]() }

// Parse reads a value as people write it and returns its canonical text. Errors
// are fault.Invalid: a sentence that names the parameter and what it takes. "" and
// "$null" are not set, where that is allowed.
func (p *Param) Parse(text string) (string, error) {
	s := strings.TrimSpace(text)
	if strings.EqualFold(s, "$null") {
		s = ""
	}
	if s == "" && (p.optional || p.of.Kind() == reflect.String && len(p.Values) == 0) {
		return "", nil
	}
	v, err := p.value(s)
	if err != nil {
		return "", err
	}
	return p.text(v), nil
}

// needs is the refusal of a value.
func (p *Param) needs(got string) error {
	return invalid(p.Name, "%s needs %s, not %q", p.Name, p.needed(), clip(got))
}

func (p *Param) needed() string {
	words := map[string]string{"$true|$false": "$true or $false", "number": "a whole number", "time": "a time like 00:05:00 (hours, minutes, seconds)", "hh:mm": "a time of day like 01:30", "text": "a text without control characters"}
	s := p.takes()
	if w, ok := words[s]; ok {
		s = w
	} else {
		s = "one of " + strings.Join(p.Values, ", ")
	}
	if p.Range != "" {
		s += " " + p.Range
	}
	if p.Unit != "" {
		s += " " + p.Unit
	}
	return s
}

// value makes the Go value of a text that is not empty, range checked.
func (p *Param) value(s string) (any, error) {
	switch p.of {
	case reflect.TypeFor[bool]():
		if b, ok := truths[strings.ToLower(s)]; ok {
			return b, nil
		}
	case reflect.TypeFor[int]():
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && p.within(n) {
			return int(n), nil
		}
	case reflect.TypeFor[time.Duration]():
		if d, ok := parseSpan(s); ok && p.within(int64(d)) {
			return d, nil
		}
	case reflect.TypeFor[TimeOfDay]():
		if t, err := time.Parse("15:04", s); err == nil {
			return TimeOfDay(t.Hour()*60 + t.Minute()), nil
		}
	default:
		return p.word(s)
	}
	return nil, p.needs(s)
}

func (p *Param) word(s string) (any, error) {
	for _, v := range p.Values {
		if strings.EqualFold(v, s) {
			return v, nil
		}
	}
	if len(p.Values) > 0 || !printable(s) || !p.within(int64(len(s))) {
		return nil, p.needs(s)
	}
	return s, nil
}

func (p *Param) within(n int64) bool { return p.Range == "" || p.min <= n && n <= p.max }

// text is the canonical text of a value.
func (p *Param) text(v any) string {
	switch v := v.(type) {
	case time.Duration:
		return formatSpan(v)
	case TimeOfDay:
		return fmt.Sprintf("%02d:%02d", v/60, v%60)
	}
	return fmt.Sprint(v)
}

// set stores a canonical text in the field of the struct to which v points.
func (p *Param) set(v any, canonical string) error {
	field := reflect.ValueOf(v).Elem().Field(p.index)
	if canonical == "" && (p.optional || p.of.Kind() == reflect.String) {
		field.SetZero()
		return nil
	}
	x, err := p.value(canonical)
	if err != nil {
		return err
	}
	if p.optional {
		at := reflect.New(p.of)
		at.Elem().Set(reflect.ValueOf(x))
		field.Set(at)
		return nil
	}
	field.Set(reflect.ValueOf(x))
	return nil
}

// truths are the spellings of a switch.
var truths = map[string]bool{"$true": true, "true": true, "1": true, "$false": false, "false": false, "0": false}

// parseSpan reads "hh:mm:ss" and "d.hh:mm:ss", as the product writes times, and
// "90s", "5m", "8h".
func parseSpan(s string) (time.Duration, bool) {
	if !strings.Contains(s, ":") {
		d, err := time.ParseDuration(s)
		return d, err == nil && d >= 0 && d%time.Second == 0
	}
	days := 0
	if before, rest, ok := strings.Cut(s, "."); ok {
		n, err := strconv.Atoi(before)
		if err != nil || n < 0 || n > 10000 {
			return 0, false
		}
		days, s = n, rest
	}
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return 0, false
	}
	d := time.Duration(days) * 24 * time.Hour
	for i, unit := range [...]time.Duration{time.Hour, time.Minute, time.Second} {
		n, err := strconv.Atoi(parts[i])
		if err != nil || n < 0 || n > 59 || i == 0 && n > 23 || strings.ContainsAny(parts[i], "+-") {
			return 0, false
		}
		d += time.Duration(n) * unit
	}
	return d, true
}

func formatSpan(d time.Duration) string {
	day := 24 * time.Hour
	s := fmt.Sprintf("%02d:%02d:%02d", d%day/time.Hour, d%time.Hour/time.Minute, d%time.Minute/time.Second)
	if d >= day {
		s = fmt.Sprintf("%d.%s", d/day, s)
	}
	return s
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
