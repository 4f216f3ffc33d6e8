// Package metric is the program's own Prometheus registry and the few helpers
// that make counters, histograms and gauges in it. All names begin with
// "trivet_". Labels carry small closed sets (method, status class, transport),
// never a person: a label whose name says otherwise stops the program at its
// start. Everything is safe for concurrent use and costs no allocation once the
// label values have been resolved with With.
package metric

import (
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Aliases, so that users of this package need no other import.
type (
	Counter      = prometheus.Counter
	CounterVec   = prometheus.CounterVec
	Gauge        = prometheus.Gauge
	Histogram    = prometheus.Histogram
	HistogramVec = prometheus.HistogramVec
)

const namespace = "trivet"

// latency is the set of histogram buckets: 0.5 ms to 16 s.
var latency = prometheus.ExponentialBuckets(0.0005, 2, 16)

// personal are the words that may not be part of a label's name.
var personal = []string{"user", "uri", "sip_address", "address", "caller", "callee", "presentity", "watcher", "name", "upn", "email"}

// Registry holds the metrics of one process (or of one simulated server).
type Registry struct{ reg *prometheus.Registry }

// New makes a registry that already has the Go runtime's and the process's own
// metrics.
func New() *Registry {
	r := &Registry{prometheus.NewRegistry()}
	r.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler serves the metrics in the Prometheus text format.
func (r *Registry) Handler() http.Handler {
	return promhttp.HandlerFor(r.reg, promhttp.HandlerOpts{})
}

// Counter makes a counter. As every function of this kind it is called while the
// program starts and panics when the name is taken or no valid metric name: that
// is a defect of the program, not of its input.
func (r *Registry) Counter(name, help string) Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	r.reg.MustRegister(c)
	return c
}

// CounterVec makes a family of counters, one for each combination of labels.
func (r *Registry) CounterVec(name, help string, labels ...string) *CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, impersonal(name, labels))
	r.reg.MustRegister(c)
	return c
}

// Histogram makes a histogram of seconds, in doubling buckets from 0.5 ms to 16 s.
func (r *Registry) Histogram(name, help string) Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: latency})
	r.reg.MustRegister(h)
	return h
}

// HistogramVec makes a family of such histograms.
func (r *Registry) HistogramVec(name, help string, labels ...string) *HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: latency}, impersonal(name, labels))
	r.reg.MustRegister(h)
	return h
}

// Gauge makes a value that goes up and down.
func (r *Registry) Gauge(name, help string) Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
	r.reg.MustRegister(g)
	return g
}

// GaugeFunc makes a value that is read when it is asked for; f is called from
// any goroutine and may not block.
func (r *Registry) GaugeFunc(name, help string, f func() float64) {
	r.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, f))
}

// CounterFunc is GaugeFunc for a value that only grows.
func (r *Registry) CounterFunc(name, help string, f func() float64) {
	r.reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, f))
}

// impersonal returns labels, or panics when one of them would hold a person.
func impersonal(metric string, labels []string) []string {
	for _, l := range labels {
		for _, word := range personal {
			if strings.Contains(l, word) {
				panic("metric: " + metric + " has the label " + l + ", which may name a person")
			}
		}
	}
	return labels
}
