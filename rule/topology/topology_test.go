package topology

import (
	"strings"
	"testing"

	"trivet/fault"
)

const three = `
sip-domains: [example.test]
pools:
  - fqdn: pool1.example.test
    computers:
      - {fqdn: fe1.example.test, address: 127.0.9.1}
      - {fqdn: fe2.example.test, address: 127.0.9.2, peer-address: "127.0.9.101:20002"}
      - fqdn: fe3.example.test
        address: 127.0.9.3
        upgrade-domain: 1
    back-end:
      user: trivet
      password-file: pw
      ca: ca.pem
      primary: {fqdn: sql1.example.test}
`

func TestDefaults(t *testing.T) {
	d, err := Parse([]byte(three))
	if err != nil {
		t.Fatal(err)
	}
	p, c, err := d.Computer("FE2.example.test")
	if err != nil || c != &p.Computers[1] {
		t.Fatal(err)
	}
	if p.Ports != (Ports{5061, 8443, 5075}) || p.RoutingGroups != 32 || p.Site != "Default" || p.WebFQDN != "pool1.example.test" {
		t.Errorf("pool: %+v", p)
	}
	if c.PeerAddress != "127.0.9.101:20002" || c.SIPAddress != "127.0.9.2:5061" || c.UpgradeDomain != 2 || p.Computers[2].UpgradeDomain != 1 {
		t.Errorf("computers: %+v", p.Computers)
	}
	if p.BackEnd.Primary.Address != "sql1.example.test:5432" || p.BackEnd.Mirror != nil {
		t.Errorf("Back End: %+v", p.BackEnd)
	}
	if _, _, err := d.Computer("fe9.example.test"); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "fe1.example.test, fe2") {
		t.Errorf("a computer that is not there: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct{ what, text, want string }{
		{"nothing", "", "is empty"},
		{"no YAML", "a: [", "cannot be read"},
		{"a key nobody knows", "sip-domains: [a]\npuuls: []\n", "2"},
		{"a nested one", strings.Replace(three, "address: 127.0.9.3", "adress: 127.0.9.3", 1), "adress"},
		{"two documents", three + "---\n" + three, "second document"},
		{"too large", strings.Repeat("#", MaxBytes+1), "bytes"},
	} {
		if _, err := Parse([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(three))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := Parse(b); err == nil {
			_, _, _ = d.Computer("fe1.example.test")
		}
	})
}
