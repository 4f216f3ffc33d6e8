package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"trivet/rule/poolstate"
	"trivet/rule/quorum"
	"trivet/uc"
)

// Finding is something about a document: a refusal, without which it is not published,
// or a warning.
type Finding struct {
	Refused bool
	Path    string // of the field, like pools[0].computers[1].address
	Text    string // what is wrong, and the mend
}

// Roles are those that a computer of a Front End pool can have.
var Roles = []string{"Registrar", "UserServices", "ConferencingServer", "WebServices"}

// Facts are what is known of the world that a document speaks of.
type Facts struct {
	// Names are the addresses that names resolve to; a name that is not in it was not
	// looked up, one without addresses does not resolve.
	Names map[string][]netip.Addr
	// Databases are those on the database servers of the document, by FQDN.
	Databases map[string][]string
	// Own are the names of the databases that are ours.
	Own []string
}

// checker gathers findings.
type checker struct {
	doc   *Document
	facts Facts
	out   []Finding
	seen  map[uc.ServerFQDN]string // computers, and where
}

func (c *checker) refuse(path, format string, v ...any) {
	c.out = append(c.out, Finding{true, path, fmt.Sprintf(format, v...)})
}

func (c *checker) warn(path, format string, v ...any) {
	c.out = append(c.out, Finding{false, path, fmt.Sprintf(format, v...)})
}

// Validate says what is wrong with a document, refusals and warnings in its order.
func Validate(d *Document, facts Facts) []Finding {
	c := &checker{doc: d, facts: facts, seen: map[uc.ServerFQDN]string{}}
	if len(d.SIPDomains) == 0 {
		c.refuse("sip-domains", "there is no SIP domain; name at least one")
	}
	for i, s := range d.SIPDomains {
		if !fqdn(s) {
			c.refuse(fmt.Sprintf("sip-domains[%d]", i), "%q is no domain like example.com", s)
		}
	}
	if len(d.Pools) == 0 {
		c.refuse("pools", "there is no pool; name one with its computers")
	}
	for i := range d.Pools {
		c.pool(fmt.Sprintf("pools[%d]", i), &d.Pools[i], i)
	}
	return c.out
}

func (c *checker) pool(path string, p *Pool, i int) {
	if !fqdn(string(p.FQDN)) {
		c.refuse(path+".fqdn", "%q is no full name like pool1.example.com", p.FQDN)
	}
	for k := range i {
		if strings.EqualFold(string(c.doc.Pools[k].FQDN), string(p.FQDN)) {
			c.refuse(path+".fqdn", "%s is the name of pools[%d] too", p.FQDN, k)
		}
	}
	if !slices.ContainsFunc(c.doc.Sites, func(s Site) bool { return s.Name == p.Site }) {
		c.refuse(path+".site", "there is no site %q; add it under sites", p.Site)
	}
	if p.RoutingGroups < 1 || p.RoutingGroups > poolstate.MaxGroups {
		c.refuse(path+".routing-groups", "a pool has 1 to %d routing groups, not %d", poolstate.MaxGroups, p.RoutingGroups)
	}
	if p.Ports.SIP == p.Ports.HTTPS || p.Ports.SIP == p.Ports.Peer || p.Ports.HTTPS == p.Ports.Peer {
		c.refuse(path+".ports", "sip-tls, https and peer need three different ports, not %d, %d and %d", p.Ports.SIP, p.Ports.HTTPS, p.Ports.Peer)
	}
	c.computers(path, p)
	c.backEnd(path+".back-end", p)
	c.pair(path+".pair", p)
	c.names(path, p)
}

