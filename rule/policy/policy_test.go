package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
	"trivet/rule/policy"
)

func TestKindsAreComplete(t *testing.T) {
	t.Parallel()
	last := ""
	for _, k := range policy.Kinds() {
		if k.Noun <= last || !strings.HasPrefix(k.Noun, "Cs") || k.About == "" || policy.ByNoun(strings.ToUpper(k.Noun)) != k {
			t.Errorf("%s: noun, order or words", k.Noun)
		}
		last = k.Noun
		if grantable := strings.HasSuffix(k.Noun, "Policy"); grantable != (k.Grant != "") {
			t.Errorf("%s: policies are granted, configurations are not", k.Noun)
		}
		for _, p := range k.Params {
			if p.Help == "" || p.Server == "" && p.Client == "" {
				t.Errorf("%s -%s has no help, or no effect", k.Noun, p.Name)
			}
			if p.Client != "" && strings.Count(p.Client, "/") != 1 {
				t.Errorf("%s -%s: told to clients as %q", k.Noun, p.Name, p.Client)
			}
			if canonical, err := p.Parse(p.Default); err != nil || canonical != p.Default {
				t.Errorf("%s -%s: default %q is %q, %v", k.Noun, p.Name, p.Default, canonical, err)
			}
		}
		for _, s := range k.Shipped {
			if _, err := k.Check(s.Values); err != nil {
				t.Errorf("%s %s: %v", k.Noun, s.Name, err)
			}
		}
	}
}

func TestDefaultsOfTheProduct(t *testing.T) {
	t.Parallel()
	if p := policy.PresencePolicy.Default(); *p != (policy.Presence{MaxCategorySubscription: 1000, MaxPromptedSubscriber: 200}) {
		t.Errorf("presence: %+v", p)
	}
	if c := policy.ClientPolicy.Default(); c.MaximumNumberOfContacts != nil || c.DGRefreshInterval != 8*time.Hour || c.DisplayPhoto != "AllPhotos" || c.DisableEmoticons != nil {
		t.Errorf("client: %+v", c)
	}
	if a := policy.AddressBookConfiguration.Default(); a.RunTimeOfDay != 90 || a.SynchronizePollingInterval != 5*time.Minute || a.KeepDuration != 30 {
		t.Errorf("address book: %+v", a)
	}
	if u := policy.UserServicesConfiguration.Default(); u.MaxContacts != 250 || u.DeactivationGracePeriod != 24*time.Hour {
		t.Errorf("user services: %+v", u)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ noun, param, text, want, refusal string }{
		{"CsPresencePolicy", "MaxPromptedSubscriber", " 600 ", "600", ""},
		{"CsPresencePolicy", "MaxPromptedSubscriber", "601", "", `MaxPromptedSubscriber needs a whole number from 0 to 600, not "601"`},
		{"CsPresencePolicy", "MaxPromptedSubscriber", "", "", `MaxPromptedSubscriber needs a whole number from 0 to 600, not ""`},
		{"CsPresencePolicy", "MaxPromptedSubscriber", "many", "", "needs a whole number"},
		{"CsClientPolicy", "MaximumNumberOfContacts", "$null", "", ""},
		{"CsClientPolicy", "MaximumNumberOfContacts", "-1", "", "MaximumNumberOfContacts needs a whole number from 0 to 1000"},
		{"CsClientPolicy", "DisableEmoticons", "$TRUE", "true", ""},
		{"CsClientPolicy", "DisableEmoticons", "perhaps", "", `DisableEmoticons needs $true or $false, not "perhaps"`},
		{"CsClientPolicy", "DisplayPhoto", "nophoto", "NoPhoto", ""},
		{"CsClientPolicy", "DisplayPhoto", "", "", "DisplayPhoto needs one of NoPhoto, PhotosFromADOnly, AllPhotos"},
		{"CsClientPolicy", "DGRefreshInterval", "30m", "00:30:00", ""},
		{"CsClientPolicy", "DGRefreshInterval", "9:00:00", "", `DGRefreshInterval needs a time like 00:05:00 (hours, minutes, seconds) from 00:00:30 to 08:00:00, not "9:00:00"`},
		{"CsClientPolicy", "IMWarning", "Be kind.", "Be kind.", ""},
		{"CsClientPolicy", "IMWarning", "a\x01b", "", "IMWarning needs a text without control characters"},
		{"CsClientPolicy", "IMWarning", strings.Repeat("x", 257), "", "of at most 256 bytes"},
		{"CsUserServicesConfiguration", "DeactivationGracePeriod", "7.00:00:00", "7.00:00:00", ""},
		{"CsUserServicesConfiguration", "DeactivationGracePeriod", "36h", "1.12:00:00", ""},
		{"CsUserServicesConfiguration", "DeactivationGracePeriod", "00:60:00", "", "needs a time"},
		{"CsUserServicesConfiguration", "DeactivationGracePeriod", "+8:00:00", "", "needs a time"},
		{"CsAddressBookConfiguration", "RunTimeOfDay", "4:05", "04:05", ""},
		{"CsAddressBookConfiguration", "RunTimeOfDay", "25:00", "", `RunTimeOfDay needs a time of day like 01:30, not "25:00"`},
	} {
		p := policy.ByNoun(c.noun).Param(strings.ToLower(c.param))
		got, err := p.Parse(c.text)
		if got != c.want || (c.refusal == "") != (err == nil) || err != nil && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.refusal)) {
			t.Errorf("%s %q: %q, %v", c.param, c.text, got, err)
		}
	}
}

