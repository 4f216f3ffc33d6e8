package frontend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/rule/poolstate"
	"trivet/rule/topology"
	"trivet/store/backend"
	"trivet/uc"
)

// Topology implements cmdlet.Deployment.
func (d deployment) Topology() cmdlet.Topology { return documents{d.ground} }

// Computer implements cmdlet.Deployment.
func (d deployment) Computer() uc.ServerFQDN { return d.fqdn }

// documents is the topology for the cmdlets.
type documents struct{ *ground }

var _ cmdlet.Topology = documents{}

// Current implements cmdlet.Topology. That of a Standard Edition server is made from its
// settings.
func (t documents) Current(context.Context) (s cmdlet.TopologyState, err error) {
	if t.fabric == nil {
		s.Version, s.Text = 1, t.alone()
		s.Document, err = topology.Parse(s.Text)
		return s, err
	}
	p := t.fabric.state()
	if !p.Open() {
		return s, fault.New(fault.Unavailable, "frontend.Current", "the pool was not opened yet; its topology is the file of each server")
	}
	s.Version, s.Text = p.Topology.Version, p.Topology.Document
	s.Document, err = topology.Parse(s.Text)
	if p.Topology.Version > 1 {
		s.Published = time.UnixMilli(p.Topology.At)
	}
	return s, err
}

// alone is the topology of a Standard Edition server.
func (t documents) alone() []byte {
	return fmt.Appendf(nil, "sip-domains: [%s]\nsites:\n  - name: %q\npools:\n  - fqdn: %s\n    site: %q\n    routing-groups: %d\n    ports: {sip-tls: %d, https: %d}\n    computers:\n      - fqdn: %s\n        address: %q\n",
		t.set.Domain, t.set.Site, t.pool, t.set.Site, groupCount, port(t.set.SIP.TLS), port(t.set.HTTPS), t.fqdn, t.set.Listen)
}

// Facts implements cmdlet.Topology.
func (t documents) Facts(ctx context.Context, d *topology.Document) topology.Facts {
	facts := topology.Facts{Names: map[string][]netip.Addr{}, Databases: map[string][]string{}, Own: backend.Names}
	limited, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, name := range d.Lookups() {
		got, err := net.DefaultResolver.LookupNetIP(limited, "ip", name)
		var dns *net.DNSError
		if err != nil && (!errors.As(err, &dns) || !dns.IsNotFound) {
			continue // nobody to ask is no fact
		}
		facts.Names[name] = nil
		for _, a := range got {
			facts.Names[name] = append(facts.Names[name], a.Unmap())
		}
	}
	if t.backEnd != nil {
		for i := range d.Pools {
			if be := d.Pools[i].BackEnd; be != nil && d.Pools[i].FQDN == t.pool {
				if list, err := t.backEnd.store.List(limited); err == nil {
					facts.Databases[be.Primary.FQDN] = list
				}
			}
		}
	}
	return facts
}

// Publish implements cmdlet.Topology.
func (t documents) Publish(ctx context.Context, version uint64, text []byte) error {
	const op = "frontend.Publish"
	if t.fabric == nil {
		return fault.Newf(fault.Unsupported, op, "%s is a Standard Edition server: it is its whole topology, which its settings say", t.fqdn)
	}
	d, err := topology.Parse(text)
	if err != nil {
		return err
	}
	for i := range d.Pools {
		p := &d.Pools[i]
		if p.FQDN != t.pool {
			continue
		}
		_, err := t.fabric.propose(ctx, &poolstate.Publish{
			Version: version, Now: t.clock.Now().UnixMilli(), Witness: p.BackEnd != nil, Members: membersOf(p.Computers), Document: text,
		})
		return err
	}
	return fault.Newf(fault.Invalid, op, "the topology has no pool %s, which is asked to publish it", t.pool).About("pools")
}

// computers are those of the pool: as published, with the addresses under which this
// server's own document says that it reaches them.
func (f *fabric) computers() []topology.Computer {
	state := f.state().Topology
	if have := f.published.Load(); have != nil && have.version == state.Version {
		return have.computers
	}
	list := f.pool.Computers
	if state.Version > 1 {
		d, err := topology.Parse(state.Document)
		if err == nil {
			list = merge(d, f.pool)
		} else {
			f.log.Error("the published topology cannot be read; that of the start holds", "err", err)
		}
	}
	f.published.Store(&published{state.Version, list})
	return list
}

// published is what was made of a version of the topology.
type published struct {
	version   uint64
	computers []topology.Computer
}

// merge is the published computers of a pool, with the ways of the local document.
func merge(d *topology.Document, local *topology.Pool) (list []topology.Computer) {
	for i := range d.Pools {
		if d.Pools[i].FQDN != local.FQDN {
			continue
		}
		for _, m := range d.Pools[i].Computers {
			for _, l := range local.Computers {
				if l.FQDN == m.FQDN && l.Address == m.Address {
					m.PeerAddress, m.SIPAddress = l.PeerAddress, l.SIPAddress
				}
			}
			list = append(list, m)
		}
	}
	return list
}
