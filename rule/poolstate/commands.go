package poolstate

import (
	"reflect"
	"slices"

	"trivet/fault"
	"trivet/rule/mirroring"
	"trivet/rule/quorum"
	"trivet/uc"
)

// Limits of the state. The largest command within them is shorter than MaxCommand.
const (
	MaxGroups   = 4096
	MaxDocument = 1 << 20 // bytes of the topology
	MaxText     = 255     // bytes of a name
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
// never heard of again. What an administrator has said of it stays.
type Claim struct {
	FQDN     uc.ServerFQDN `json:"fqdn"`
	Instance string        `json:"instance"`
}

// PutPlace moves the voters of a routing group. Version is that of the place it was
// decided on. Voters that are servers no more may stay, since they go one at a time, but
// none comes.
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

// Recovered notes that groups go on with one copy each. The place of a routing group is
// that copy's server alone from then on: others come as to any group that lacks copies,
// which the voters of before, most of them lost, could not be waited for.
type Recovered struct {
	Groups     []uc.GroupID `json:"groups"`
	Copies     []uint64     `json:"copies"`     // the server of each
	Generation uint64       `json:"generation"` // higher than those before
}

// PutUpgrade notes how far a rolling upgrade has come.
type PutUpgrade struct {
	Old Upgrade `json:"old"`
	New Upgrade `json:"new"`
}

// Dismiss says that what a server kept under a number is lost for good: it gets another
// number now, and claims it when it comes back.
type Dismiss struct {
	FQDN   uc.ServerFQDN `json:"fqdn"`
	Number uint64        `json:"number"`
}

const op = "poolstate.apply"

func refuse(k fault.Kind, format string, v ...any) error { return fault.Newf(k, op, format, v...) }

func (c *Open) kind() byte { return 1 }
func (c *Open) apply(p *Pool) error {
	switch {
	case p.Open():
		return refuse(fault.Exists, "the pool was opened before")
	case c.ID == "" || len(c.ID) > MaxText:
		return refuse(fault.Invalid, "a pool needs an identity of up to %d bytes", MaxText)
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
	for _, g := range c.Groups {
		g = Place{Voters: slices.Sorted(slices.Values(g.Voters)), Preferred: g.Preferred, Version: 1}
		if err := p.checkPlace(g, nil); err != nil {
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
	case c.Instance == "" || len(c.Instance) > MaxText:
		return refuse(fault.Invalid, "%s does not say which data folder it has, in up to %d bytes", c.FQDN, MaxText)
	case s.Instance == "":
		s.Instance = c.Instance
	case s.Instance != c.Instance:
		n, err := p.number()
		if err != nil {
			return err
		}
		s.Number, s.Instance, s.First = n, c.Instance, false
	}
	return nil
}

// number gives one that no server has had.
func (p *Pool) number() (uint64, error) {
	if p.Next >= quorum.Witness {
		return 0, refuse(fault.Limit, "the pool has given away all %d numbers of servers", quorum.Witness-1)
	}
	p.Next++
	return p.Next - 1, nil
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
	if err := p.checkPlace(next, at.Voters); err != nil {
		return err
	}
	*at = next
	return nil
}

// checkPlace refuses a place that names others than servers of the pool, the witness
// where there is one, and was, the voters of before.
func (p *Pool) checkPlace(g Place, was []uint64) error {
	data := 0
	for i, n := range g.Voters { // ascending
		if i > 0 && g.Voters[i-1] == n {
			return refuse(fault.Invalid, "server %d is named twice", n)
		}
		if n != quorum.Witness {
			data++
		}
		switch known := p.ByNumber(n) != nil || n == quorum.Witness && p.Witness; {
		case known || slices.Contains(was, n):
		case n == quorum.Witness:
			return refuse(fault.NotFound, "the pool has no Back End, and so no witness")
		default:
			return refuse(fault.NotFound, "the pool has no server %d", n)
		}
	}
	if data == 0 || data > 3 || g.Preferred == quorum.Witness || !slices.Contains(g.Voters, g.Preferred) {
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
		s := p.Server(m.FQDN)
		if s == nil {
			n, err := p.number()
			if err != nil {
				return err
			}
			s = &Server{Number: n, FQDN: m.FQDN}
		}
		next := *s
		next.Domain = m.Domain
		servers = append(servers, next)
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
		if m.FQDN == "" || len(m.FQDN) > MaxText {
			return refuse(fault.Invalid, "a server needs a name of up to %d bytes", MaxText)
		}
		if seen[m.FQDN] {
			return refuse(fault.Invalid, "%s is named twice", m.FQDN)
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
	if len(c.Groups) == 0 || len(c.Groups) != len(c.Copies) {
		return refuse(fault.Invalid, "each group that was recovered needs the server whose copy it goes on with")
	}
	if p.Generations == nil {
		p.Generations = map[uc.GroupID]uint64{}
	}
	for i, g := range c.Groups {
		routing := g > 0 && int(g) <= len(p.Groups)
		switch {
		case !routing && g != uc.PoolGroup && g != uc.DirectoryGroup:
			return refuse(fault.NotFound, "the pool has no group %d", g)
		case p.Generations[g] >= c.Generation:
			return refuse(fault.Stale, "group %d was recovered under the number %d before", g, p.Generations[g])
		case p.ByNumber(c.Copies[i]) == nil:
			return refuse(fault.NotFound, "the pool has no server %d", c.Copies[i])
		}
		p.Generations[g] = c.Generation
		if routing {
			p.Groups[g-1] = Place{Voters: c.Copies[i : i+1 : i+1], Preferred: c.Copies[i], Version: p.Groups[g-1].Version + 1}
		}
	}
	return nil
}

func (c *PutUpgrade) kind() byte { return 8 }
func (c *PutUpgrade) apply(p *Pool) error {
	if !sameUpgrade(p.Upgrade, c.Old) {
		return refuse(fault.Stale, "the upgrade has gone on meanwhile")
	}
	if err := c.New.check(); err != nil {
		return err
	}
	p.Upgrade = c.New
	return nil
}

func (u *Upgrade) check() error {
	if u.Domain < 0 || u.Domain > quorum.MaxFrontEnds {
		return refuse(fault.Invalid, "an upgrade domain has a number from 1 to %d", quorum.MaxFrontEnds)
	}
	for i, d := range u.Done {
		if d < 1 || d > quorum.MaxFrontEnds || slices.Contains(u.Done[:i], d) {
			return refuse(fault.Invalid, "an upgrade domain has a number from 1 to %d, and is done once", quorum.MaxFrontEnds)
		}
	}
	if u.ReadyTime < 0 || u.DrainTime < 0 {
		return refuse(fault.Invalid, "an upgrade waits for no negative time")
	}
	if len(u.By) > MaxText {
		return refuse(fault.Limit, "the name of who upgrades has %d bytes, %d are allowed", len(u.By), MaxText)
	}
	return nil
}

func sameUpgrade(a, b Upgrade) bool {
	done := slices.Equal(a.Done, b.Done)
	a.Done, b.Done = nil, nil
	return done && reflect.DeepEqual(a, b)
}

func (c *Dismiss) kind() byte { return 9 }
func (c *Dismiss) apply(p *Pool) error {
	s := p.Server(c.FQDN)
	switch {
	case s == nil:
		return refuse(fault.NotFound, "%s is not a server of the pool", c.FQDN)
	case s.Number != c.Number:
		return refuse(fault.Stale, "%s has another number by now", c.FQDN)
	}
	*s = Server{Number: p.Next, FQDN: s.FQDN, Domain: s.Domain}
	p.Next++
	return nil
}
