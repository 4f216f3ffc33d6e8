// Package poolstate is the state of the pool group: which Front Ends take part, where
// the voters of the routing groups sit, and what else a pool has to agree on. It is a
// deterministic machine like rule/groupstate: commands go in, and a refused one changes
// nothing.
//
// Commands are JSON behind a byte with their kind, the snapshot is JSON: there are few of
// them. What a later version adds the one before leaves out when it reads, so nobody may
// propose it as long as servers of the pool run a version that does not know it.
package poolstate

import (
	"slices"

	"trivet/rule/mirroring"
	"trivet/rule/quorum"
	"trivet/uc"
)

// Server is a Front End of the pool.
type Server struct {
	Number   uint64        `json:"number"` // given once, never used again
	FQDN     uc.ServerFQDN `json:"fqdn"`
	Instance string        `json:"instance,omitempty"` // of its data folder; "": it has not started yet
	Domain   int           `json:"domain"`             // upgrade domain, from 1
	Draining bool          `json:"draining,omitempty"` // its primaries are to go elsewhere
	// First reports whether the server was in the pool when it was opened: it knows the
	// first members of every group. Others are sent a snapshot.
	First bool `json:"first,omitempty"`
}

// Place is where the voters of a routing group are to be.
type Place struct {
	Voters    []uint64 `json:"voters"`    // ascending; with quorum.Witness where it has a vote
	Preferred uint64   `json:"preferred"` // the one of them that is to lead
	Version   uint64   `json:"version"`   // raised with every change
}

// Topology is the document that the pool runs on.
type Topology struct {
	Version  uint64 `json:"version"` // raised with every publication
	Document []byte `json:"document,omitempty"`
	At       int64  `json:"at,omitempty"` // Unix milliseconds
}

// Upgrade is a rolling upgrade under way, or the last one; rule/upgrade says how it goes
// on.
type Upgrade struct {
	Domain int    `json:"domain,omitempty"` // the upgrade domain that is out of service, 0: none
	Since  int64  `json:"since,omitempty"`  // Unix milliseconds; of the present step
	Done   []int  `json:"done,omitempty"`   // domains that have been upgraded
	Ended  bool   `json:"ended"`
	By     string `json:"by,omitempty"`
	// Stopped: the servers of Domain have been stopped and are to be replaced.
	Stopped bool `json:"stopped,omitempty"`
	// Ready is since when the pool has been ready without a break, in Unix milliseconds;
	// 0: it is not.
	Ready     int64  `json:"ready,omitempty"`
	ReadyTime int64  `json:"readyTime,omitempty"` // milliseconds that it has to be
	DrainTime int64  `json:"drainTime,omitempty"` // milliseconds in which a server is to be left
	Before    Copies `json:"before,omitzero"`     // what the pool had before the upgrade
}

// UnderWay reports whether an upgrade has begun and not ended.
func (u *Upgrade) UnderWay() bool { return u.Since != 0 && !u.Ended }

// Copies sums up what a pool has of its groups.
type Copies struct {
	Groups int `json:"groups"`
	Voters int `json:"voters"` // copies with a vote that are there
	Home   int `json:"home"`   // groups that the server leads that is to lead them
}

// Pool is the state at a moment. It is never changed: a command makes a new one.
type Pool struct {
	ID           string         `json:"id"`     // of the pool; "": it was never opened
	Opened       int64          `json:"opened"` // Unix milliseconds
	Witness      bool           `json:"witness,omitempty"`
	Servers      []Server       `json:"servers"`      // in the order of the topology: the first ones are seeds
	Next         uint64         `json:"next"`         // number of the next server
	FirstServers uint64         `json:"firstServers"` // how many it was opened with: their numbers are 1 to this
	First        []Place        `json:"first"`        // as opened: the first members of every group; index = id-1
	Groups       []Place        `json:"groups"`
	Topology     Topology       `json:"topology"`
	Pair         mirroring.Pair `json:"pair"`
	Upgrade      Upgrade        `json:"upgrade"`
	// Generations says how often a group was recovered; 0 is left out.
	Generations map[uc.GroupID]uint64 `json:"generations,omitempty"`
}

// Open reports whether the pool has ever been opened.
func (p *Pool) Open() bool { return p.ID != "" }

// Server returns the server of that name, nil for none.
func (p *Pool) Server(name uc.ServerFQDN) *Server {
	for i := range p.Servers {
		if p.Servers[i].FQDN == name {
			return &p.Servers[i]
		}
	}
	return nil
}

// ByNumber returns the server of that number, nil for none.
func (p *Pool) ByNumber(n uint64) *Server {
	for i := range p.Servers {
		if p.Servers[i].Number == n {
			return &p.Servers[i]
		}
	}
	return nil
}

// Numbers are those of all servers, ascending.
func (p *Pool) Numbers() []uint64 {
	var out []uint64
	for _, s := range p.Servers {
		out = append(out, s.Number)
	}
	slices.Sort(out)
	return out
}

// Voters are those of the pool group and of the directory group: the seeds, and the
// witness.
func (p *Pool) Voters() []uint64 {
	n := len(p.Servers)
	var out []uint64
	for _, s := range p.Servers[:quorum.Seeds(n)] {
		out = append(out, s.Number)
	}
	if p.Witness && quorum.HasWitness(n) {
		out = append(out, quorum.Witness)
	}
	slices.Sort(out)
	return out
}

// IsSeed reports whether a server has a vote in the pool group.
func (p *Pool) IsSeed(number uint64) bool { return slices.Contains(p.Voters(), number) }

// FirstMembers are the voters and observers that a group began with, for a server that
// was there then; ok is false for one that joined later, or is none of the pool.
func (p *Pool) FirstMembers(g uc.GroupID, number uint64) (voters, observers []uint64, ok bool) {
	s := p.ByNumber(number)
	if s == nil || !s.First || g == 0 || int(g) > len(p.First) {
		return nil, nil, false
	}
	voters = p.First[g-1].Voters
	for _, s := range p.firstServers() {
		if !slices.Contains(voters, s) {
			observers = append(observers, s)
		}
	}
	return voters, observers, true
}

// firstServers are the numbers of the servers that the pool was opened with, which are
// those below the first one that was added.
func (p *Pool) firstServers() []uint64 {
	var out []uint64
	for n := uint64(1); n <= min(p.FirstServers, quorum.MaxFrontEnds); n++ {
		out = append(out, n)
	}
	return out
}

func (p *Pool) clone() *Pool {
	c := *p
	c.Servers = slices.Clone(p.Servers)
	c.Groups = slices.Clone(p.Groups)
	c.Upgrade.Done = slices.Clone(p.Upgrade.Done)
	if p.Generations != nil {
		c.Generations = make(map[uc.GroupID]uint64, len(p.Generations))
		for g, n := range p.Generations {
			c.Generations[g] = n
		}
	}
	return &c
}
