package frontend

import (
	"bytes"
	"strings"
	"testing"

	"trivet/admin/cmdlet"
	"trivet/kit/clock"
	"trivet/uc"
)

func TestPoolPage(t *testing.T) {
	state := cmdlet.FabricState{
		Pool: "pool1.example.test", Votes: 3, Present: 2, Needed: 2, Witness: "Up",
		Servers: []cmdlet.FabricServer{{Number: 1, FQDN: "fe1.example.test", Domain: 1, Live: true, Leads: 2}, {Number: 2, FQDN: "fe2.example.test", Domain: 2}},
		Groups: []cmdlet.FabricGroup{
			{Service: cmdlet.PoolService, Group: uc.PoolGroup, Primary: "fe1.example.test", Replicas: []cmdlet.FabricReplica{
				{Server: "fe1.example.test", Role: cmdlet.RolePrimary, Live: true, Known: true},
				{Server: "fe2.example.test", Role: cmdlet.RoleSecondary, Known: true, Behind: 3},
				{Server: "Witness", Role: cmdlet.RoleWitness, Live: true},
			}},
			{Service: cmdlet.RoutingService, Group: 1, Replicas: []cmdlet.FabricReplica{{Server: "fe2.example.test", Role: cmdlet.RoleSecondary}}},
		},
	}
	s := &server{ground: &ground{fqdn: "fe1.example.test", clock: clock.Real{}}}
	v := s.viewOf(t.Context(), state)
	if len(v.Alarms) != 3 || v.Rows[0].State != "degraded" || v.Rows[1].State != "lost" || v.Rows[0].Copies != "1/2" {
		t.Errorf("rows %+v, alarms %q", v.Rows, v.Alarms)
	}
	var b bytes.Buffer
	if err := poolPageTemplate.Execute(&b, v); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 group without a primary", `class="secondary down" title="Secondary on fe2.example.test, 3 entries behind, down"`, `class="witness" title="Witness on Witness"`, "group 1", "2 of 3 votes", "Not there: fe2.example.test.", ">fe1<small>leads 2"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

func TestHeadsOfThePage(t *testing.T) {
	for _, x := range []struct{ names, short []string }{
		{[]string{"fe1.example.test"}, []string{"fe1"}},
		{[]string{"fe1.example.test", "fe2.example.test"}, []string{"fe1", "fe2"}},
		{[]string{"fe1.a.test", "fe1.b.test"}, []string{"fe1.a.test", "fe1.b.test"}},
	} {
		var servers []cmdlet.FabricServer
		for _, n := range x.names {
			servers = append(servers, cmdlet.FabricServer{FQDN: uc.ServerFQDN(n)})
		}
		for i, h := range headsOf(servers) {
			if h.Short != x.short[i] {
				t.Errorf("%s of %q is called %s, want %s", x.names[i], x.names, h.Short, x.short[i])
			}
		}
	}
}
