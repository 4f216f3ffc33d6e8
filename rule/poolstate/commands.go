package poolstate

import (
	"slices"

	"trivet/fault"
	"trivet/rule/mirroring"
	"trivet/rule/quorum"
	"trivet/uc"
)

// Limits of the state.
const (
	MaxGroups   = int(uc.MaxRoutingGroup)
	MaxDocument = 1 << 20 // bytes of the topology
)

// Command is one change of the pool.
type Command interface {
	// apply changes p, or refuses and leaves it to be thrown away.
	apply(p *Pool) error
	kind() byte
}

// Member names a server of the topology, in its order.
type Member struct {
	FQDN   uc.ServerFQDN `json:"fqdn"`
	Domain int           `json:"domain"`
}

// Open begins the pool: the servers of the topology get the numbers from 1 on, in its
// order. Only the first Open of a pool counts.
type Open struct {
	ID       string   `json:"id"`
	Now      int64    `json:"now"`
	Witness  bool     `json:"witness,omitempty"`
	Members  []Member `json:"members"`
	Groups   []Place  `json:"groups"`
	Document []byte   `json:"document,omitempty"`
}

// Claim says that a server has started with a data folder. One that comes with another
// folder than before has lost what it had: it gets a new number, and the old one is
// never heard of again.
type Claim struct {
	FQDN     uc.ServerFQDN `json:"fqdn"`
	Instance string        `json:"instance"`
}

// PutPlace moves the voters of a routing group. Version is that of the place it was
// decided on.
type PutPlace struct {
	Group     uc.GroupID `json:"group"`
	Version   uint64     `json:"version"`
	Voters    []uint64   `json:"voters"`
	Preferred uint64     `json:"preferred"`
}

// Drain says that the primaries of a server are to go elsewhere, or may come back.
type Drain struct {
	FQDN     uc.ServerFQDN `json:"fqdn"`
	Draining bool          `json:"draining"`
}

// Publish replaces the topology. Version is that of the one it was made from. Servers
// that are new get numbers; those that are not in it any more are removed.
type Publish struct {
	Version  uint64   `json:"version"`
	Now      int64    `json:"now"`
	Witness  bool     `json:"witness,omitempty"`
	Members  []Member `json:"members"`
	Document []byte   `json:"document"`
}

// PutPair notes what the pool remembers of its Back End.
type PutPair struct {
	Old mirroring.Pair `json:"old"` // what it was decided on
	New mirroring.Pair `json:"new"`
}

// Recovered notes that groups go on with one copy each.
type Recovered struct {
	Groups     []uc.GroupID `json:"groups"`
	Generation uint64       `json:"generation"` // higher than those before
}

// PutUpgrade notes how far a rolling upgrade has come.
type PutUpgrade struct {
	Old Upgrade `json:"old"`
	New Upgrade `json:"new"`
}

const op = "poolstate.apply"

func refuse(k fault.Kind, format string, v ...any) error { return fault.Newf(k, op, format, v...) }

func (c *Open) kind() byte { return 1 }
func (c *Open) apply(p *Pool) error {
	switch {
	case p.Open():
		return refuse(fault.Exists, "the pool was opened before")
	case c.ID == "":
		return refuse(fault.Invalid, "a pool needs an identity")
	case len(c.Groups) == 0 || len(c.Groups) > MaxGroups:
		return refuse(fault.Invalid, "a pool needs 1 to %d routing groups", MaxGroups)
	case len(c.Document) > MaxDocument:
		return refuse(fault.Limit, "the topology has %d bytes, %d are allowed", len(c.Document), MaxDocument)
	}
	if err := checkMembers(c.Members); err != nil {
		return err
	}
	p.ID, p.Opened, p.Witness = c.ID, c.Now, c.Witness
	for i, m := range c.Members {
		p.Servers = append(p.Servers, Server{Number: uint64(i + 1), FQDN: m.FQDN, Domain: m.Domain, First: true})
	}
	p.FirstServers = uint64(len(c.Members))
	p.Next = p.FirstServers + 1
	for i := range c.Groups {
		g := c.Groups[i]
		g.Version = 1
		if err := p.checkPlace(g); err != nil {
			return err
		}
		p.Groups = append(p.Groups, g)
	}
	p.First = p.Groups
	p.Topology = Topology{Version: 1, Document: c.Document, At: c.Now}
	return nil
}

func (c *Claim) kind() byte { return 2 }
func (c *Claim) apply(p *Pool) error {
	s := p.Server(c.FQDN)
	switch {
	case !p.Open():
		return refuse(fault.Unavailable, "the pool was not opened yet")
	case s == nil:
		return refuse(fault.NotFound, "%s is not in the topology of the pool; publish one that has it", c.FQDN)
	case c.Instance == "":
		return refuse(fault.Invalid, "%s does not say which data folder it has", c.FQDN)
	case s.Instance == "":
		s.Instance = c.Instance
	case s.Instance != c.Instance:
		*s = Server{Number: p.Next, FQDN: s.FQDN, Domain: s.Domain, Instance: c.Instance}
		p.Next++
	}
	return nil
}

