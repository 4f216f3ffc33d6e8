package sipnotify

import (
	"slices"
	"strconv"

	"trivet/fault"
	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/sip"
)

// Contact is the value of our Contact header on a connection.
func (n *Notifier) Contact(c *siptrans.Conn) string { return string(n.appendContact(nil, c)) }

func (n *Notifier) appendContact(b []byte, c *siptrans.Conn) []byte {
	port := n.cfg.Port
	if p := c.Local().Port(); p != 0 && !c.Dialled() {
		port = int(p)
	}
	b = append(append(append(b, "<sip:"...), n.cfg.Host...), ':')
	b = strconv.AppendInt(b, int64(port), 10)
	return append(append(append(b, ";transport="...), c.Transport()...), '>')
}

// Answer is the 200 of a SUBSCRIBE that lives for the seconds given. For Lync
// clients it carries the first notification; body may be nil.
func (n *Notifier) Answer(r *sipmux.Request, seconds int, contentType string, body []byte) *sip.Message {
	res := r.Reply(200, "")
	res.Add("Contact", n.Contact(r.Conn))
	res.Add("Event", r.Get("Event"))
	res.Add("Expires", strconv.Itoa(seconds))
	if !isLync(r.Message) {
		return res
	}
	ended := ""
	if seconds <= 0 {
		ended = "timeout"
	}
	res.Add("subscription-state", string(appendState(nil, ended, int64(seconds))))
	if len(body) > 0 {
		res.Add("ms-piggyback-cseq", "1")
		res.Add("Content-Type", contentType)
		res.Body = body
	}
	return res
}

// Deliver answers a SUBSCRIBE that was accepted for the seconds given and tells
// the watcher what is: in the 200 where the client reads it there, else in a
// notification behind it. With 0 seconds that is the last one.
func (n *Notifier) Deliver(r *sipmux.Request, sub *groupstate.Subscription, seconds int, contentType string, body []byte) {
	if isLync(r.Message) && Piggyback(r.Message) {
		r.Tx.Respond(n.Answer(r, seconds, contentType, body))
		return
	}
	r.Tx.Respond(n.Answer(r, seconds, "", nil))
	ended := ""
	if seconds <= 0 {
		ended = "timeout"
	}
	n.Notify(r.User, sub, ended, contentType, body)
}

// Near reports whether this server has a connection to the watcher: who is at another
// one is told there, so that nothing need be made for him here.
func (n *Notifier) Near(user uc.UserURI, sub *groupstate.Subscription) bool {
	return n.conn(user, sub) != nil
}

// Notify sends a document to the watcher of sub. With ended the subscription is
// told to be over, for the reason given (RFC 6665 4.1.3). Without a connection to
// the watcher nothing is sent: a client that comes back subscribes again.
func (n *Notifier) Notify(user uc.UserURI, sub *groupstate.Subscription, ended, contentType string, body []byte) {
	c := n.conn(user, sub)
	if c == nil {
		return
	}
	d := n.drafts.Get().(*draft)
	d.write(n, c, user, sub, ended)
	if len(body) > 0 {
		d.m.Add("Content-Type", contentType)
		d.m.Body = body
	}
	if sub.Benotify {
		n.cfg.Link.Send(c, &d.m)
		d.m.Reset()
		n.drafts.Put(d)
		return
	}
	m := d.m.Clone() // it belongs to the transaction
	d.m.Reset()
	n.drafts.Put(d)
	n.cfg.Link.Request(c, m, func(res *sip.Message, err error) {
		if sub.ID != 0 && ended == "" && gone(res, err) {
			n.cfg.Gone(user, sub)
		}
	})
}

// lost are the answers to a NOTIFY that end the subscription, RFC 6665 4.2.2.
var lost = [...]int{404, 405, 408, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604}

// gone reports whether the watcher is not there any more. A connection that is
// lost does not say so: the client may be back on another in a moment.
func gone(res *sip.Message, err error) bool {
	if err != nil {
		return fault.Is(err, fault.Timeout)
	}
	return slices.Contains(lost[:], res.Status)
}

// conn is the connection to the watcher's device: that of its registration, which
// may have moved since, else the one that the SUBSCRIBE came over. What came through
// a proxy goes back through it. An endpoint that is registered over another server is
// told by that one.
func (n *Notifier) conn(user uc.UserURI, sub *groupstate.Subscription) *siptrans.Conn {
	if len(sub.Dialog.Routes) > 0 {
		if c := n.live(&sub.Flow); c != nil {
			return c
		}
	}
	bindings := n.cfg.Locate(user)
	for i := range bindings {
		if b := &bindings[i]; b.Endpoint == sub.Endpoint && !b.Detached {
			if b.Flow.Server != n.cfg.Server {
				return nil
			}
			if c := n.live(&b.Flow); c != nil {
				return c
			}
		}
	}
	return n.live(&sub.Flow)
}

func (n *Notifier) live(f *groupstate.Flow) *siptrans.Conn {
	if f.Server != n.cfg.Server {
		return n.through(f)
	}
	if f.Epoch == n.cfg.Epoch {
		if c := n.cfg.Link.Conn(f.Conn); c != nil {
			return c
		}
	}
	if f.Transport == "udp" {
		return n.cfg.Link.Datagram(f.Remote)
	}
	return nil
}

// through is the connection to the server that passed a SUBSCRIBE on to us.
func (n *Notifier) through(f *groupstate.Flow) *siptrans.Conn {
	if f.Epoch != 0 || n.cfg.Peer == nil {
		return nil
	}
	c, err := n.cfg.Peer(f.Server)
	if err != nil {
		return nil
	}
	return c
}