func (c *checker) computers(path string, p *Pool) {
	n := len(p.Computers)
	switch {
	case n == 0:
		c.refuse(path+".computers", "the pool %s has no Front End; name 1 to %d computers", p.FQDN, quorum.MaxFrontEnds)
		return
	case n > quorum.MaxFrontEnds:
		c.refuse(path+".computers", "a pool has at most %d Front Ends, not %d", quorum.MaxFrontEnds, n)
	case n == 1:
		c.warn(path+".computers", "one Front End has one copy of everything: the loss of its disk is the loss of the pool")
	case n == 2:
		c.warn(path+".computers", "two Front Ends are not recommended: with either of them away the pool hangs on the Back End, and starts only with the one that was stopped last")
	}
	addresses, domains := map[string]int{}, map[int]bool{}
	for i := range p.Computers {
		m := &p.Computers[i]
		at := fmt.Sprintf("%s.computers[%d]", path, i)
		if !fqdn(string(m.FQDN)) {
			c.refuse(at+".fqdn", "%q is no full name like fe1.example.com", m.FQDN)
		}
		key := uc.ServerFQDN(strings.ToLower(string(m.FQDN)))
		if where, twice := c.seen[key]; twice {
			c.refuse(at+".fqdn", "%s is at %s too", m.FQDN, where)
		}
		c.seen[key] = at
		if !m.Listen().IsValid() {
			c.refuse(at+".address", "%q is no IP address", m.Address)
		} else if k, twice := addresses[m.Address]; twice {
			c.refuse(at+".address", "computers[%d] has the address %s too", k, m.Address)
		}
		addresses[m.Address] = i
		if m.UpgradeDomain < 1 || m.UpgradeDomain > quorum.MaxFrontEnds {
			c.refuse(at+".upgrade-domain", "an upgrade domain has a number from 1 to %d, not %d", quorum.MaxFrontEnds, m.UpgradeDomain)
		}
		domains[m.UpgradeDomain] = true
		c.roles(at, p, m)
	}
	if n >= 3 && len(domains) < 3 {
		c.warn(path+".computers", "with %d upgrade domains groups have two copies in one of them, and lose both in an upgrade; use three or more", len(domains))
	}
}

// roles have to be the same on all computers of a pool.
func (c *checker) roles(at string, p *Pool, m *Computer) {
	for _, r := range m.Roles {
		if !slices.Contains(Roles, r) {
			c.refuse(at+".roles", "there is no role %q; there are %s", r, strings.Join(Roles, ", "))
		}
	}
	first, mine := slices.Sorted(slices.Values(p.Computers[0].Roles)), slices.Sorted(slices.Values(m.Roles))
	if !slices.Equal(first, mine) {
		c.refuse(at+".roles", "%s has other roles than %s; the computers of a pool have the same", m.FQDN, p.Computers[0].FQDN)
	}
}

func (c *checker) backEnd(path string, p *Pool) {
	b := p.BackEnd
	if b == nil {
		if quorum.HasWitness(len(p.Computers)) {
			c.warn(path, "without a Back End a pool of %d has no witness: it needs %d of its Front Ends", len(p.Computers), quorum.Majority(len(p.Computers)))
		} else if len(p.Computers) > 1 {
			c.warn(path, "without a Back End there is no copy of the users' data outside the Front Ends")
		}
		return
	}
	for _, f := range [][2]string{{"user", b.User}, {"password-file", b.PasswordFile}, {"ca", b.CA}, {"primary.fqdn", b.Primary.FQDN}} {
		if f[1] == "" {
			c.refuse(path+"."+f[0], "is missing")
		}
	}
	if b.Mirror != nil && (b.Mirror.FQDN == b.Primary.FQDN || b.Mirror.Address == b.Primary.Address) {
		c.refuse(path+".mirror", "the mirror has to be another server than the primary")
	}
	for _, db := range []*Database{&b.Primary, b.Mirror} {
		if db == nil {
			continue
		}
		for _, name := range c.facts.Databases[db.FQDN] {
			if !slices.Contains(c.facts.Own, name) && name != "postgres" {
				c.warn(path, "the database %s on %s is not ours: what else uses that server slows the pool and may fill its disk", name, db.FQDN)
			}
		}
	}
}

func (c *checker) pair(path string, p *Pool) {
	if p.Pair == "" {
		return
	}
	i := slices.IndexFunc(c.doc.Pools, func(o Pool) bool { return o.FQDN == p.Pair })
	switch {
	case p.Pair == p.FQDN:
		c.refuse(path, "a pool cannot be its own pair")
	case i < 0:
		c.refuse(path, "there is no pool %s", p.Pair)
	case c.doc.Pools[i].Pair != p.FQDN:
		c.refuse(path, "%s is paired with %q; pairs are mutual", p.Pair, c.doc.Pools[i].Pair)
	}
}

