package conf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/kit/conf"
)

func folder(t *testing.T, yaml string) string {
	t.Helper()
	dir := t.TempDir()
	if yaml != "" {
		if err := os.WriteFile(filepath.Join(dir, conf.FileName), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# only a comment\n", "---\n"} {
		s, err := conf.Load(folder(t, text), nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.Domain != "example.test" || s.FQDN != "sip.example.test" || s.SIP.TLS != "127.0.0.1:5061" || s.SIP.TCP != "127.0.0.1:5060" ||
			s.SIP.UDP != "127.0.0.1:5060" || !s.SIP.WS.Off() || s.HTTPS != "127.0.0.1:8443" || !s.Digest.MD5 || s.Log.Level != "info" || s.Limits.SignInTime != time.Minute {
			t.Errorf("%q: got %+v", text, s)
		}
	}
}

func TestFileThenFlags(t *testing.T) {
	t.Parallel()
	dir := folder(t, "domain: contoso.test\nlisten: 0.0.0.0\nsip:\n  tls: 192.0.2.1:443\n  tcp: off\n  ws: :5066\nkerberos: {keytab: sip.keytab}\nlimits:\n")
	s, err := conf.Load(dir, map[string]string{"https": "[::1]:0", "json-log": "true", "limits.contacts": "1000"})
	if err != nil {
		t.Fatal(err)
	}
	if s.Domain != "contoso.test" || s.SIP.TLS != "192.0.2.1:443" || !s.SIP.TCP.Off() || !s.SIP.UDP.Off() || s.SIP.WS != "0.0.0.0:5066" ||
		s.HTTPS != "[::1]:0" || s.Kerberos.Keytab != "sip.keytab" || s.FQDN != "sip.contoso.test" || !s.Log.JSON || s.Limits.Contacts != 1000 {
		t.Errorf("got %+v", s)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, yaml, want string }{
		{"unknown key", "domain: a.test\ndomian: b.test\n", `trivet.yaml:2: there is no setting "domian"`},
		{"unknown nested key", "sip:\n  tsl: 5061\n", `:2: there is no setting "sip.tsl"`},
		{"near key", "domains: b.test\n", `did you mean "domain"?`},
		{"swapped key", "domian: b.test\n", `did you mean "domain"?`},
		{"double key", "domain: a.test\ndomain: b.test\n", "line"},
		{"bad domain", "domain: a_b.test\n", `:1: domain needs a DNS domain name like example.com, not "a_b.test"`},
		{"bad site", "site: a*\n", "site needs a name of at most 64 bytes"},
		{"empty domain", "domain:\n", "domain needs"},
		{"list for value", "domain: [a, b]\n", ":1: domain needs one value"},
		{"value for section", "sip: 5061\n", `sip needs settings of the form "key: value"`},
		{"bad port", "sip: {tls: 70000}\n", "sip.tls needs a port, IP-address:port or off"},
		{"name as host", "https: localhost:1\n", "https needs a port, IP-address:port or off"},
		{"bad number", "limits:\n  contacts: many\n", ":2: limits.contacts needs a whole number from 1 to 1000"},
		{"number too large", "limits: {endpoints: 65}\n", "limits.endpoints needs a whole number from 1 to 64"},
		{"number too small", "limits: {connections: 1}\n", "limits.connections needs a whole number of at least 10"},
		{"bad duration", "limits: {sign-in-time: 3}\n", "limits.sign-in-time needs a duration"},
		{"bad switch", "digest: {md5: perhaps}\n", "digest.md5 needs true or false"},
		{"no mapping", "just text\n", `the file needs settings of the form "key: value"`},
		{"no YAML", "a: [\n", "is not YAML"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := conf.Load(folder(t, c.yaml), nil)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Load(%q) = %v, want an error with %q", c.yaml, err, c.want)
			}
		})
	}
	if _, err := conf.Load(t.TempDir(), map[string]string{"log-level": "loud"}); err == nil || !strings.Contains(err.Error(), "--log-level: log.level needs debug, info, warn or error") {
		t.Errorf("bad flag: %v", err)
	}
}

func TestPrintRoundTrip(t *testing.T) {
	t.Parallel()
	s, err := conf.Load(folder(t, "sip: {ws: 5066, tcp: off}\nkerberos: {keytab: \"a: b #c\"}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := conf.Load(folder(t, string(conf.Print(s))), nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, conf.Print(s))
	}
	again.Data = s.Data
	if d := cmp.Diff(s, again); d != "" {
		t.Errorf("settings changed on the way through the file:\n%s", d)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("domain: a.test\nsip: {tls: 1}\n")
	f.Add("limits:\n  contacts: 5\n")
	f.Add("a: &x [*x]\n")
	f.Add(corp)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := conf.Load(folder(t, text), nil); err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v is not fault.Invalid", text, err)
		}
	})
}
