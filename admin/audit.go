package admin

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"time"

	"trivet/admin/cmdlet"
	"trivet/fault"
)

// entry is one line of the audit file.
type entry struct {
	Time       time.Time      `json:"time"`
	Who        string         `json:"who"`
	Source     string         `json:"source"`
	Cmdlet     string         `json:"cmdlet"`
	Parameters map[string]any `json:"parameters,omitempty"`
	WhatIf     bool           `json:"whatIf,omitempty"`
	Force      bool           `json:"force,omitempty"`
	Done       []string       `json:"done,omitempty"`
	Outcome    string         `json:"outcome"` // "done", or the kind of the fault
	Error      string         `json:"error,omitempty"`
}

// audit appends lines to a file. The file is opened for each line, so that it
// may be moved away while the server runs.
type audit struct {
	path string
	mu   sync.Mutex // keeps lines whole
}

// note writes down one run. Reads are noted too: who looked is part of the story.
func (s *Server) note(c cmdlet.Cmdlet, req Request, call *cmdlet.Call, err error) error {
	e := entry{
		Time: s.cfg.Clock.Now().UTC(), Who: call.Caller.Name, Source: call.Caller.Source, Cmdlet: c.Name,
		Parameters: harmless(c, req.Parameters), WhatIf: req.WhatIf, Force: req.Force, Done: call.Targets, Outcome: "done",
	}
	if err != nil {
		e.Outcome, e.Error = fault.KindOf(err).String(), err.Error()
	}
	if err := s.audit.append(e, c.Changes); err != nil {
		s.cfg.Log.Error("the audit file cannot be written", "file", s.audit.path, "err", err)
		return fault.Newf(fault.Unavailable, "admin.note", "%s was run, but the audit file cannot be written; see the server's log", c.Name).Because(err)
	}
	return nil
}

// Note writes down that the owner of the data folder did something that is no
// cmdlet. It returns once the line is on disk.
func (s *Server) Note(what string) error {
	e := entry{Time: s.cfg.Clock.Now().UTC(), Who: "owner", Source: "local", Cmdlet: what, Outcome: "done"}
	if err := s.audit.append(e, true); err != nil {
		return fault.New(fault.Unavailable, "admin.Note", "the audit file cannot be written; see the server's log").Because(err)
	}
	return nil
}

// harmless are the parameters without secrets and contents of files.
func harmless(c cmdlet.Cmdlet, given map[string]any) map[string]any {
	shown := make(map[string]any, len(given))
	for name, value := range given {
		for _, p := range c.Params() {
			if !strings.EqualFold(p.Name, name) {
				continue
			}
			if p.Secret || p.File {
				value = "[redacted]"
			}
			shown[p.Name] = value
		}
	}
	return shown
}

func (a *audit) append(e entry, sync bool) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	f, err := os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = f.Write(append(line, '\n')); err == nil && sync {
		err = f.Sync()
	}
	return err
}