func TestRulesBetweenParameters(t *testing.T) {
	t.Parallel()
	for noun, given := range map[string]policy.Values{
		"CsRegistrarConfiguration": {"MinEndpointExpiration": "9000"},
		"CsProxyConfiguration": {"UseKerberosForClientToProxyAuth": "false", "UseNtlmForClientToProxyAuth": "false", "UseCertificateForClientToProxyAuth": "false",
			"usedigestforclienttoproxyauth": "0"},
	} {
		if _, err := policy.ByNoun(noun).Check(given); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", noun, err)
		}
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ noun, text, want string }{
		{"CsPresencePolicy", "", "Global"}, {"CsPresencePolicy", "GLOBAL", "Global"}, {"CsPresencePolicy", "site: Main", "Site:Main"},
		{"CsPresencePolicy", "Service: Medium", "Tag:Service: Medium"}, {"CsPresencePolicy", "tag:Bots", "Tag:Bots"}, {"CsPresencePolicy", "Tag:", ""},
		{"CsPresencePolicy", "a*", ""}, {"CsPresencePolicy", strings.Repeat("x", 65), ""}, {"CsProxyConfiguration", "Bots", ""}, {"CsProxyConfiguration", "site:Main", "Site:Main"},
	} {
		id, err := policy.ByNoun(c.noun).ParseIdentity(c.text)
		if c.want == "" && !fault.Is(err, fault.Invalid) || c.want != "" && (err != nil || id.String() != c.want) {
			t.Errorf("%q: %v, %v", c.text, id, err)
		}
	}
}

