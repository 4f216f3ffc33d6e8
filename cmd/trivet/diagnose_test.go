package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trivet/kit/conf"
	"trivet/kit/log"
	"trivet/role/frontend"
	"trivet/test/peer/loopback"
)

// serve runs a whole server and returns its folder and address.
func serve(t *testing.T) (data, ip string) {
	t.Helper()
	data, ip = filepath.Join(t.TempDir(), "data"), loopback.Addr(t).String()
	set, err := conf.Load(data, map[string]string{"listen": ip})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan bool, 1), make(chan error, 1)
	go func() {
		ended <- frontend.Serve(ctx, set, log.Discard(), io.Discard, func(frontend.Ready) { ready <- true })
	}()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return data, ip
}

// TestDiagnose is the command against a whole server: the owner is told of the
// account, a stranger is not, and scripts can read it.
func TestDiagnose(t *testing.T) {
	data, ip := serve(t)
	const password = "Long-enough-1-password"
	for _, args := range [][]string{{"New-CsUser", "erin", "-Password", password}, {"New-CsUser", "fred", "-Password", password}, {"Set-CsUser", "fred", "-Enabled", "$false"}} {
		if _, errs, status := invoke(t, nil, append(args, "--data", data)...); status != 0 {
			t.Fatalf("%v: %d %s", args, status, errs)
		}
	}
	stranger := t.TempDir()
	if err := os.Link(filepath.Join(data, "ca.pem"), filepath.Join(stranger, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		who, data, password string
		status              int
		says                []string
	}{
		{"erin", data, password, 0, []string{"ok   account", "the user exists and may sign in", "ok   sign-in", "signed in, and out again", "Nothing is wrong with sip:erin@example.test"}},
		{"erin", data, "wrong", 1, []string{"ok   account", "FAIL sign-in", "-> The user may sign in, so the password is wrong", "begin with the first: sign-in."}},
		{"fred", data, password, 1, []string{"FAIL account", "the user is disabled", "Set-CsUser fred -Enabled"}},
		{"nobody", data, "", 1, []string{"FAIL account", "there is no user sip:nobody@example.test", "skip sign-in"}},
		{"fred", stranger, password, 1, []string{"skip account", "FAIL sign-in", "strangers are not told which"}},
		{"nobody", stranger, "", 0, []string{"skip account", "skip sign-in", "no password was given"}},
	} {
		t.Setenv("TRIVET_PASSWORD", c.password)
		out, errs, status := invoke(t, nil, "diagnose", "user", c.who+"@example.test", "--host", ip, "--data", c.data)
		if status != c.status {
			t.Errorf("%s: status %d %s\n%s", c.who, status, errs, out)
		}
		for _, want := range c.says {
			if !strings.Contains(out, want) {
				t.Errorf("%s with %s does not say %q:\n%s", c.who, c.data, want, out)
			}
		}
	}
	out, _, status := invoke(t, nil, "diagnose", "server", ip+":5061", "--domain", "example.test", "--data", data, "--json")
	var got struct {
		Subject string
		Failed  int
		Checks  []struct{ Check, Result, Evidence, Mend string }
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(out)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err != nil || status != 0 || got.Failed != 0 || len(got.Checks) != 12 || got.Checks[2].Check != "port" || got.Checks[2].Result != "ok" {
		t.Errorf("%d %v\n%s", status, err, out)
	}
	if _, errs, status := invoke(t, nil, "Set-CsProxyConfiguration", "-UseNtlmForClientToProxyAuth", "$false", "--data", data); status != 0 {
		t.Fatal(errs)
	}
	if out, _, status := invoke(t, nil, "diagnose", "user", "erin@example.test", "--host", ip, "--data", data, "--method", "ntlm"); status != 1 ||
		!strings.Contains(out, "FAIL sign-in methods") || !strings.Contains(out, "-UseNtlmForClientToProxyAuth '$true'") {
		t.Errorf("with NTLM switched off: %d %s", status, out)
	}
	if out, _, status := invoke(t, nil, "diagnose", "certificate", ip+":8443", "--data", stranger+"/none"); status != 1 || !strings.Contains(out, "FAIL certificate issuer") {
		t.Errorf("%d %s", status, out)
	}
}

func TestDiagnoseWrongUse(t *testing.T) {
	t.Setenv("TRIVET_PASSWORD", "")
	for args, want := range map[string]string{
		"diagnose":                              "",
		"diagnose house":                        `"house" is none of user, server, certificate`,
		"diagnose user":                         "Accepts 1 arg(s)",
		"diagnose user alice":                   "needs an address like alice@example.test",
		"diagnose user a@b.test --method Smoke": "--method needs one of Ntlm, Kerberos, TlsDsk, Digest",
		"diagnose server x --ca /nowhere":       "--ca needs a PEM file",
	} {
		status := 2
		if want == "" {
			status = 0
		}
		if _, errs, got := invoke(t, nil, strings.Fields(args)...); got != status || !strings.Contains(errs, want) {
			t.Errorf("trivet %s: %d %s", args, got, errs)
		}
	}
}
