// Package topology is the document that says what a deployment consists of: sites,
// pools, the computers of a pool, its databases. The order of a pool's computers counts:
// the first ones are its seeds (rule/quorum).
package topology

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"trivet/fault"
	"trivet/uc"
)

// MaxBytes bounds a document.
const MaxBytes = 1 << 20

// Document is a topology.
type Document struct {
	SIPDomains []string `yaml:"sip-domains"`     // the first one is the default
	Sites      []Site   `yaml:"sites,omitempty"` // none: one site, Default
	Pools      []Pool   `yaml:"pools"`
}

// Site is a place with its own network.
type Site struct {
	Name        string `yaml:"name"`
	Description string `yaml:"description,omitempty"`
}

// Pool is a Front End pool.
type Pool struct {
	FQDN          uc.PoolFQDN `yaml:"fqdn"`
	Site          string      `yaml:"site,omitempty"`
	WebFQDN       string      `yaml:"web-fqdn,omitempty"`       // of the web services; as the pool by default
	RoutingGroups int         `yaml:"routing-groups,omitempty"` // 32 by default; fixed when the pool is first opened
	Ports         Ports       `yaml:"ports,omitempty"`
	Computers     []Computer  `yaml:"computers"`
	BackEnd       *BackEnd    `yaml:"back-end,omitempty"`
	Pair          uc.PoolFQDN `yaml:"pair,omitempty"` // for disaster recovery
}

// Ports are those of every computer of a pool; 0 is the default.
type Ports struct {
	SIP   uint16 `yaml:"sip-tls,omitempty"` // 5061
	HTTPS uint16 `yaml:"https,omitempty"`   // 8443
	Peer  uint16 `yaml:"peer,omitempty"`    // 5075, between the servers of the pool
}

// Computer is a server of a pool.
type Computer struct {
	FQDN          uc.ServerFQDN `yaml:"fqdn"`
	Address       string        `yaml:"address"`                  // IP address where it listens
	PeerAddress   string        `yaml:"peer-address,omitempty"`   // host:port where the others reach it, if not address and port
	SIPAddress    string        `yaml:"sip-address,omitempty"`    // the same for SIP between servers
	UpgradeDomain int           `yaml:"upgrade-domain,omitempty"` // from 1; its place in the list by default
	Roles         []string      `yaml:"roles,omitempty"`          // Registrar, UserServices, ConferencingServer, WebServices; none: all
}

// BackEnd is the database server of a pool, or a pair of them.
type BackEnd struct {
	User         string    `yaml:"user"`
	PasswordFile string    `yaml:"password-file"` // on every computer
	CA           string    `yaml:"ca"`            // PEM file with the authority of the servers' certificates
	Primary      Database  `yaml:"primary"`
	Mirror       *Database `yaml:"mirror,omitempty"`
}

// Database is a PostgreSQL server.
type Database struct {
	FQDN    string `yaml:"fqdn"`
	Address string `yaml:"address,omitempty"` // host:port; port 5432 of the FQDN by default
}

// The defaults of a pool.
const (
	DefaultSIP           = 5061
	DefaultHTTPS         = 8443
	DefaultPeer          = 5075
	DefaultRoutingGroups = 32
)

// Parse reads a document, fills in the defaults and refuses what cannot be meant: keys it
// does not know, with their line.
func Parse(b []byte) (*Document, error) {
	const op = "topology.Parse"
	if len(b) > MaxBytes {
		return nil, fault.Newf(fault.Limit, op, "the topology has %d bytes, %d are allowed", len(b), MaxBytes)
	}
	d := &Document{}
	loader, err := yaml.NewLoader(bytes.NewReader(b), yaml.WithKnownFields())
	if err == nil {
		err = loader.Load(d)
	}
	if errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, op, "the topology is empty")
	}
	if err != nil {
		return nil, fault.Newf(fault.Invalid, op, "the topology cannot be read: %v", err)
	}
	if err := loader.Load(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, op, "the topology has a second document behind ---; it may have one")
	}
	d.complete()
	return d, nil
}

// complete fills in the defaults.
func (d *Document) complete() {
	if len(d.Sites) == 0 {
		d.Sites = []Site{{Name: "Default"}}
	}
	for i := range d.Pools {
		p := &d.Pools[i]
		or(&p.Site, d.Sites[0].Name)
		or(&p.WebFQDN, string(p.FQDN))
		or(&p.RoutingGroups, DefaultRoutingGroups)
		or(&p.Ports.SIP, DefaultSIP)
		or(&p.Ports.HTTPS, DefaultHTTPS)
		or(&p.Ports.Peer, DefaultPeer)
		for k := range p.Computers {
			c := &p.Computers[k]
			or(&c.UpgradeDomain, k+1)
			or(&c.PeerAddress, hostPort(c.Address, p.Ports.Peer))
			or(&c.SIPAddress, hostPort(c.Address, p.Ports.SIP))
		}
		if b := p.BackEnd; b != nil {
			b.Primary.complete()
			if b.Mirror != nil {
				b.Mirror.complete()
			}
		}
	}
}

func (d *Database) complete() { or(&d.Address, hostPort(d.FQDN, 5432)) }

func hostPort(host string, port uint16) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(a, port).String()
	}
	return host + ":" + strconv.Itoa(int(port))
}

func or[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Computer finds a computer and its pool.
func (d *Document) Computer(name uc.ServerFQDN) (*Pool, *Computer, error) {
	var names []string
	for i := range d.Pools {
		p := &d.Pools[i]
		for k := range p.Computers {
			if c := &p.Computers[k]; strings.EqualFold(string(c.FQDN), string(name)) {
				return p, c, nil
			}
			names = append(names, string(p.Computers[k].FQDN))
		}
	}
	return nil, nil, fault.Newf(fault.NotFound, "topology.Computer", "the topology has no computer %s; it has %s", name, strings.Join(names, ", "))
}

// Listen is the address of a computer, once the document is valid.
func (c *Computer) Listen() netip.Addr {
	a, err := netip.ParseAddr(c.Address)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// Names are the FQDNs of the pool's computers in their order.
func (p *Pool) Names() (list []uc.ServerFQDN) {
	for _, c := range p.Computers {
		list = append(list, c.FQDN)
	}
	return list
}

// String names the pool and its size.
func (p *Pool) String() string { return fmt.Sprintf("%s (%d computers)", p.FQDN, len(p.Computers)) }