func (c *PutPlace) kind() byte { return 3 }
func (c *PutPlace) apply(p *Pool) error {
	if c.Group == 0 || int(c.Group) > len(p.Groups) {
		return refuse(fault.NotFound, "the pool has no routing group %d", c.Group)
	}
	at := &p.Groups[c.Group-1]
	if at.Version != c.Version {
		return refuse(fault.Stale, "the place of routing group %d has changed meanwhile", c.Group)
	}
	next := Place{Voters: slices.Sorted(slices.Values(c.Voters)), Preferred: c.Preferred, Version: at.Version + 1}
	if err := p.checkPlace(next); err != nil {
		return err
	}
	*at = next
	return nil
}

func (p *Pool) checkPlace(g Place) error {
	seen := map[uint64]bool{}
	data := 0
	for _, n := range g.Voters {
		if seen[n] {
			return refuse(fault.Invalid, "server %d is named twice", n)
		}
		seen[n] = true
		if n == quorum.Witness {
			continue
		}
		data++
		if p.ByNumber(n) == nil {
			return refuse(fault.NotFound, "the pool has no server %d", n)
		}
	}
	if data == 0 || data > 3 || g.Preferred == quorum.Witness || !seen[g.Preferred] {
		return refuse(fault.Invalid, "a routing group needs one to three servers, one of them preferred")
	}
	return nil
}

func (c *Drain) kind() byte { return 4 }
func (c *Drain) apply(p *Pool) error {
	s := p.Server(c.FQDN)
	if s == nil {
		return refuse(fault.NotFound, "%s is not a server of the pool", c.FQDN)
	}
	s.Draining = c.Draining
	return nil
}

func (c *Publish) kind() byte { return 5 }
func (c *Publish) apply(p *Pool) error {
	switch {
	case !p.Open():
		return refuse(fault.Unavailable, "the pool was not opened yet")
	case c.Version != p.Topology.Version:
		return refuse(fault.Stale, "the topology was published anew meanwhile; take the present one and change that")
	case len(c.Document) > MaxDocument:
		return refuse(fault.Limit, "the topology has %d bytes, %d are allowed", len(c.Document), MaxDocument)
	}
	if err := checkMembers(c.Members); err != nil {
		return err
	}
	var servers []Server
	for _, m := range c.Members {
		s := Server{FQDN: m.FQDN}
		if old := p.Server(m.FQDN); old != nil {
			s = *old
		} else {
			s.Number = p.Next
			p.Next++
		}
		s.Domain = m.Domain
		servers = append(servers, s)
	}
	p.Servers, p.Witness = servers, c.Witness
	p.Topology = Topology{Version: c.Version + 1, Document: c.Document, At: c.Now}
	return nil
}

func checkMembers(list []Member) error {
	if len(list) == 0 || len(list) > quorum.MaxFrontEnds {
		return refuse(fault.Invalid, "a pool has 1 to %d Front Ends", quorum.MaxFrontEnds)
	}
	seen := map[uc.ServerFQDN]bool{}
	for _, m := range list {
		if m.FQDN == "" || seen[m.FQDN] {
			return refuse(fault.Invalid, "a server is named twice, or has no name: %q", m.FQDN)
		}
		if m.Domain < 1 || m.Domain > quorum.MaxFrontEnds {
			return refuse(fault.Invalid, "%s needs an upgrade domain from 1 to %d", m.FQDN, quorum.MaxFrontEnds)
		}
		seen[m.FQDN] = true
	}
	return nil
}

func (c *PutPair) kind() byte { return 6 }
func (c *PutPair) apply(p *Pool) error {
	if p.Pair != c.Old {
		return refuse(fault.Stale, "the state of the Back End has changed meanwhile")
	}
	p.Pair = c.New
	return nil
}

func (c *Recovered) kind() byte { return 7 }
func (c *Recovered) apply(p *Pool) error {
	for _, g := range c.Groups {
		if g != uc.PoolGroup && g != uc.DirectoryGroup && (g == 0 || int(g) > len(p.Groups)) {
			return refuse(fault.NotFound, "the pool has no group %d", g)
		}
		if p.Generations[g] >= c.Generation {
			return refuse(fault.Stale, "group %d was recovered under the number %d before", g, p.Generations[g])
		}
	}
	if p.Generations == nil {
		p.Generations = map[uc.GroupID]uint64{}
	}
	for _, g := range c.Groups {
		p.Generations[g] = c.Generation
	}
	return nil
}

func (c *PutUpgrade) kind() byte { return 8 }
func (c *PutUpgrade) apply(p *Pool) error {
	if !sameUpgrade(p.Upgrade, c.Old) {
		return refuse(fault.Stale, "the upgrade has gone on meanwhile")
	}
	p.Upgrade = c.New
	return nil
}

func sameUpgrade(a, b Upgrade) bool {
	return a.Domain == b.Domain && a.Since == b.Since && a.Ended == b.Ended && a.By == b.By && slices.Equal(a.Done, b.Done)
}
