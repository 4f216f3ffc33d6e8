// Package upgrade decides how a rolling upgrade of a pool goes on: one upgrade domain at
// a time, its servers stopped gracefully, replaced by an administrator, and back in
// service before the next. It is the procedure of the product's manual: a domain is taken
// down only while the pool is ready, and after one that was, only once the pool has been
// ready for a while without a break and has all copies that it had before.
//
// How far it has come is in the state of the pool (poolstate.Upgrade), so whoever leads
// the pool group can go on with it: the leader asks Next, does the step, and asks again.
// Each step may be done twice.
package upgrade

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"trivet/fault"
	"trivet/rule/poolstate"
	"trivet/rule/quorum"
	"trivet/uc"
)

// ReadyTime is how long a pool is to be ready before the next domain, by the manual.
const ReadyTime = 20 * time.Minute

// Server is a Front End at a moment.
type Server struct {
	FQDN    uc.ServerFQDN
	Domain  int
	Live    bool   // its process runs and is connected
	Serving bool   // it serves users
	Halted  bool   // its services were stopped by command
	Waits   string // for what, while it does not serve
}

// View is the pool at a moment.
type View struct {
	Servers []Server
	Busy    string // what keeps the pool from being ready, "" for nothing
	// Unfit says of domains that may not be taken down why.
	Unfit  map[int]string
	Copies poolstate.Copies
}

// Action is a kind of step.
type Action int

// The steps.
const (
	Wait Action = iota // for Why
	Note               // New in the state of the pool
	Stop               // the services of Servers, gracefully
)

// Step is what is to be done now.
type Step struct {
	Do      Action
	Why     string
	New     poolstate.Upgrade
	Servers []uc.ServerFQDN
}

// Begin is a new upgrade after the one before, by somebody.
func Begin(was poolstate.Upgrade, by string, ready, drain time.Duration, now time.Time) (poolstate.Upgrade, error) {
	if was.UnderWay() {
		return was, fault.Newf(fault.Exists, "upgrade.Begin", "an upgrade that %s began is under way; wait for its end, or cancel it", was.By)
	}
	return poolstate.Upgrade{By: by, Since: now.UnixMilli(), ReadyTime: ready.Milliseconds(), DrainTime: drain.Milliseconds()}, nil
}

// Cancel ends an upgrade where it is. Servers stay as they are.
func Cancel(was poolstate.Upgrade, now time.Time) (poolstate.Upgrade, error) {
	if !was.UnderWay() {
		return was, fault.New(fault.NotFound, "upgrade.Cancel", "no upgrade is under way")
	}
	was.Ended, was.Ready, was.Since = true, 0, now.UnixMilli()
	return was, nil
}

// Next is the step that is due.
func Next(u poolstate.Upgrade, v View, now time.Time) Step {
	switch {
	case !u.UnderWay():
		return Step{Why: "no upgrade is under way"}
	case u.Domain != 0 && !u.Stopped:
		return stop(u, v, now)
	case u.Domain != 0:
		return replace(u, v, now)
	}
	return between(u, v, now)
}

// stop takes the servers of the domain out of service. One that is lost meanwhile is.
func stop(u poolstate.Upgrade, v View, now time.Time) Step {
	var list []uc.ServerFQDN
	for _, s := range v.of(u.Domain) {
		if s.Live && !s.Halted {
			list = append(list, s.FQDN)
		}
	}
	if len(list) > 0 {
		return Step{Do: Stop, Servers: list, Why: fmt.Sprintf("upgrade domain %d is taken out of service", u.Domain)}
	}
	u.Stopped, u.Since = true, now.UnixMilli()
	return Step{Do: Note, New: u, Why: fmt.Sprintf("upgrade domain %d is stopped: its servers are to be replaced and started", u.Domain)}
}

