package load

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is the outcome of a run. As JSON it is what --report writes; docs/load.md
// explains the fields.
type Report struct {
	Model     string
	Server    string
	Transport string
	Scheme    string
	Seed      uint64
	Speed     float64
	Users     int
	Endpoints int
	Ramp      float64 // seconds
	Length    float64 // seconds, the ramp included
	Acts      []ActReport
	Counts    Counts
	Spread    Latency // from a publication to the notifications of it
	Notes     Notes
	Samples   []Sample
	Use       Use
	Missing   map[string]int `json:",omitempty"` // what the server does not have, by the status that said so
	Refusals  []string       `json:",omitempty"` // the first of them, word by word
	Failed    bool
	Why       []string `json:",omitempty"`
}

// ActReport is what became of one kind of act.
type ActReport struct {
	Name       string
	Expected   float64 // by the model, for users signed in from their sign-in to the end
	Planned    int64
	Skipped    int64
	Sent       int64
	Late       int64
	Answered   int64
	Unanswered int64
	Lost       int64
	Open       int64         // when the run ended
	Refused    map[int]int64 `json:",omitempty"` // by status
	Latency    Latency
}

// Latency is a histogram with its quantiles in milliseconds.
type Latency struct {
	Count                          int64
	Mean, P50, P90, P99, P999, Max float64
	Buckets                        []Bucket `json:",omitempty"`
}

// Counts are counters beside the acts.
type Counts struct {
	Connections, Unconnected, Dropped, Resumed   int64
	ToldToWait, Stale, Strange                   int64
	SignaturesChecked, SignaturesWrong           int64
	Requests, Answers, Notifications, Deliveries int64
	BytesReceived                                int64
}

// Notes are the notifications of notes: one for each note that the server took in
// time and each endpoint that watched its user, and how many of these came.
type Notes struct{ Expected, Came int64 }

// Use is what generator and server used, on average, in the ramp and after it:
// shares of one processor, 1 is all of it.
type Use struct {
	OwnRamp, OwnSteady       float64
	ServerRamp, ServerSteady float64
	OwnPeak, ServerPeak      int64 // resident bytes
	OwnPerEndpoint           int64 // bytes of heap and stacks per endpoint at the end, after a collection
}

func latencyOf(h *Histogram) Latency {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return Latency{h.Count(), ms(h.Mean()), ms(h.Quantile(0.5)), ms(h.Quantile(0.9)), ms(h.Quantile(0.99)), ms(h.Quantile(0.999)), ms(h.Max()), h.Buckets()}
}

// extras are the names of acts that the model has no row for.
var extras = map[Act]string{
	Again: "sign-in again", Containers: "access levels set", Acknowledge: "people acknowledged", FillContacts: "contact added", SignOut: "sign-out",
}

func (r *Run) report(length time.Duration, samples []Sample) *Report {
	rep := &Report{
		Model: r.cfg.Model.Name, Server: r.cfg.Server, Transport: r.transport, Scheme: r.cfg.Scheme, Seed: r.cfg.Seed, Speed: r.cfg.Speed,
		Users: len(r.users), Endpoints: len(r.endpoints), Ramp: r.ramp.Seconds(), Length: length.Seconds(), Samples: samples, Missing: map[string]int{},
		Spread: latencyOf(&r.count.spread), Refusals: r.count.examples,
	}
	scale := Scale{Users: len(r.users), Endpoints: len(r.endpoints), Length: r.modelTime(length)}
	for i := range r.cfg.Model.Rows {
		row := &r.cfg.Model.Rows[i]
		rep.Acts = append(rep.Acts, r.actReport(row.Act, row.Name, r.cfg.Model.Expected(row, scale)))
	}
	for _, a := range []Act{Again, Containers, Acknowledge, FillContacts, SignOut} {
		if r.tally[a].planned.Load() > 0 {
			rep.Acts = append(rep.Acts, r.actReport(a, extras[a], 0))
		}
	}
	c := &r.count
	rep.Counts = Counts{
		Connections: c.connected.Load(), Unconnected: c.unconnected.Load(), Dropped: c.dropped.Load(), Resumed: c.resumed.Load(),
		ToldToWait: c.told.Load(), Stale: c.stale.Load(), Strange: c.strange.Load(),
		SignaturesChecked: c.checked.Load(), SignaturesWrong: c.forged.Load(),
		Requests: c.requests.Load(), Answers: c.answers.Load(), Notifications: c.notified.Load(), Deliveries: c.delivered.Load(),
		BytesReceived: c.bytesIn.Load(),
	}
	for _, a := range []Act{Search, Conference} {
		if status := r.missing[a].Load(); status != 0 {
			rep.Missing[r.nameOf(a)] = int(status)
		}
	}
	rep.Notes.Expected, rep.Notes.Came = r.notes.sum(length - noteTime)
	rep.Use = use(samples, r.ramp.Seconds())
	r.judge(rep)
	return rep
}

