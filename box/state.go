package box

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"trivet/fault"
)

// State is what a server is doing.
type State string

// The states. Starting and ready are as the server's own health says.
const (
	Ended    State = "ended"
	Paused   State = "paused"
	Silent   State = "silent"   // runs, and its health does not answer
	Starting State = "starting" // runs, and does not serve
	Ready    State = "ready"
)

// Report is one line of the table.
type Report struct {
	Server
	State   State
	Reason  string // why it is not ready
	PID     int    // of a Front End
	Listens string
}

// Report asks a server how it is.
func (b *Box) Report(ctx context.Context, name string) (Report, error) {
	m, err := b.find(name)
	if err != nil {
		return Report{}, err
	}
	return m.report(ctx), nil
}

func (p *process) report(ctx context.Context) Report {
	p.mu.Lock()
	r := Report{Server: p.Server, State: Silent, Reason: p.said, Listens: fmt.Sprintf("%s:%s, %s", p.Addr, portSIP, portHTTPS)}
	switch {
	case !p.running():
		r.State, r.Reason = Ended, p.exit
	case p.paused:
		r.State, r.PID = Paused, p.cmd.Process.Pid
	default:
		r.PID = p.cmd.Process.Pid
	}
	p.mu.Unlock()
	if r.State != Silent {
		return r
	}
	if status, reason, err := p.box.probe(ctx, p.Server); err == nil {
		if r.State = Starting; status == http.StatusOK {
			r.State, r.Reason = Ready, ""
		} else if reason != "" {
			r.Reason = reason
		}
	}
	return r
}

// probe reads /health/ready.
func (b *Box) probe(ctx context.Context, s Server) (status int, reason string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.healthURL(), nil)
	if err != nil {
		return 0, "", err
	}
	res, err := b.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	var body struct {
		Reason   string
		Problems map[string]string
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&body); err != nil {
		return res.StatusCode, "", nil // the status says enough
	}
	reasons := []string{}
	if body.Reason != "" {
		reasons = append(reasons, body.Reason)
	}
	for _, k := range slices.Sorted(maps.Keys(body.Problems)) {
		reasons = append(reasons, k+": "+body.Problems[k])
	}
	return res.StatusCode, strings.Join(reasons, "; "), nil
}

// Await waits until a server is in one of the states. If ctx ends before, the
// error says what the server is instead and why.
func (b *Box) Await(ctx context.Context, name string, states ...State) error {
	m, err := b.find(name)
	if err != nil {
		return err
	}
	t := time.NewTicker(probeEvery)
	defer t.Stop()
	for {
		r := m.report(ctx)
		if slices.Contains(states, r.State) {
			return nil
		}
		if r.State == Ended && slices.Contains(states, Ready) {
			return fault.Newf(fault.Gone, "box.Await", "the server has ended (%s); see %s", r.Reason, r.Log).About(r.Name)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return fault.Newf(fault.Timeout, "box.Await", "the server is %s (%s) and does not become %v; see %s", r.State, r.Reason, states, r.Log).About(r.Name).Because(ctx.Err())
		}
	}
}

// AwaitReady waits until every server is ready.
func (b *Box) AwaitReady(ctx context.Context) error {
	for _, m := range b.machines {
		if err := b.Await(ctx, m.report(ctx).Name, Ready); err != nil {
			return err
		}
	}
	return nil
}

// Table writes the state of all servers.
func (b *Box) Table(ctx context.Context, w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "SERVER\tSTATE\tPID\tLISTENS\tREASON")
	for _, m := range b.machines {
		r := m.report(ctx)
		pid := "-"
		if r.PID != 0 {
			pid = fmt.Sprint(r.PID)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.Name, r.State, pid, r.Listens, r.Reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, line := range b.network.lines() {
		fmt.Fprintln(w, line)
	}
	return nil
}

// lines tells which lines are not as they should be.
func (n *network) lines() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	for key, v := range n.valves {
		switch held, by, _ := v.state(); {
		case held:
			list = append(list, fmt.Sprintf("cut: %s to %s", key[0], key[1]))
		case by > 0:
			list = append(list, fmt.Sprintf("slow by %s: %s to %s", by, key[0], key[1]))
		}
	}
	slices.Sort(list)
	return list
}
