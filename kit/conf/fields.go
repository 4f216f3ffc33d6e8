package conf

import (
	"fmt"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
	"trivet/kit/log"
)

// Field is one setting of a Settings value.
type Field struct {
	Key  string // "sip.tls"
	Flag string // "sip-tls", "" for none
	Help string
	// Default is the value as it would be written in the file.
	Default string

	value  reflect.Value
	check  string
	min    string
	max    string // "" is no ceiling
	values string // the texts that are allowed, separated by |; of a map: its keys
	needed bool   // of an element of a list: has to be there
}

// Fields lists the settings of s in the order of their declaration. Set writes
// into s.
func Fields(s *Settings) []Field {
	return appendFields(nil, "", reflect.ValueOf(s).Elem())
}

func appendFields(list []Field, prefix string, v reflect.Value) []Field {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, ok := f.Tag.Lookup("key")
		switch {
		case !ok:
		case f.Type.Kind() == reflect.Struct:
			list = appendFields(list, prefix+key+".", v.Field(i))
		default:
			list = append(list, Field{
				Key: prefix + key, Flag: f.Tag.Get("flag"), Help: f.Tag.Get("help"), Default: f.Tag.Get("default"),
				value: v.Field(i), check: f.Tag.Get("check"), min: f.Tag.Get("min"), max: f.Tag.Get("max"),
				values: f.Tag.Get("values"), needed: f.Tag.Get("needed") == "true",
			})
		}
	}
	return list
}

// IsBool reports whether the setting is a switch.
func (f Field) IsBool() bool { return f.value.Kind() == reflect.Bool }

// String returns the value as it would be written in the file.
func (f Field) String() string { return fmt.Sprint(f.value.Interface()) }

// Set parses and checks text and stores it; a list or a map is text in YAML.
// Errors are fault.Invalid and say what the setting needs.
func (f Field) Set(text string) error {
	if f.plural() {
		return f.setText(text)
	}
	v, err := f.parse(text)
	if err != nil {
		return fault.Newf(fault.Invalid, "conf.Load", "%s %s", f.Key, textOf(err))
	}
	f.value.Set(reflect.ValueOf(v))
	return nil
}

func (f Field) parse(text string) (any, error) {
	switch f.value.Interface().(type) {
	case Address:
		return parseAddress(text)
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, needs("true or false", text)
		}
		return b, nil
	case int:
		n, err := strconv.Atoi(text)
		least, _ := strconv.Atoi(f.min)
		most, ceiling := strconv.Atoi(f.max)
		switch {
		case ceiling == nil && (err != nil || n < least || n > most):
			return nil, needs("a whole number from "+f.min+" to "+f.max, text)
		case err != nil || n < least:
			return nil, needs("a whole number of at least "+f.min, text)
		}
		return n, nil
	case time.Duration:
		d, err := time.ParseDuration(text)
		least, _ := time.ParseDuration(f.min)
		if err != nil || d < least {
			return nil, needs("a duration like 30s or 5m of at least "+f.min, text)
		}
		return d, nil
	default:
		if f.values != "" && !slices.Contains(strings.Split(f.values, "|"), text) {
			return nil, needs("one of "+strings.ReplaceAll(f.values, "|", ", "), text)
		}
		if check := checks[f.check]; check != nil && text != "" {
			return text, check(text)
		}
		if f.Default != "" && text == "" {
			return nil, needs("a value", text)
		}
		return text, nil
	}
}

var checks = map[string]func(string) error{
	"domain": func(s string) error { return hostName(s, "a DNS domain name like example.com") },
	"fqdn":   func(s string) error { return hostName(s, "a DNS host name like sip.example.com") },
	"site": func(s string) error {
		if len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || strings.ContainsRune(`*?"`, r) }) {
			return needs("a name of at most 64 bytes without * ? and quotes", s)
		}
		return nil
	},
	"host": func(s string) error {
		if net.ParseIP(s) == nil {
			return needs("an IP address like 127.0.0.1, 0.0.0.0 or ::", s)
		}
		return nil
	},
	"label": func(s string) error {
		if len(s) > 32 || strings.ContainsFunc(s, func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') }) {
			return needs("1 to 32 small letters, digits and hyphens", s)
		}
		return nil
	},
	"ldap": func(s string) error {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
			return needs("a server like ldaps://dc1.example.com or ldap://dc1.example.com:389", s)
		}
		return nil
	},
	"level": func(s string) error {
		if _, err := log.ParseLevel(s); err != nil {
			return needs("debug, info, warn or error", s)
		}
		return nil
	},
}

// hostName checks letters, digits and hyphens between dots, 63 bytes a label,
// 253 in all (RFC 1123 2.1).
func hostName(s, what string) error {
	label := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.' && label > 0 && s[i-1] != '-':
			label = 0
			continue
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '-' && label > 0:
			label++
		default:
			return needs(what, s)
		}
		if label > 63 {
			return needs(what, s)
		}
	}
	if label == 0 || len(s) > 253 || s[len(s)-1] == '-' {
		return needs(what, s)
	}
	return nil
}

func needs(what, got string) error {
	return fault.Newf(fault.Invalid, "conf.Load", "needs %s, not %q", what, got)
}

func textOf(err error) string {
	if e, ok := err.(*fault.Error); ok {
		return e.Text
	}
	return err.Error()
}