// nameOf is the name of an act in reports.
func (r *Run) nameOf(a Act) string {
	if row := r.cfg.Model.row(a); row != nil {
		return row.Name
	}
	return extras[a]
}

// modelTime is how long, in the model's time, a user is there on average: the whole
// time after the ramp and half of it.
func (r *Run) modelTime(length time.Duration) time.Duration {
	there := max(length-r.ramp, 0) + min(length, r.ramp)/2
	return time.Duration(float64(there) * r.cfg.Speed)
}

func (r *Run) actReport(a Act, name string, expected float64) ActReport {
	t := &r.tally[a]
	return ActReport{
		Name: name, Expected: expected, Planned: t.planned.Load(), Skipped: t.skipped.Load(), Sent: t.sent.Load(), Late: t.late.Load(),
		Answered: t.answered.Load(), Unanswered: t.unanswered.Load(), Lost: t.lost.Load(), Open: t.open.Load(), Refused: t.refusals(), Latency: latencyOf(&t.latency),
	}
}

// use averages the samples.
func use(samples []Sample, ramp float64) (u Use) {
	if len(samples) < 2 {
		return u
	}
	edge := 0
	for i, s := range samples {
		if s.Second <= ramp {
			edge = i
		}
		u.OwnPeak, u.ServerPeak = max(u.OwnPeak, s.OwnRSS), max(u.ServerPeak, s.ServerRSS)
	}
	share := func(a, b Sample) (own, server float64) {
		if d := b.Second - a.Second; d > 0 {
			return (b.OwnCPU - a.OwnCPU) / d, (b.ServerCPU - a.ServerCPU) / d
		}
		return 0, 0
	}
	u.OwnRamp, u.ServerRamp = share(samples[0], samples[edge])
	u.OwnSteady, u.ServerSteady = share(samples[edge], samples[len(samples)-1])
	return u
}

// judge says whether the run has failed, and why.
func (r *Run) judge(rep *Report) {
	var sent, failed int64
	var all Histogram
	for a := range r.tally {
		t := &r.tally[a]
		if Act(a) != KeepAlive { // it has no answer and cannot fail
			sent += t.sent.Load()
		}
		failed += t.failed()
		all.Merge(&t.latency)
	}
	if share := float64(failed) / float64(max(sent, 1)); share > r.cfg.MaxErrors {
		rep.Why = append(rep.Why, fmt.Sprintf("%.2f %% of what was sent failed, %.2f %% are allowed", share*100, r.cfg.MaxErrors*100))
	}
	if p := all.Quantile(0.99); r.cfg.MaxP99 > 0 && p > r.cfg.MaxP99 {
		rep.Why = append(rep.Why, fmt.Sprintf("the 99th percentile of what was answered with success, or was open at the end, is %v, %v is allowed", rounded(p), r.cfg.MaxP99))
	}
	if rep.Counts.SignaturesWrong > 0 {
		rep.Why = append(rep.Why, fmt.Sprintf("%d signatures of the server are wrong", rep.Counts.SignaturesWrong))
	}
	if n := rep.Notes; float64(n.Came) < leastNotes*float64(n.Expected) {
		rep.Why = append(rep.Why, fmt.Sprintf("%d of %d notifications of notes came, %.0f %% have to", n.Came, n.Expected, leastNotes*100))
	}
	for _, what := range slices.Sorted(maps.Keys(rep.Missing)) {
		if !r.cfg.AllowMissing {
			rep.Why = append(rep.Why, fmt.Sprintf("the server does not serve: %s (%d); --allow-missing allows that", what, rep.Missing[what]))
		}
	}
	if sent == 0 {
		rep.Why = append(rep.Why, "nothing could be sent")
	}
	rep.Failed = len(rep.Why) > 0
}

