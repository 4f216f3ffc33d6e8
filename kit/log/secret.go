package log

import (
	"fmt"
	"log/slog"
	"strings"
)

const redacted = "[redacted]"

// Secret is text that no log, no format verb and no JSON encoder shows. Convert
// it to string where it is needed: string(s).
type Secret string

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format implements fmt.Formatter for every verb.
func (Secret) Format(f fmt.State, _ rune) { f.Write([]byte(redacted)) }

// MarshalText implements encoding.TextMarshaler, which JSON and YAML use.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// secretNames are the attribute names that are redacted whatever they hold,
// compared in lower case without '-' and '_'.
var secretNames = map[string]bool{
	"password": true, "secret": true, "credential": true, "usercredential": true, "token": true,
	"authorization": true, "proxyauthorization": true, "cookie": true, "setcookie": true,
	"nthash": true, "ha1": true, "sessionkey": true, "privatekey": true,
}

var squeeze = strings.NewReplacer("-", "", "_", "")

func redact(a slog.Attr) slog.Attr {
	if secretNames[squeeze.Replace(strings.ToLower(a.Key))] {
		a.Value = slog.StringValue(redacted)
	}
	return a
}
