package frontend

import (
	"context"
	"fmt"
	"time"

	"trivet/admin/cmdlet"
	"trivet/link/siptrans"
	"trivet/replica"
	"trivet/rule/quorum"
	"trivet/uc"
)

// watchMetrics publishes the counters of the links and services.
func (s *server) watchMetrics() {
	m := s.metrics
	for i, name := range siptrans.Transports {
		m.GaugeFunc("sip_connections_"+name, "Open SIP connections over "+name+".", func() float64 { return float64(s.layer.Stats().Connections[i]) })
	}
	for i, name := range siptrans.Methods {
		m.CounterFunc("sip_requests_"+metricName(name)+"_total", "SIP requests received: "+name+".", func() float64 { return float64(s.layer.Stats().RequestsIn[i]) })
	}
	for class := 1; class <= 6; class++ {
		m.CounterFunc(fmt.Sprintf("sip_replies_%dxx_total", class), fmt.Sprintf("SIP responses sent: %dxx.", class), func() float64 { return float64(s.layer.Stats().RepliesOut[class]) })
	}
	for _, c := range []struct {
		name, help string
		of         func(siptrans.Stats) float64
	}{
		{"sip_malformed_total", "SIP messages that could not be read.", func(t siptrans.Stats) float64 { return float64(t.Malformed) }},
		{"sip_slow_readers_total", "SIP connections closed because the peer did not read.", func(t siptrans.Stats) float64 { return float64(t.SlowReaders) }},
		{"sip_overload_total", "SIP requests refused with 503.", func(t siptrans.Stats) float64 { return float64(t.Overload) }},
		{"sip_rejected_total", "SIP connections refused.", func(t siptrans.Stats) float64 { return float64(t.Rejected) }},
	} {
		m.CounterFunc(c.name, c.help, func() float64 { return c.of(s.layer.Stats()) })
	}
	for i, name := range siptrans.SlowReasons {
		m.CounterFunc("sip_slow_readers_"+name+"_total", "SIP connections closed because the peer did not read: "+name+".", func() float64 { return float64(s.layer.Stats().SlowBy[i]) })
	}
	for i, name := range siptrans.Rejections {
		m.CounterFunc("sip_rejected_"+name+"_total", "SIP connections refused: "+name+".", func() float64 { return float64(s.layer.Stats().RejectedBy[i]) })
	}
	m.GaugeFunc("sip_requests_in_work", "SIP requests in handlers or waiting for one.", func() float64 { return float64(s.layer.Stats().InWork) })
	m.GaugeFunc("sip_strangers_in_work", "Those of them from connections that have not signed in.", func() float64 { return float64(s.layer.Stats().Strangers) })
	m.GaugeFunc("sip_at_gate", "Those of them that wait until the processors are less busy.", func() float64 { return float64(s.layer.Stats().AtGate) })
	m.GaugeFunc("sip_stranger_bytes", "Bytes held of half-received messages of connections that have not signed in.", func() float64 { return float64(s.layer.Stats().Held) })
	m.GaugeFunc("sip_output_bytes", "Bytes that wait for SIP connections that do not read.", func() float64 { return float64(s.layer.Stats().Owed) })
	m.GaugeFunc("registered_users", "Users with an endpoint.", func() float64 { n, _ := s.registrar.Count(); return float64(n) })
	m.GaugeFunc("registered_endpoints", "Registered endpoints.", func() float64 { _, n := s.registrar.Count(); return float64(n) })
	m.GaugeFunc("conferences", "Conferences that somebody is in.", func() float64 { n, _ := s.meetings.Count(); return float64(n) })
	m.GaugeFunc("conference_participants", "Users who are in a conference.", func() float64 { _, n := s.meetings.Count(); return float64(n) })
	for id := 1; id <= len(s.routing); id++ {
		m.CounterFunc(fmt.Sprintf("group_%d_applied_total", id), "Entries applied by the routing group.", func() float64 {
			return float64(s.routing[id-1].raft.Status().Applied)
		})
	}
}

// watchFabric publishes how the pool and its groups are, as this server sees them.
func (s *server) watchFabric() {
	f, m := s.fabric, s.metrics
	if f == nil {
		return
	}
	votes := func(of func(cmdlet.FabricState) int) func() float64 {
		return func() float64 {
			var out cmdlet.FabricState
			if st, ok := f.statusOf(uc.PoolGroup); ok {
				out.Groups = append(out.Groups, f.groupState(st, nil))
			}
			f.countVotes(&out)
			return float64(of(out))
		}
	}
	m.GaugeFunc("pool_servers", "Front Ends of the pool.", func() float64 { return float64(len(f.names())) })
	m.GaugeFunc("pool_servers_connected", "Front Ends that this one is connected to, itself among them.", func() float64 { return float64(len(f.connected())) })
	m.GaugeFunc("pool_votes_present", "Votes of the pool group that are present.", votes(func(s cmdlet.FabricState) int { return s.Present }))
	m.GaugeFunc("pool_votes_needed", "Votes that the pool needs to go on.", votes(func(s cmdlet.FabricState) int { return s.Needed }))
	m.GaugeFunc("pool_groups_led", "Groups that this server leads.", func() float64 {
		n := 0
		for _, st := range f.host.Status() {
			if st.Primary {
				n++
			}
		}
		return float64(n)
	})
	m.GaugeFunc("pool_groups_without_primary", "Groups that nobody leads: their users are not served.", func() float64 {
		n := 0
		for _, st := range f.host.Status() {
			if f.leader(st.Group) == "" {
				n++
			}
		}
		return float64(n)
	})
	m.GaugeFunc("pool_redundancy", "The fewest copies with a vote that are there of any group.", func() float64 {
		least := quorum.MaxFrontEnds
		for _, st := range f.host.Status() {
			live, _ := f.groupState(st, nil).Redundancy()
			least = min(least, live)
		}
		return float64(least)
	})
	for _, x := range s.routing {
		m.GaugeFunc(fmt.Sprintf("group_%d_copies", x.id), "Copies with a vote of the routing group that are there.", func() float64 {
			st, _ := f.statusOf(x.id)
			live, _ := f.groupState(st, nil).Redundancy()
			return float64(live)
		})
		m.GaugeFunc(fmt.Sprintf("group_%d_lag", x.id), "Entries that the voter furthest behind lacks; 0 where this server does not lead the routing group.", x.lag)
	}
}

// lag is how many entries the voter furthest behind lacks. Only the primary knows: what
// others remember of the members says nothing.
func (x *group) lag() float64 {
	if !x.raft.Status().Primary {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	list, err := x.raft.Progress(ctx)
	if err != nil {
		return 0
	}
	lag := uint64(0)
	for _, p := range list {
		if !p.Observer && p.Node != quorum.Witness {
			lag = max(lag, p.Lag)
		}
	}
	return float64(lag)
}

// statusOf is the status of a group that this server holds.
func (f *fabric) statusOf(g uc.GroupID) (replica.Status, bool) {
	if r := f.host.Group(g); r != nil {
		return r.Status(), true
	}
	return replica.Status{}, false
}

// metricName is a SIP method in the spelling of metric names.
func metricName(method string) string {
	b := []byte(method)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
