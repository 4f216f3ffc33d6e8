package drill

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trivet/box"
)

// first is the topology of the first n servers of a box.
func first(n int) box.TopologyWriter {
	return func(p box.Plan, viewer box.Server) []byte {
		if viewer.Index <= n {
			p.Servers = p.Servers[:n]
		}
		return box.Document(p, viewer)
	}
}

// publish has a server publish the topology of the first n servers.
func (p *Pool) publish(at string, n int) {
	p.t.Helper()
	plan := p.Plan
	plan.Servers = plan.Servers[:n]
	file := filepath.Join(p.Plan.Dir, "published.yaml")
	var lines []string
	for _, line := range strings.Split(string(box.Document(plan, box.Server{})), "\n") {
		if !strings.Contains(line, "peer-address") && !strings.Contains(line, "sip-address") { // those are of one viewer's relays
			lines = append(lines, line)
		}
	}
	p.must(os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600))
	_, err := p.Cmdlet(at, "Publish-CsTopology", file, "-Force")
	p.must(err)
}

// A server that is not in the topology waits for one that has it; then it joins, gets its
// share of the copies, and loses them when it is taken out again.
func TestAServerIsAddedAndRemoved(t *testing.T) {
	p := Start(t, box.Spec{FrontEnds: 4, Hold: true, Topology: first(3)})
	for _, name := range []string{"fe1", "fe2", "fe3"} {
		p.must(p.Run(p.soon(), name))
	}
	for _, name := range []string{"fe1", "fe2", "fe3"} {
		p.Wait(name, box.Ready)
	}
	p.NewUser(alice)
	p.publish("fe2", 4)
	p.must(p.Run(p.soon(), "fe4"))
	p.Wait("fe4", box.Ready)
	has := func(at string) bool {
		return slices.ContainsFunc(p.Groups(at), func(g Group) bool {
			return g.Service == "Routing" && (strings.Contains(g.Secondaries, "fe4.") || strings.HasPrefix(g.Primary, "fe4."))
		})
	}
	await(t, "fe4 to have copies", func() bool { return has("fe4") && p.Whole("fe1") })
	p.SignIn(alice, "fe4")

	p.publish("fe1", 3)
	await(t, "fe4 to have no copies", func() bool { return !has("fe1") && p.Whole("fe1") })
	p.Wait("fe4", box.Starting)
	p.must(p.Kill(p.soon(), "fe4"))
	if n := p.Primary("fe2", alice); n == "" {
		t.Error("alice is not served")
	}
}
