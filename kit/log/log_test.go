package log_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"trivet/kit/log"
)

func TestSecretsNeverShow(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for _, asJSON := range []bool{false, true} {
		var out bytes.Buffer
		l := log.New(&out, log.Options{JSON: asJSON, Level: slog.LevelDebug})
		l = l.With("Password", secret, "v", log.Secret(secret))
		l.Info("signed in", "p", log.Secret(secret), "Proxy-Authorization", secret,
			slog.Group("g", "nt_hash", []byte(secret), "any", struct{ S log.Secret }{secret}))
		l.WithGroup("deep").Debug("x", "cookie", secret)
		if strings.Contains(out.String(), secret) {
			t.Errorf("JSON=%v: the secret shows: %s", asJSON, out.String())
		}
		if n := strings.Count(out.String(), "[redacted]"); n < 7 {
			t.Errorf("JSON=%v: got %d redactions, want 7 or more: %s", asJSON, n, out.String())
		}
	}
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, log.Secret(secret)); got != "[redacted]" {
			t.Errorf("Sprintf(%q) = %q, want [redacted]", verb, got)
		}
	}
	if b, _ := json.Marshal(map[string]any{"a": log.Secret(secret)}); strings.Contains(string(b), secret) {
		t.Errorf("JSON shows the secret: %s", b)
	}
}

func TestLinesForPeople(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := log.New(&out, log.Options{})
	l.Debug("not shown")
	l.With("part", "sip").WithGroup("tls").Warn("two\nlines\x1b[31m", "port", 5061, "reason", "not here", "none", "")
	got := out.String()
	if !strings.HasSuffix(got, ` WRN two\nlines\x1b[31m part=sip tls.port=5061 tls.reason="not here" tls.none=""`+"\n") {
		t.Errorf("got %q", got)
	}
	if strings.Contains(got, "\x1b") || strings.Count(got, "\n") != 1 {
		t.Errorf("a line that is no terminal's has an escape or a break: %q", got)
	}
}

func TestParseLevel(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]slog.Level{"debug": slog.LevelDebug, "INFO": slog.LevelInfo, "Warn": slog.LevelWarn, "error": slog.LevelError} {
		if got, err := log.ParseLevel(in); err != nil || got != want {
			t.Errorf("ParseLevel(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	if _, err := log.ParseLevel("loud"); err == nil {
		t.Error("ParseLevel(loud) succeeded")
	}
}
