package frontend

import (
	"fmt"

	"trivet/link/siptrans"
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
