package frontend

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"trivet/kit/conf"
	"trivet/rule/policy"
	"trivet/store/central"
)

// TestSettingsThatArePolicies: key and parameter mean the same, and have the same
// default.
func TestSettingsThatArePolicies(t *testing.T) {
	t.Parallel()
	set, err := conf.Load(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	for _, f := range conf.Fields(&set) {
		defaults[f.Key] = f.Default
	}
	for _, s := range settingsOf {
		p := s.kind.Param(s.param)
		if p == nil || p.Default != defaults[s.key] {
			t.Errorf("%s: %+v, the setting has %q", s.key, p, defaults[s.key])
		}
	}
	for k, given := range fromSettings(set) {
		if len(given) != 0 {
			t.Errorf("%s from defaults: %v", k.Noun, given)
		}
	}
	set.Digest.MD5, set.Limits.Contacts = false, 500
	given := fromSettings(set)
	if given[policy.ProxyConfiguration.Kind]["UseDigestMD5ForClientToProxyAuth"] != "false" || given[policy.UserServicesConfiguration.Kind]["MaxContacts"] != "500" {
		t.Errorf("%v", given)
	}
}

func TestSettingThatCountsNoMoreIsSaid(t *testing.T) {
	t.Parallel()
	set, err := conf.Load(t.TempDir(), map[string]string{"limits.contacts": "500"})
	if err != nil {
		t.Fatal(err)
	}
	store, err := central.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "central.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	said := func() string {
		all, err := central.OpenPolicies(t.Context(), store, set.Site, fromSettings(set))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		s := &server{ground: &ground{log: slog.New(slog.NewTextHandler(&out, nil))}, policies: policies{all, nil}}
		s.warnOfSettings(fromSettings(set))
		return out.String()
	}
	if text := said(); text != "" {
		t.Errorf("the setting counts, and yet: %s", text)
	}
	k := policy.UserServicesConfiguration.Kind
	if _, err := store.Change(t.Context(), "eve", k.Noun, "Global", func([]byte) ([]byte, error) { return []byte(`{"MaxContacts":300}`), nil }); err != nil {
		t.Fatal(err)
	}
	if text := said(); !strings.Contains(text, "setting=limits.contacts value=500") || !strings.Contains(text, "holds=300") {
		t.Errorf("%q", text)
	}
}
