package server

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestMetricsOfLimits holds docs/limits.md to the metrics of a server.
func TestMetricsOfLimits(t *testing.T) {
	s := shared(t)
	page, err := os.ReadFile("../../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Client{Transport: &http.Transport{TLSClientConfig: s.Trust()}}
	defer web.CloseIdleConnections()
	text := ""
	for range 2 { // the first request is counted in the second answer
		res, err := web.Get("https://" + s.HTTPS.String() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		text = string(b)
	}
	names := regexp.MustCompile("`((?:sip|http)_[a-z0-9_]+)`").FindAllStringSubmatch(string(page), -1)
	if len(names) < 15 {
		t.Fatalf("docs/limits.md names only %d metrics", len(names))
	}
	for _, n := range names {
		if !strings.Contains(text, "\ntrivet_"+n[1]+" ") && !strings.Contains(text, "\ntrivet_"+n[1]+"{") {
			t.Errorf("docs/limits.md: there is no metric %s", n[1])
		}
	}
}
