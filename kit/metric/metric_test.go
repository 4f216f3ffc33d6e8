package metric_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"trivet/kit/metric"
)

func TestHandlerShowsWhatWasCounted(t *testing.T) {
	t.Parallel()
	r := metric.New()
	r.Counter("starts_total", "Starts.").Inc()
	r.CounterVec("requests_total", "Requests.", "method", "class").WithLabelValues("REGISTER", "2xx").Add(3)
	r.Histogram("apply_seconds", "Apply.").Observe(0.001)
	r.HistogramVec("request_seconds", "Time.", "method").WithLabelValues("MESSAGE").Observe(2)
	r.Gauge("open", "Open.").Set(7)
	r.GaugeFunc("groups", "Groups.", func() float64 { return 8 })
	r.CounterFunc("bytes_total", "Bytes.", func() float64 { return 9 })
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		"trivet_starts_total 1", `trivet_requests_total{class="2xx",method="REGISTER"} 3`, "trivet_apply_seconds_count 1",
		`trivet_request_seconds_bucket{method="MESSAGE",le="2.048"} 1`, "trivet_open 7", "trivet_groups 8", "trivet_bytes_total 9", "go_goroutines",
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
}

func TestLabelsNameNobody(t *testing.T) {
	t.Parallel()
	for _, label := range []string{"user", "caller_uri", "sip_address", "username"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("the label %q was taken", label)
				}
			}()
			metric.New().CounterVec("x_total", "X.", label)
		}()
	}
}
