package registrar

import (
	"strconv"

	"trivet/link/sipmux"
	"trivet/rule/groupstate"
	"trivet/wire/sip"
)

// lyncEvents are the packages that Lync clients may subscribe to. They look for
// the names in the text, so there are no blanks.
const lyncEvents = "vnd-microsoft-provisioning,vnd-microsoft-roaming-contacts,vnd-microsoft-roaming-ACL,presence," +
	"presence.wpending,vnd-microsoft-roaming-self,vnd-microsoft-provisioning-v2"

// keepAlive is our side of [MS-CONMGMT].
const keepAlive = "UAS; tcp=no; hop-hop=yes; end-end=no; timeout=300"

// lyncVersion tells clients which behaviour to expect.
const lyncVersion = "RTC/5.0"

// lyncAnswer is the 200 for a Lync client: all of it every time, the client
// forgets what it read before.
func (r *Registrar) lyncAnswer(req *sipmux.Request, c groupstate.BindContact, done groupstate.BindResult) *sip.Message {
	res := req.Reply(200, "")
	now := req.Now.UnixMilli()
	for first := range 2 { // the client's own contact first
		for i := range done.Bindings {
			if own := done.Bindings[i].Endpoint == c.Endpoint; own == (first == 0) {
				res.Add("Contact", string(appendContact(nil, &done.Bindings[i], now)))
			}
		}
	}
	res.Add("Expires", itoa(c.Lifetime/1000))
	action := "refreshed"
	if done.Added > 0 {
		action = "added"
	}
	for _, h := range [...]sip.Header{
		{Name: "presence-state", Value: `register-action="` + action + `"`},
		{Name: "Allow-Events", Value: lyncEvents},
		{Name: "Supported", Value: "adhoclist"},
		{Name: "Supported", Value: "msrtc-event-categories"},
		{Name: "ms-keep-alive", Value: keepAlive},
		{Name: "Server", Value: lyncVersion},
	} {
		res.Add(h.Name, h.Value)
	}
	return res
}

// sipAnswer is the 200 for a standard client, RFC 3261 10.3 step 8.
func (r *Registrar) sipAnswer(req *sipmux.Request, bindings []groupstate.Binding) *sip.Message {
	res := req.Reply(200, "")
	now := req.Now.UnixMilli()
	outbound := false
	for i := range bindings {
		b := &bindings[i]
		res.Add("Contact", string(appendContact(nil, b, now)))
		outbound = outbound || b.RegID > 0 && b.Flow.Conn == req.Conn.ID()
	}
	for path := range req.All("Path") {
		res.Add("Path", path)
	}
	if outbound && req.Has("Supported", "outbound") {
		res.Add("Require", "outbound")
	}
	res.Add("Supported", "path, outbound, gruu")
	return res
}

// appendContact writes a binding as a Contact value.
func appendContact(b []byte, at *groupstate.Binding, now int64) []byte {
	b = append(append(append(b, '<'), at.Contact...), '>')
	b = append(b, ";expires="...)
	b = strconv.AppendInt(b, max(at.Expires-now, 0)/1000, 10)
	b = append(b, at.Params...)
	if !at.Lync && at.Q < 1000 {
		b = append(b, ";q=0."...)
		b = append(b, itoa(int64(at.Q) + 1000)[1:]...)
	}
	if at.Instance != "" {
		b = append(append(append(b, `;+sip.instance="<`...), at.Instance...), `>"`...)
	}
	if at.RegID > 0 {
		b = strconv.AppendUint(append(b, ";reg-id="...), uint64(at.RegID), 10)
	}
	if at.GRUU != "" {
		name := `;pub-gruu="`
		if at.Lync {
			name = `;gruu="`
		}
		b = append(append(append(b, name...), at.GRUU...), '"')
	}
	return b
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
