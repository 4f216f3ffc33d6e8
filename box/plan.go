package box

import (
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"

	"trivet/uc"
)

// The ports of every server of a box.
const (
	portSIP   = "5061"
	portHTTPS = "8443"
	portPeer  = "5075"
)

// Ports of relays: the base of a link and the number of the server it leads to.
const (
	relayPeer = 20000
	relaySIP  = 21000
)

// Plan is where everything of a box is.
type Plan struct {
	Dir     string
	Domain  string
	Number  byte
	Pool    uc.PoolFQDN
	Servers []Server
	BackEnd *BackEnd // nil without
}

// Server is one Front End, or a database server, which has no topology.
type Server struct {
	Index    int    // from 1
	Name     string // fe1
	FQDN     uc.ServerFQDN
	Addr     netip.Addr
	Data     string // data folder
	Topology string // file
	Log      string // file
}

func newPlan(dir, domain string, n int, number byte) Plan {
	if domain == "" {
		domain = "example.test"
	}
	p := Plan{Dir: dir, Domain: domain, Number: number, Pool: uc.PoolFQDN("pool1." + domain)}
	for i := 1; i <= n; i++ {
		name := "fe" + strconv.Itoa(i)
		p.Servers = append(p.Servers, Server{
			Index: i, Name: name, FQDN: uc.ServerFQDN(name + "." + domain), Addr: p.addr(i),
			Data: filepath.Join(dir, name), Topology: filepath.Join(dir, name+".topology.yaml"), Log: filepath.Join(dir, name+".log"),
		})
	}
	return p
}

func (p Plan) addr(last int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 0, p.Number, byte(last)})
}

// Keys is the folder with what the servers of the pool have in common.
func (p Plan) Keys() string { return filepath.Join(p.Dir, "keys") }

// relay is where from reaches to over the link with this base port.
func (p Plan) relay(from, to Server, base int) string {
	return netip.AddrPortFrom(p.addr(100+from.Index), uint16(base+to.Index)).String()
}

// TopologyWriter makes the document that one server reads.
type TopologyWriter func(p Plan, viewer Server) []byte

// Document is the topology of the pool as viewer sees it: the others are reached
// through viewer's relays.
func Document(p Plan, viewer Server) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "sip-domains: [%s]\npools:\n  - fqdn: %s\n    ports: {sip-tls: %s, https: %s, peer: %s}\n    computers:\n", p.Domain, p.Pool, portSIP, portHTTPS, portPeer)
	for _, s := range p.Servers {
		fmt.Fprintf(&b, "      - fqdn: %s\n        address: %s\n", s.FQDN, s.Addr)
		if s.FQDN != viewer.FQDN {
			fmt.Fprintf(&b, "        peer-address: %s\n        sip-address: %s\n", p.relay(viewer, s, relayPeer), p.relay(viewer, s, relaySIP))
		}
	}
	if be := p.BackEnd; be != nil {
		fmt.Fprintf(&b, "    back-end:\n      user: %s\n      password-file: %s\n      ca: %s\n", be.User, be.PassFile, be.CA)
		for i, s := range be.Servers {
			fmt.Fprintf(&b, "      %s: {fqdn: %s, address: %q}\n", []string{"primary", "mirror"}[i], s.FQDN, be.Address(s))
		}
	}
	return b.Bytes()
}
