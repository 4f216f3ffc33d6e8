package peer

import (
	"encoding/json"
	"errors"
	"time"

	"trivet/fault"
)

// sentFault is a failure as it travels.
type sentFault struct {
	Op      string        `json:"op"`
	Kind    fault.Kind    `json:"kind"`
	Subject string        `json:"subject,omitempty"`
	Text    string        `json:"text,omitempty"`
	Diag    int           `json:"diag,omitempty"`
	Server  string        `json:"server,omitempty"`
	Retry   time.Duration `json:"retry,omitempty"` // nanoseconds
	Cause   string        `json:"cause,omitempty"`
}

const maxCause = 1024 // bytes of a cause's text that travel

// encodeFault writes err; one that is no fault is Internal, its text the cause.
func encodeFault(err error) []byte {
	var e *fault.Error
	s := sentFault{Op: "peer.Call"}
	if errors.As(err, &e) {
		s = sentFault{Op: e.Op, Kind: e.Kind, Subject: e.Subject, Text: e.Text, Diag: e.Diag, Server: e.Server, Retry: e.RetryAfter}
		if e.Err != nil {
			s.Cause = e.Err.Error()
		}
	} else {
		s.Cause = err.Error()
	}
	if len(s.Cause) > maxCause {
		s.Cause = s.Cause[:maxCause]
	}
	b, err := json.Marshal(s)
	if err != nil {
		return []byte(`{"op":"peer.Call"}`) // text, numbers: cannot fail
	}
	return b
}

// decodeFault reads what encodeFault wrote. What cannot be read is Internal.
func decodeFault(b []byte) error {
	var s sentFault
	if err := json.Unmarshal(b, &s); err != nil {
		return fault.New(fault.Internal, "peer.Call", "the other server answered with a failure that cannot be read").Because(err)
	}
	e := &fault.Error{Op: s.Op, Kind: s.Kind, Subject: s.Subject, Text: s.Text, Diag: s.Diag, Server: s.Server, RetryAfter: s.Retry}
	if s.Cause != "" {
		e.Err = errors.New(s.Cause)
	}
	return e
}