// replace waits until all servers of the domain serve again.
func replace(u poolstate.Upgrade, v View, now time.Time) Step {
	var out []string
	for _, s := range v.of(u.Domain) {
		if why := s.missing(); why != "" {
			out = append(out, why)
		}
	}
	if len(out) > 0 {
		return Step{Why: strings.Join(out, "; ")}
	}
	u.Done = append(slices.Clone(u.Done), u.Domain)
	why := fmt.Sprintf("upgrade domain %d is in service again", u.Domain)
	u.Domain, u.Stopped, u.Ready, u.Since = 0, false, 0, now.UnixMilli()
	return Step{Do: Note, New: u, Why: why}
}

// missing says why a server does not serve, "" if it does.
func (s Server) missing() string {
	switch {
	case s.Halted:
		return fmt.Sprintf("%s is stopped: replace its program and restart it", s.FQDN)
	case !s.Live:
		return fmt.Sprintf("%s does not run", s.FQDN)
	case !s.Serving && s.Waits == "":
		return fmt.Sprintf("%s is starting", s.FQDN)
	case !s.Serving:
		return fmt.Sprintf("%s runs and is stuck: it waits for %s", s.FQDN, s.Waits)
	}
	return ""
}

// between watches the pool while all domains are in service, and begins the next.
func between(u poolstate.Upgrade, v View, now time.Time) Step {
	if why := v.unready(u); why != "" {
		if u.Ready == 0 {
			return Step{Why: why}
		}
		u.Ready = 0
		return Step{Do: Note, New: u, Why: "the clock begins anew: " + why}
	}
	if u.Ready == 0 {
		u.Ready = now.UnixMilli()
		return Step{Do: Note, New: u, Why: "the pool is ready"}
	}
	ready, want := now.Sub(time.UnixMilli(u.Ready)), time.Duration(u.ReadyTime)*time.Millisecond
	if len(u.Done) > 0 && ready < want {
		return Step{Why: fmt.Sprintf("the pool has been ready for %s of %s", ready.Truncate(time.Second), want)}
	}
	left := v.left(u)
	if len(left) == 0 {
		u.Ended, u.Since = true, now.UnixMilli()
		return Step{Do: Note, New: u, Why: "the upgrade has ended"}
	}
	able := slices.IndexFunc(left, func(d int) bool { return v.Unfit[d] == "" })
	if able < 0 {
		return Step{Why: fmt.Sprintf("upgrade domain %d may not be taken down: %s", left[0], v.Unfit[left[0]])}
	}
	if len(u.Done) == 0 {
		u.Before = v.Copies
	}
	u.Domain, u.Since = left[able], now.UnixMilli()
	return Step{Do: Note, New: u, Why: fmt.Sprintf("upgrade domain %d is next", u.Domain)}
}

// unready says why nothing may be taken down, "" for nothing.
func (v View) unready(u poolstate.Upgrade) string {
	for _, s := range v.Servers {
		if why := s.missing(); why != "" {
			return why
		}
	}
	switch is, was := v.Copies, u.Before; {
	case v.Busy != "":
		return v.Busy
	case len(u.Done) == 0:
		return ""
	case is.Groups != was.Groups:
		return fmt.Sprintf("the pool has %d groups, before the upgrade it had %d", is.Groups, was.Groups)
	case is.Voters < was.Voters:
		return fmt.Sprintf("the pool has %d copies with a vote, before the upgrade it had %d", is.Voters, was.Voters)
	case is.Home < was.Home:
		return fmt.Sprintf("%d groups are led by the server that is to lead them, before the upgrade %d were", is.Home, was.Home)
	}
	return ""
}

// left are the domains that are still to be upgraded, ascending.
func (v View) left(u poolstate.Upgrade) (list []int) {
	for d := 1; d <= quorum.MaxFrontEnds; d++ {
		if len(v.of(d)) > 0 && !slices.Contains(u.Done, d) {
			list = append(list, d)
		}
	}
	return list
}

func (v View) of(domain int) (list []Server) {
	for _, s := range v.Servers {
		if s.Domain == domain {
			list = append(list, s)
		}
	}
	return list
}
