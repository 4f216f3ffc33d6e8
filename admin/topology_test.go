package admin_test

import (
	"context"
	"net/netip"

	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/rule/topology"
	"trivet/uc"
)

const threeComputers = `sip-domains: [example.test]
pools:
  - fqdn: sip.example.test
    computers:
      - {fqdn: fe1.example.test, address: 192.0.2.1}
      - {fqdn: fe2.example.test, address: 192.0.2.2}
      - {fqdn: fe3.example.test, address: 192.0.2.3}
`

// fakeTopology is a document that can be published.
type fakeTopology struct{ d *deployment }

func (d *deployment) Topology() cmdlet.Topology { return fakeTopology{d} }
func (d *deployment) Computer() uc.ServerFQDN   { return "fe1.example.test" }

func (f fakeTopology) Current(context.Context) (s cmdlet.TopologyState, err error) {
	s.Version, s.Text = 1, []byte(threeComputers)
	if f.d.topology != nil {
		s.Version, s.Text = 2, f.d.topology
	}
	s.Document, err = topology.Parse(s.Text)
	return s, err
}

func (fakeTopology) Facts(context.Context, *topology.Document) topology.Facts {
	return topology.Facts{Names: map[string][]netip.Addr{"fe3.example.test": nil}}
}

func (f fakeTopology) Publish(_ context.Context, version uint64, text []byte) error {
	if !f.d.backEnd {
		return fault.New(fault.Unsupported, "test", "this is a Standard Edition server")
	}
	f.d.topology = text
	return nil
}
