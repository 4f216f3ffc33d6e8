// Package cmdlet is the catalogue of management commands: one file for each,
// named after it, and one line in catalog.go. A cmdlet is a value: its name, what
// it is for, who may run it, and a struct whose fields are its parameters. Flags,
// help, completion, the HTTP interface and access control all come from that
// value. Names, parameters and output properties are those of the product where
// the product has the cmdlet.
//
// A cmdlet that changes something asks Call.ShouldProcess before each change,
// which is what -WhatIf and -Confirm work with. Cmdlets run beside each other;
// what they change is serialised by the Deployment.
package cmdlet

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/rule/policy"
)

// Cmdlet is one management command.
type Cmdlet struct {
	Name     string // "Get-CsUser"
	Synopsis string // one sentence
	Example  string // a command line without "trivet"
	Changes  bool   // supports -WhatIf, -Confirm and -Force
	Asks     bool   // destroys something: on a terminal it asks unless -Force or -Confirm:$false is given
	// Local cmdlets run in the process that was asked, not on the server: they
	// look at a deployment from outside.
	Local bool
	// Roles may run it from elsewhere, CsAdministrator always. The owner of the
	// data folder may run everything.
	Roles []string
	// Largest is the most bytes a call of it may have, 0 = 1 MiB.
	Largest int64
	// Table are the properties that a table shows.
	Table []string
	// New makes the parameters, a pointer to a struct; see Param.
	New func() Runner
	// More are parameters that are no fields of the struct, which collects them.
	More []Param
	// Kind is the kind of policy that the cmdlet is made from, nil for one with a
	// file of its own.
	Kind *policy.Kind
}

// Runner is the parameter struct of a cmdlet.
type Runner interface {
	// Run does it. Rows, plans and warnings go to c; errors are faults whose text
	// is one sentence for the administrator.
	Run(ctx context.Context, c *Call) error
}

// Caller is who asked.
type Caller struct {
	Name   string   // "owner", or the SIP address or account name of an administrator
	Source string   // "local" or the remote IP address
	Owner  bool     // the owner of the data folder: may do everything
	Roles  []string // of an administrator
}

// Call is one run of a cmdlet: what it may use and what it gave.
type Call struct {
	Deployment Deployment // nil for local cmdlets
	Caller     Caller
	Clock      clock.Clock
	Roots      *x509.CertPool // authorities local cmdlets trust
	WhatIf     bool
	Force      bool // do also what would be refused out of caution

	Rows     []any
	Plans    []string // what -WhatIf would have done
	Warnings []string
	Targets  []string // what was changed, for the audit
}

// ShouldProcess reports whether the cmdlet is to do action to target now. With
// -WhatIf it notes the plan and reports false.
func (c *Call) ShouldProcess(action, target string) bool {
	if c.WhatIf {
		c.Plans = append(c.Plans, fmt.Sprintf("Performing the operation %q on target %q.", action, target))
		return false
	}
	c.Targets = append(c.Targets, action+": "+target)
	return true
}

// Write adds a result row: a struct whose JSON names are the properties.
func (c *Call) Write(row any) { c.Rows = append(c.Rows, row) }

// Warn adds a warning.
func (c *Call) Warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// Lookup returns the cmdlet called name, in any case. The error names the nearest
// one, of its noun or its spelling.
func Lookup(name string) (Cmdlet, error) {
	kin := ""
	names := make([]string, len(catalog))
	for i, c := range catalog {
		if strings.EqualFold(c.Name, name) {
			return c, nil
		}
		if names[i] = c.Name; kin == "" && strings.EqualFold(noun(c.Name), noun(name)) {
			kin = c.Name
		}
	}
	hint := or(Nearest(name, names), kin)
	if hint != "" {
		hint = "; did you mean " + hint + "?"
	}
	return Cmdlet{}, fault.Newf(fault.NotFound, "cmdlet.Lookup", "there is no cmdlet %q%s", clip(name), hint).About("cmdlet")
}

func noun(name string) string { _, n, _ := strings.Cut(name, "-"); return n }

// All returns the catalogue, by name.
func All() []Cmdlet { return slices.Clone(catalog) }

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// wrong is fault.Invalid about a parameter: "-Name needs …".
func wrong(param, format string, args ...any) error {
	return fault.Newf(fault.Invalid, "cmdlet.Bind", "-%s %s", param, fmt.Sprintf(format, args...)).About(param)
}
