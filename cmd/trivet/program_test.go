package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trivet/fault"
	"trivet/kit/conf"
)

// invoke runs the program with args; run stands in for the server.
func invoke(t *testing.T, run func(conf.Settings, *slog.Logger) error, args ...string) (out, errs string, status int) {
	t.Helper()
	var o, e bytes.Buffer
	p := program{in: strings.NewReader(""), out: &o, err: &e, run: func(_ context.Context, s conf.Settings, l *slog.Logger, _ io.Writer) error {
		return run(s, l)
	}}
	status = p.main(t.Context(), args)
	return o.String(), e.String(), status
}

func TestRunGetsTheSettings(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, conf.FileName), []byte("domain: contoso.test\nhttps: off\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got conf.Settings
	_, errs, status := invoke(t, func(s conf.Settings, l *slog.Logger) error { got = s; l.Info("hello", "password", "x"); return nil },
		"run", "--data", dir, "--demo", "--sip-tls=:0", "--sip-tcp", "off", "--json-log")
	if status != 0 || got.Data != dir || !got.Demo || got.Domain != "contoso.test" || got.SIP.TLS != "127.0.0.1:0" || !got.SIP.TCP.Off() || !got.HTTPS.Off() {
		t.Errorf("%d %+v %s", status, got, errs)
	}
	if !strings.Contains(errs, `"msg":"hello"`) || !strings.Contains(errs, "[redacted]") {
		t.Errorf("the log is %s", errs)
	}
}

func TestExitStatuses(t *testing.T) {
	t.Setenv("TRIVET_DATA", t.TempDir())
	fails := func(conf.Settings, *slog.Logger) error { return fault.New(fault.Unavailable, "x", "the port is taken") }
	for _, c := range []struct {
		args, out, errs string
		status          int
	}{
		{"version", "trivet ", "", 0}, {"help", "Get-CsUser", "", 0}, {"", "Usage", "", 0}, {"help get-csuser", "-Identity", "", 0},
		{"get-csuser -Help", "-Filter", "", 0}, {"config --domain a.test", "domain: a.test", "", 0}, {"completion bash", "complete", "", 0},
		{"config --domain a_b", "", "--domain: domain needs a DNS domain name", 2}, {"config extra", "", "Unknown command", 2}, {"run --nothing", "", "Unknown flag: --nothing", 2},
		{"walk", "", `There is no command "walk"`, 2}, {"Get-CsNothing", "", `There is no cmdlet "Get-CsNothing"`, 2}, {"Get-CsUser -Nothing", "", "-Nothing is no parameter", 2},
		{"diagnos user x", "", `There is no command "diagnos"; did you mean diagnose?`, 2}, {"Get-CsUsr", "", `There is no cmdlet "Get-CsUsr"; did you mean Get-CsUser?`, 2},
		{"getcsuser", "", "did you mean Get-CsUser?", 2}, {"Get-CsUser", "", "No server runs in", 3}, {"Get-CsUser --server https://127.0.0.1:1 --user a:b", "", "127.0.0.1:1 does not answer", 3},
		{"Get-CsUser --server http://x --user a:b", "", "--server needs an address like https", 2}, {"Get-CsUser --server https://x", "", "--server needs --user", 2},
		{"Get-CsUser --data", "", "--data needs a value", 2}, {"run", "", "The port is taken.", 1},
	} {
		out, errs, status := invoke(t, fails, strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(out, c.out) || !strings.Contains(errs, c.errs) || c.out == "" && out != "" {
			t.Errorf("trivet %s: status %d, want %d\nout: %s\nerr: %s", c.args, status, c.status, out, errs)
		}
	}
}

func TestCompletion(t *testing.T) {
	for args, want := range map[string]string{
		"__complete Get-CsUs ":                         ":", // cobra ends its list with a directive
		"__complete Get-CsUser -res":                   "-ResultSize",
		"__complete Enable-CsUser -SipAddressType ":    "FirstLastName",
		"__complete Set-CsUser erin -Enabled ":         "$true\n$false",
		"__complete Remove-CsUser erin -confirm:":      "-confirm:$true\n-confirm:$false",
		"__complete Set-CsClientPolicy -DisplayPhoto ": "NoPhoto\nPhotosFromADOnly\nAllPhotos",
		"__complete Set-CsClientPolicy -EnableURL ":    "$true\n$false",
		"__complete diagnose user --method ":           "Ntlm\nKerberos\nTlsDsk\nDigest",
	} {
		list := strings.Split(args, " ")
		if out, _, status := invoke(t, nil, list...); status != 0 || !strings.Contains(out, want) {
			t.Errorf("%q: %d %s", args, status, out)
		}
	}
}
