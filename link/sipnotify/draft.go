package sipnotify

import (
	"strconv"

	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/sip"
)

// draft is a notification being written. Its header values are cut from one text,
// so that a notification costs one allocation beside its body.
type draft struct {
	m    sip.Message
	text []byte
	ends [6]int
	n    int
}

func (d *draft) end() {
	d.ends[d.n] = len(d.text)
	d.n++
}

// write makes start line and headers.
func (d *draft) write(n *Notifier, c *siptrans.Conn, user uc.UserURI, sub *groupstate.Subscription, ended string) {
	method := "NOTIFY"
	if sub.Benotify {
		method = "BENOTIFY"
	}
	now := n.cfg.Now().UnixMilli()
	seq := n.cseq(user, sub, now, ended != "")
	b, g := d.text[:0], &sub.Dialog
	d.n = 0
	if sub.Benotify { // a transaction has a Via of its own
		b = appendVia(b, c, seq)
	}
	d.text = b
	d.end()
	d.text = appendAddress(d.text, g.LocalURI, g.LocalTag)
	d.end()
	d.text = append(appendAddress(d.text, g.RemoteURI, g.RemoteTag), g.RemoteParams...)
	d.end()
	d.text = append(append(strconv.AppendUint(d.text, uint64(seq), 10), ' '), method...)
	d.end()
	d.text = n.appendContact(d.text, c)
	d.end()
	d.text = appendState(d.text, ended, max((sub.Expires-now)/1000, 1))
	d.end()
	d.fill(method, sub)
}

// fill puts the values in their places.
func (d *draft) fill(method string, sub *groupstate.Subscription) {
	text, from := string(d.text), 0
	value := func(i int) string {
		v := text[from:d.ends[i]]
		from = d.ends[i]
		return v
	}
	m := &d.m
	m.Method, m.RequestURI = method, sub.Dialog.RemoteTarget
	if via := value(0); via != "" {
		m.Add("Via", via)
	}
	for _, r := range sub.Dialog.Routes {
		m.Add("Route", r)
	}
	m.Add("Max-Forwards", "70")
	m.Add("From", value(1))
	m.Add("To", value(2))
	m.Add("Call-ID", sub.Dialog.CallID)
	m.Add("CSeq", value(3))
	m.Add("Contact", value(4))
	m.Add("Event", sub.Event)
	m.Add("Subscription-State", value(5))
}

func appendAddress(b []byte, uri, tag string) []byte {
	b = append(append(append(b, '<'), uri...), ">;tag="...)
	return append(b, tag...)
}

// appendVia writes a Via for a request that is never answered.
func appendVia(b []byte, c *siptrans.Conn, seq uint32) []byte {
	b = append(b, "SIP/2.0/"...)
	for _, r := range []byte(c.Transport()) {
		b = append(b, r&^0x20) // to capitals
	}
	b = append(append(append(b, ' '), c.SentBy()...), ";branch=z9hG4bKn"...)
	b = strconv.AppendUint(b, c.ID(), 36)
	return strconv.AppendUint(append(b, '.'), uint64(seq), 36)
}

func appendState(b []byte, ended string, seconds int64) []byte {
	if ended != "" {
		return append(append(b, "terminated;reason="...), ended...)
	}
	return strconv.AppendInt(append(b, "active;expires="...), seconds, 10)
}