// WriteFile writes the report as JSON.
func (rep *Report) WriteFile(path string) error {
	b, err := json.MarshalIndent(rep, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// Print writes the tables for people.
func (rep *Report) Print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %d users, %d endpoints, %s to %s, sign-in by %s, speed %g, seed %d; ramp %.0f s, %.0f s in all\n\n",
		rep.Model, rep.Users, rep.Endpoints, rep.Transport, rep.Server, rep.Scheme, rep.Speed, rep.Seed, rep.Ramp, rep.Length)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "action\tmodel\tplanned\tskipped\tsent\tlate\tanswered\trefused\tsilent\tlost\topen\tp50\tp90\tp99\tp99.9\tmax ms\t")
	for i := range rep.Acts {
		a := &rep.Acts[i]
		fmt.Fprintf(t, "%s\t%.0f\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t\n", a.Name, a.Expected, a.Planned, a.Skipped, a.Sent, a.Late, a.Answered, a.refused(), a.Unanswered, a.Lost, a.Open, a.Latency.columns())
	}
	fmt.Fprintf(t, "notification of a note\t\t\t\t\t\t%d\t\t\t\t\t%s\t\n", rep.Spread.Count, rep.Spread.columns())
	t.Flush()
	fmt.Fprintf(w, "notifications of notes: %d of %d expected came\n", rep.Notes.Came, rep.Notes.Expected)
	rep.printRefusals(w)
	c := &rep.Counts
	fmt.Fprintf(w, "\nconnections %d (%d resumed), failed attempts %d, dropped by the server %d; told to wait %d; publications repeated for their version %d\n",
		c.Connections, c.Resumed, c.Unconnected, c.Dropped, c.ToldToWait, c.Stale)
	fmt.Fprintf(w, "requests sent %d, answers sent %d, notifications received %d, messages received %d, %.1f MB received; signatures checked %d, wrong %d; unexpected %d\n",
		c.Requests, c.Answers, c.Notifications, c.Deliveries, float64(c.BytesReceived)/1e6, c.SignaturesChecked, c.SignaturesWrong, c.Strange)
	u := &rep.Use
	fmt.Fprintf(w, "generator: %.0f %% of a processor in the ramp, %.0f %% after it, %d MB at most, %.1f KB in use per endpoint\n", u.OwnRamp*100, u.OwnSteady*100, u.OwnPeak>>20, float64(u.OwnPerEndpoint)/1024)
	if u.ServerPeak > 0 {
		fmt.Fprintf(w, "server:    %.0f %% of a processor in the ramp, %.0f %% after it, %d MB at most, %.1f KB per endpoint\n",
			u.ServerRamp*100, u.ServerSteady*100, u.ServerPeak>>20, float64(u.ServerPeak)/1024/float64(max(rep.Endpoints, 1)))
	}
	for what, status := range rep.Missing {
		fmt.Fprintf(w, "the server does not serve: %s (%d)\n", what, status)
	}
	for _, why := range rep.Why {
		fmt.Fprintf(w, "FAILED: %s\n", why)
	}
}

func (a *ActReport) refused() (n int64) {
	for _, k := range a.Refused {
		n += k
	}
	return n
}

func (l *Latency) columns() string {
	if l.Count == 0 {
		return "\t\t\t\t"
	}
	return fmt.Sprintf("%.1f\t%.1f\t%.1f\t%.1f\t%.1f", l.P50, l.P90, l.P99, l.P999, l.Max)
}

// printRefusals lists the statuses behind the column of refusals.
func (rep *Report) printRefusals(w io.Writer) {
	var list []string
	for i := range rep.Acts {
		for status, n := range rep.Acts[i].Refused {
			list = append(list, fmt.Sprintf("%s: %d times %d", rep.Acts[i].Name, n, status))
		}
	}
	slices.Sort(list)
	if len(list) > 0 {
		fmt.Fprintf(w, "refused: %s\n", strings.Join(list, ", "))
	}
	for i, text := range rep.Refusals {
		if i == 5 {
			break
		}
		fmt.Fprintf(w, "  %s\n", text)
	}
}

// PrintPlan writes the model with the totals expected for so many users and so
// long a time, so that the arithmetic can be checked.
func (m *Model) PrintPlan(w io.Writer, s Scale) {
	fmt.Fprintf(w, "%s: %d users, %d endpoints (%g per user), %v with everybody signed in\n\n", m.Name, s.Users, s.Endpoints, m.Endpoints, s.Length)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "action\trate\ttotal\tper second\tsource")
	for i := range m.Rows {
		r := &m.Rows[i]
		total := m.Expected(r, s)
		fmt.Fprintf(t, "%s\t%s\t%.0f\t%s\t%s\n", r.Name, r.rate(), total, r.perSecond(m, total, s), r.Source)
	}
	t.Flush()
	fmt.Fprintln(w, "\nnot played:")
	for _, o := range m.Omitted {
		fmt.Fprintf(w, "  %s: %s\n", o.What, o.Why)
	}
}

func (r *Row) rate() string {
	if r.Per == 0 {
		return fmt.Sprintf("%.4g per %v", r.Count, r.Whose)
	}
	return fmt.Sprintf("%.4g per %v and %.4g h", r.Count, r.Whose, r.Per.Hours())
}

// perSecond is the mean rate of a row; what happens once has none.
func (r *Row) perSecond(m *Model, total float64, s Scale) string {
	for x := r; x != nil; x = m.base(x.Whose) {
		if x.Per > 0 {
			return fmt.Sprintf("%.2f", total/s.Length.Seconds())
		}
	}
	return ""
}
