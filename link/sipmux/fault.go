package sipmux

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
	"trivet/rule/sipdialog"
	"trivet/wire/sip"
)

// statuses maps the kinds of fault to SIP: status code, and the ms-diagnostics
// number ([MS-OCER]) of a fault that names none. Unknown kinds are Internal.
var statuses = [...]struct{ status, diag int }{
	fault.Internal:        {500, 1000},
	fault.Invalid:         {400, 1018},
	fault.Unauthenticated: {403, 4004},
	fault.Forbidden:       {403, 4002},
	fault.NotFound:        {404, 4005},
	fault.Exists:          {409, 2044},
	fault.Stale:           {409, 2044},
	fault.Limit:           {403, 4006},
	fault.NotPrimary:      {503, 1038},
	fault.NoQuorum:        {503, 1039},
	fault.Unavailable:     {504, 1007},
	fault.Timeout:         {504, 1008},
	fault.Unsupported:     {488, 1009},
	fault.Overload:        {503, 1041},
	fault.Gone:            {481, 1010},
}

// Status returns the status code of a fault's kind.
func Status(k fault.Kind) int {
	if int(k) < len(statuses) {
		return statuses[k].status
	}
	return 500
}

// failure maps an error to a response. The text of an Internal one is logged and
// not shown.
func (m *Mux) failure(r *Request, err error) *sip.Message {
	var f *fault.Error
	if !errors.As(err, &f) {
		f = &fault.Error{Kind: fault.Internal, Err: err}
	}
	kind := f.Kind
	if int(kind) >= len(statuses) {
		kind = fault.Internal
	}
	text := f.Text
	if kind == fault.Internal {
		m.cfg.Log.Error("a request failed", "method", r.Method, "user", r.User, "call", r.CallID(), "err", err)
		text = ""
	} else {
		m.cfg.Log.Debug("a request was refused", "method", r.Method, "user", r.User, "err", err)
	}
	row := statuses[kind]
	if errors.Is(err, sipdialog.OutOfOrder) {
		row.status = 500
	}
	if f.Diag != 0 {
		row.diag = f.Diag
	}
	if text == "" {
		text = sip.Reason(row.status)
	}
	res := r.Reply(row.status, "")
	res.Add("ms-diagnostics", Diagnostics(row.diag, text, m.cfg.FQDN))
	if f.RetryAfter > 0 || row.status == 503 {
		res.Add("Retry-After", strconv.Itoa(comeBack(f.RetryAfter)))
	}
	return res
}

// comeBack is a Retry-After in seconds: at least what the fault says, 5 s if
// nothing, and up to as much again or 10 s, so that not all come back together.
func comeBack(d time.Duration) int {
	n := max(int((d+time.Second-1)/time.Second), 5)
	return n + rand.IntN(min(n, 10)+1)
}

// Diagnostics makes the value of an ms-diagnostics header ([MS-OCER] 2.2.1).
func Diagnostics(id int, reason, source string) string {
	b := make([]byte, 0, 96)
	b = strconv.AppendInt(b, int64(id), 10)
	b = append(append(b, `;reason=`...), sip.Quote(reason)...)
	if source != "" {
		b = append(append(b, `;source=`...), sip.Quote(strings.ToLower(source))...)
	}
	return string(b)
}
