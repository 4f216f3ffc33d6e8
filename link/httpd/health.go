package httpd

import (
	"context"
	"encoding/json"
	"net/http"
)

// health is the answer of /health/live and /health/ready.
type health struct {
	Status   string            `json:"status"` // "ok", "degraded" or "not ready"
	Problems map[string]string `json:"problems,omitempty"`
}

func (s *Server) mountHealth() {
	s.Mount("GET /health/live", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { JSON(w, health{Status: "ok"}) }))
	s.Mount("GET /health/ready", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		problems := s.cfg.Ready(r.Context())
		if len(problems) == 0 {
			JSON(w, s.well(r.Context()))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusServiceUnavailable)
		json.NewEncoder(w).Encode(health{"not ready", problems})
	}))
	s.Mount("GET /metrics", s.cfg.Metrics.Handler())
}

// well is the answer of a server that serves.
func (s *Server) well(ctx context.Context) health {
	if s.cfg.Degraded != nil {
		if problems := s.cfg.Degraded(ctx); len(problems) > 0 {
			return health{"degraded", problems}
		}
	}
	return health{Status: "ok"}
}
