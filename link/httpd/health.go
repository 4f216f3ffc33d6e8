package httpd

import (
	"encoding/json"
	"net/http"
)

// health is the answer of /health/live and /health/ready.
type health struct {
	Status   string            `json:"status"` // "ok" or "not ready"
	Problems map[string]string `json:"problems,omitempty"`
}

func (s *Server) mountHealth() {
	s.Mount("GET /health/live", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { JSON(w, health{Status: "ok"}) }))
	s.Mount("GET /health/ready", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		problems := s.cfg.Ready(r.Context())
		if len(problems) == 0 {
			JSON(w, health{Status: "ok"})
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusServiceUnavailable)
		json.NewEncoder(w).Encode(health{"not ready", problems})
	}))
	s.Mount("GET /metrics", s.cfg.Metrics.Handler())
}