func TestStoredForm(t *testing.T) {
	t.Parallel()
	k := policy.ClientPolicy.Kind
	values, err := k.Check(policy.Values{"IMWARNING": "a \"b\" <c>", "MaximumNumberOfContacts": "0", "DisableEmoticons": "$true", "EnableURL": "$null", "DGRefreshInterval": "1h"})
	if err != nil {
		t.Fatal(err)
	}
	stored := k.Encode(values)
	if want := `{"MaximumNumberOfContacts":0,"DGRefreshInterval":"01:00:00","IMWarning":"a \"b\" \u003cc\u003e","EnableURL":null,"DisableEmoticons":true}`; string(stored) != want {
		t.Errorf("got %s", stored)
	}
	again, err := k.Decode(stored)
	if d := cmp.Diff(values, again); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	for _, bad := range []string{``, `[]`, `{"IMWarning":[]}`, `{"Colour":"red"}`, `{"EnableURL":null}{}`, `{"MaxPhotoSizeKB":101}`, `{"EnableURL":true,"enableurl":true}`} {
		if _, err := k.Decode([]byte(bad)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	changed, err := k.Apply(values, policy.Values{"imwarning": "", "DisableEmoticons": "false"})
	if err != nil || changed["IMWarning"] != "" || changed["DisableEmoticons"] != "false" || changed["DGRefreshInterval"] != "01:00:00" || values["IMWarning"] == "" {
		t.Errorf("%v, %v", changed, err)
	}
}

func TestResolution(t *testing.T) {
	k := policy.PresencePolicy
	in := func(id, prompts string) policy.Instance {
		identity, err := k.ParseIdentity(id)
		if err != nil {
			t.Fatal(err)
		}
		return policy.Instance{Kind: k.Kind, Identity: identity, Values: policy.Values{"MaxPromptedSubscriber": prompts}}
	}
	list := []policy.Instance{in("Tag:Bots", "3"), in("Site:Main", "2"), in("Global", "1"), in("Site:Other", "9")}
	at := func(site, tag string, list ...policy.Instance) int {
		b, err := policy.Compile(site, list)
		if err != nil {
			t.Fatal(err)
		}
		return k.For(b, tag).MaxPromptedSubscriber
	}
	for _, c := range []struct {
		site, tag string
		list      []policy.Instance
		want      int
	}{
		{"Main", "", nil, 200}, {"Main", "Bots", nil, 200}, {"Main", "", list, 2}, {"main", "", list, 2}, {"Far", "", list, 1},
		{"Main", "Bots", list, 3}, {"Main", "BOTS", list, 3}, {"Main", "gone", list, 2},
	} {
		if got := at(c.site, c.tag, c.list...); got != c.want {
			t.Errorf("site %q tag %q: %d, want %d", c.site, c.tag, got, c.want)
		}
	}
	b, _ := policy.Compile("Main", list)
	var order []string
	for _, i := range b.List(k.Kind) {
		order = append(order, i.Identity.String())
	}
	if d := cmp.Diff([]string{"Global", "Site:Main", "Site:Other", "Tag:Bots"}, order); d != "" {
		t.Error(d)
	}
	if p := k.For(b, "Bots"); p.MaxCategorySubscription != 1000 {
		t.Errorf("what a tag does not set has the default of the kind: %+v", p)
	}
	if got := testing.AllocsPerRun(100, func() { k.For(b, "Bots") }); got != 0 {
		t.Errorf("a look costs %v allocations", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"MaximumNumberOfContacts":0,"DGRefreshInterval":"01:00:00","IMWarning":"x","EnableURL":null}`)
	f.Add(`{"RunTimeOfDay":"01:30","MinEndpointExpiration":1e3}`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, k := range policy.Kinds() {
			values, err := k.Decode([]byte(s))
			if err != nil {
				if !fault.Is(err, fault.Invalid) {
					t.Errorf("%s: %v", k.Noun, err)
				}
				continue
			}
			again, err := k.Decode(k.Encode(values))
			if d := cmp.Diff(values, again); err != nil || d != "" {
				t.Errorf("%s %q: %v\n%s", k.Noun, s, err, d)
			}
		}
	})
}

func FuzzParseParam(f *testing.F) {
	f.Add("1.02:03:04")
	f.Add("$null")
	f.Fuzz(func(t *testing.T, s string) {
		for _, k := range policy.Kinds() {
			for _, p := range k.Params {
				canonical, err := p.Parse(s)
				if err != nil {
					continue
				}
				if again, err := p.Parse(canonical); err != nil || again != canonical {
					t.Errorf("%s %q: %q, then %q, %v", p.Name, s, canonical, again, err)
				}
			}
		}
	})
}

func TestToldToClients(t *testing.T) {
	t.Parallel()
	b, err := policy.Compile("Main", []policy.Instance{
		{Kind: policy.ClientPolicy.Kind, Identity: policy.Identity{Scope: policy.Tag, Name: "Sales"}, Values: policy.Values{"DGRefreshInterval": "00:30:00", "DisableEmoticons": "true", "DisplayPhoto": "NoPhoto", "IMWarning": ""}},
		{Kind: policy.PrivacyConfiguration.Kind, Values: policy.Values{"EnablePrivacyMode": "true"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	told := func(group, tag string) map[string]string {
		m := map[string]string{}
		for _, p := range b.Told(nil, group, func(*policy.Kind) string { return tag }) {
			m[p.Name] = p.Value
		}
		return m
	}
	want := map[string]string{"EnablePrivacyMode": "true", "AutoInitiateContacts": "true", "PublishLocationDataDefault": "true", "DisplayPublishedPhotoDefault": "true", "PersonalNoteHistoryDepth": "3"}
	if d := cmp.Diff(want, told("presencePolicyV2", "Sales")); d != "" {
		t.Error(d)
	}
	sales, all := told("endpointConfiguration", "Sales"), told("endpointConfiguration", "")
	for name, want := range map[string][2]string{"DGRefreshInterval": {"1800", "28800"}, "DisableEmoticons": {"true", ""}, "PhotoUsage": {"NoPhoto", "AllPhotos"}, "IMWarning": {}, "MaximumNumberOfContacts": {}} {
		if got := [2]string{sales[name], all[name]}; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, ok := all["IMWarning"]; ok || len(told("ServerConfiguration", "")) != 0 {
		t.Error("what is not set was told")
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add("global")
	f.Add(" site: Main ")
	f.Add("Tag:Sales")
	f.Add("Sales")
	f.Fuzz(func(t *testing.T, s string) {
		for _, k := range policy.Kinds() {
			id, err := k.ParseIdentity(s)
			if err != nil {
				if !fault.Is(err, fault.Invalid) {
					t.Errorf("%q: %v", s, err)
				}
				continue
			}
			if again, err := k.ParseIdentity(id.String()); err != nil || again != id {
				t.Errorf("%s %q: %+v, then %+v, %v", k.Noun, s, id, again, err)
			}
		}
	})
}
