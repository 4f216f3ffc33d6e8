package dirsync

import (
	"time"

	"trivet/kit/metric"
	"trivet/rule/dirsync"
)

// counters are the metrics of a Service; the zero counters count nothing.
type counters struct {
	byResult *metric.CounterVec
	byKind   *metric.CounterVec
	byCheck  *metric.CounterVec
}

// kindLabels are the kinds of actions as labels.
var kindLabels = map[dirsync.Kind]string{
	dirsync.Disable: "disable", dirsync.Delete: "delete", dirsync.Update: "change", dirsync.Reactivate: "reactivate", dirsync.Create: "create",
	dirsync.DeleteGroup: "delete_group", dirsync.CreateGroup: "create_group", dirsync.UpdateGroup: "change_group",
}

func (s *Service) count() {
	m := s.cfg.Metrics
	if m == nil {
		return
	}
	s.counted = counters{
		m.CounterVec("directory_sync_runs_total", "Runs of the synchronisation with directories, by how they ended.", "source", "result"),
		m.CounterVec("directory_sync_actions_total", "Users and groups that were created, changed and so on.", "kind"),
		m.CounterVec("directory_password_checks_total", "Passwords checked with directories, by answer.", "result"),
	}
	for _, g := range []struct {
		name, help string
		phase      dirsync.Phase
	}{
		{"directory_sync_waiting", "Directory sources whose plan waits for approval.", dirsync.WaitingForApproval},
		{"directory_sync_failing", "Directory sources whose last run failed.", dirsync.Failed},
	} {
		m.GaugeFunc(g.name, g.help, func() float64 {
			n := 0
			for _, st := range s.States() {
				if st.Phase == g.phase {
					n++
				}
			}
			return float64(n)
		})
	}
	m.GaugeFunc("directory_sync_age_seconds", "Time since the last run that was applied, of the source where it is longest; -1 for none yet.", s.age)
}

func (s *Service) age() float64 {
	longest := time.Duration(0)
	for _, st := range s.States() {
		if st.LastSuccess.IsZero() {
			return -1
		}
		longest = max(longest, s.cfg.Clock.Now().Sub(st.LastSuccess))
	}
	return longest.Seconds()
}

func (c counters) runs(source, result string) {
	if c.byResult != nil {
		c.byResult.WithLabelValues(source, result).Inc()
	}
}

func (c counters) applied(kind dirsync.Kind, n int) {
	if c.byKind != nil && n > 0 {
		c.byKind.WithLabelValues(kindLabels[kind]).Add(float64(n))
	}
}

func (c counters) check(result string) {
	if c.byCheck != nil {
		c.byCheck.WithLabelValues(result).Inc()
	}
}
