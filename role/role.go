// Package role describes server roles: what a role is called, which roles may
// not share its machine, and how it starts. Start brings roles up in the order
// given and stops what had started when one fails. It is called once, by one
// goroutine.
package role

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/kit/conf"
	"trivet/kit/life"
	"trivet/kit/metric"
)

// Deps are what every role gets.
type Deps struct {
	Settings conf.Settings
	Log      *slog.Logger
	Clock    clock.Clock
	Metrics  *metric.Registry
	Life     *life.Group // the role's goroutines and parts
}

// Def is a server role.
type Def struct {
	Name    string   // the product's name of it
	NotWith []string // roles that may not be on the same machine
	Start   func(ctx context.Context, d Deps) error
}

// Check says whether roles may share a machine: fault.Invalid names the two that
// may not.
func Check(defs ...Def) error {
	for _, a := range defs {
		for _, b := range defs {
			if slices.Contains(a.NotWith, b.Name) {
				return fault.Newf(fault.Invalid, "role.Check", "%s may not be on the same computer as %s; move one of them", a.Name, b.Name).About(a.Name)
			}
		}
	}
	return nil
}

// stopLimit is how long the parts of started roles have when a later one fails.
const stopLimit = 30 * time.Second

// Start starts the roles one after the other. On a failure it stops all of d.Life
// and returns the failure with the role's name.
func Start(ctx context.Context, d Deps, defs ...Def) error {
	err := Check(defs...)
	for i := 0; err == nil && i < len(defs); i++ {
		if failed := defs[i].Start(ctx, d); failed != nil {
			err = fault.Wrap("role.Start "+defs[i].Name, failed)
		}
	}
	if err == nil {
		return nil
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if also := d.Life.Stop(stop); also != nil {
		d.Log.Warn("not everything stopped after the failed start", "err", also)
	}
	return err
}