// names compares the document with what names resolve to.
func (c *checker) names(path string, p *Pool) {
	for i := range p.Computers {
		m := &p.Computers[i]
		at := fmt.Sprintf("%s.computers[%d].fqdn", path, i)
		switch got, looked := c.facts.Names[string(m.FQDN)]; {
		case !looked:
		case len(got) == 0:
			c.warn(at, "%s is in no DNS; clients that are sent there do not find it", m.FQDN)
		case m.Listen().IsValid() && !slices.Contains(got, m.Listen()):
			c.warn(at, "%s resolves to %s, not to %s", m.FQDN, got[0], m.Address)
		}
	}
	got, looked := c.facts.Names[string(p.FQDN)]
	if !looked {
		return
	}
	if len(got) == 0 {
		c.warn(path+".fqdn", "%s is in no DNS; it needs the addresses of the computers, or that of a balancer", p.FQDN)
		return
	}
	ours := 0
	for i := range p.Computers {
		if slices.Contains(got, p.Computers[i].Listen()) {
			ours++
		}
	}
	if ours > 0 && ours < len(p.Computers) {
		c.warn(path+".fqdn", "%s resolves to %d of %d computers: clients do not use the others", p.FQDN, ours, len(p.Computers))
	}
}

// fqdn reports whether a name is a full one.
func fqdn(s string) bool {
	labels := strings.Split(s, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.Trim(strings.ToLower(l), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(labels) > 1 && len(s) <= 253
}

// Lookups are the names of a document that clients look up.
func (d *Document) Lookups() (list []string) {
	for i := range d.Pools {
		list = append(list, string(d.Pools[i].FQDN))
		for _, m := range d.Pools[i].Computers {
			list = append(list, string(m.FQDN))
		}
	}
	return list
}

// Record is a DNS record that a deployment needs.
type Record struct{ Name, Type, Value string }

// Records are those that clients and servers look up: the pool's name stands for all of
// its computers, which is DNS load balancing.
func (d *Document) Records() []Record {
	var list []Record
	for i := range d.Pools {
		p := &d.Pools[i]
		for _, m := range p.Computers {
			list = append(list, record(string(m.FQDN), m.Listen()))
		}
		for _, m := range p.Computers {
			list = append(list, record(string(p.FQDN), m.Listen()))
		}
		if i > 0 {
			continue // the first pool answers for the domains
		}
		for _, domain := range d.SIPDomains {
			for _, m := range p.Computers {
				for _, name := range []string{"sip.", "lyncdiscover.", "lyncdiscoverinternal."} {
					list = append(list, record(name+domain, m.Listen()))
				}
			}
			for _, service := range []string{"_sipinternaltls._tcp.", "_sip._tls.", "_sips._tcp."} {
				list = append(list, Record{service + domain, "SRV", fmt.Sprintf("0 0 %d %s.", p.Ports.SIP, p.FQDN)})
			}
		}
	}
	seen := map[Record]bool{}
	return slices.DeleteFunc(list, func(r Record) bool { // sip.DOMAIN may be the pool's name
		twice := seen[r]
		seen[r] = true
		return twice
	})
}

func record(name string, a netip.Addr) Record {
	if a.Is6() {
		return Record{name, "AAAA", a.String()}
	}
	return Record{name, "A", a.String()}
}

// Differences are what publishing changes, in words.
func Differences(old, new *Document) (list []string) {
	say := func(format string, v ...any) { list = append(list, fmt.Sprintf(format, v...)) }
	was := map[uc.PoolFQDN]*Pool{}
	for i := range old.Pools {
		was[old.Pools[i].FQDN] = &old.Pools[i]
	}
	for i := range new.Pools {
		p := &new.Pools[i]
		o := was[p.FQDN]
		if o == nil {
			say("pool %s comes, with %d computers", p.FQDN, len(p.Computers))
			continue
		}
		delete(was, p.FQDN)
		for _, m := range p.Computers {
			if !slices.Contains(o.Names(), m.FQDN) {
				say("computer %s comes to pool %s", m.FQDN, p.FQDN)
			}
		}
		for _, m := range o.Computers {
			if !slices.Contains(p.Names(), m.FQDN) {
				say("computer %s goes from pool %s: its copies are given to others", m.FQDN, p.FQDN)
			}
		}
		if (o.BackEnd == nil) != (p.BackEnd == nil) {
			say("the Back End of pool %s %s", p.FQDN, map[bool]string{true: "comes; restart its servers one after the other", false: "goes; restart its servers one after the other"}[o.BackEnd == nil])
		}
	}
	for _, p := range old.Pools {
		if was[p.FQDN] != nil {
			say("pool %s goes", p.FQDN)
		}
	}
	return list
}
