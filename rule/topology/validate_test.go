package topology

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func parsed(t *testing.T, text string) *Document {
	t.Helper()
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		what, old, new string // replaced in the document
		refused        bool
		path, want     string
	}{
		{"no domain", "[example.test]", "[]", true, "sip-domains", "no SIP domain"},
		{"no real domain", "[example.test]", "[a_b]", true, "sip-domains[0]", "no domain like"},
		{"no Front End", "computers:\n", "computers: []\n    x:\n", true, "", ""},
		{"the same name twice", "fqdn: fe3.example.test", "fqdn: FE1.example.test", true, "pools[0].computers[2].fqdn", "is at pools[0].computers[0] too"},
		{"the same address twice", "address: 127.0.9.3", "address: 127.0.9.1", true, "pools[0].computers[2].address", "computers[0] has"},
		{"no address", "address: 127.0.9.3", "address: fe3", true, "pools[0].computers[2].address", "no IP address"},
		{"a wild upgrade domain", "upgrade-domain: 1", "upgrade-domain: 13", true, "pools[0].computers[2].upgrade-domain", "1 to 12"},
		{"two upgrade domains", "upgrade-domain: 1", "upgrade-domain: 2", false, "pools[0].computers", "two copies in one"},
		{"a role that is none", "upgrade-domain: 1", "roles: [Edge]", true, "pools[0].computers[2].roles", `no role "Edge"`},
		{"unlike roles", "upgrade-domain: 1", "roles: [Registrar]", true, "pools[0].computers[2].roles", "other roles than fe1"},
		{"ports that clash", "computers:\n", "ports: {https: 5061}\n    computers:\n", true, "pools[0].ports", "three different ports"},
		{"too many groups", "computers:\n", "routing-groups: 5000\n    computers:\n", true, "pools[0].routing-groups", "1 to 4096"},
		{"a site that is none", "computers:\n", "site: Berlin\n    computers:\n", true, "pools[0].site", `no site "Berlin"`},
		{"no user of the databases", "user: trivet", "user: ''", true, "pools[0].back-end.user", "missing"},
		{"a mirror that is the primary", "primary: {fqdn: sql1.example.test}", "primary: {fqdn: sql1.example.test}\n      mirror: {fqdn: sql1.example.test}", true, "pools[0].back-end.mirror", "another server"},
		{"a pair with itself", "computers:\n", "pair: pool1.example.test\n    computers:\n", true, "pools[0].pair", "its own pair"},
		{"a pair that is none", "computers:\n", "pair: pool9.example.test\n    computers:\n", true, "pools[0].pair", "no pool pool9"},
	} {
		text := strings.Replace(three, c.old, c.new, 1)
		if c.path == "" {
			continue
		}
		found := Validate(parsed(t, text), Facts{})
		if !slices.ContainsFunc(found, func(f Finding) bool {
			return f.Refused == c.refused && f.Path == c.path && strings.Contains(f.Text, c.want)
		}) {
			t.Errorf("%s: %+v", c.what, found)
		}
	}
	if found := Validate(parsed(t, "sip-domains: [example.test]\npools:\n  - fqdn: pool1.example.test\n    computers: []\n"), Facts{}); len(found) != 1 || !found[0].Refused || !strings.Contains(found[0].Text, "no Front End") {
		t.Errorf("no Front End: %+v", found)
	}
}

func TestWorld(t *testing.T) {
	a := netip.MustParseAddr
	d := parsed(t, three)
	found := Validate(d, Facts{
		Names:     map[string][]netip.Addr{"fe1.example.test": {a("127.0.9.1")}, "fe2.example.test": nil, "fe3.example.test": {a("10.0.0.1")}, "pool1.example.test": {a("127.0.9.1"), a("127.0.9.2")}},
		Databases: map[string][]string{"sql1.example.test": {"rtcxds", "payroll", "postgres"}}, Own: []string{"rtcxds", "rtcshared"},
	})
	var texts []string
	for _, f := range found {
		if f.Refused {
			t.Errorf("refused: %+v", f)
		}
		texts = append(texts, f.Text)
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{"fe2.example.test is in no DNS", "fe3.example.test resolves to 10.0.0.1", "2 of 3 computers", "database payroll on sql1.example.test is not ours"} {
		if !strings.Contains(all, want) {
			t.Errorf("not told: %s, but\n%s", want, all)
		}
	}
	if strings.Contains(all, "rtcxds") || strings.Contains(all, "fe1.example.test") {
		t.Errorf("told without need:\n%s", all)
	}
}

func TestRecordsAndDifferences(t *testing.T) {
	d := parsed(t, three)
	var all []string
	for _, r := range d.Records() {
		all = append(all, r.Name+" "+r.Type+" "+r.Value)
	}
	for _, want := range []string{"fe2.example.test A 127.0.9.2", "pool1.example.test A 127.0.9.3", "lyncdiscoverinternal.example.test A 127.0.9.1", "_sipinternaltls._tcp.example.test SRV 0 0 5061 pool1.example.test."} {
		if !slices.Contains(all, want) {
			t.Errorf("no record %s in\n%s", want, strings.Join(all, "\n"))
		}
	}
	next := parsed(t, strings.Replace(strings.Replace(three, "fe3.example.test", "fe4.example.test", 1), "    back-end:\n      user: trivet\n      password-file: pw\n      ca: ca.pem\n      primary: {fqdn: sql1.example.test}\n", "", 1))
	got := strings.Join(Differences(d, next), "; ")
	for _, want := range []string{"fe4.example.test comes", "fe3.example.test goes", "Back End of pool pool1.example.test goes"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}
