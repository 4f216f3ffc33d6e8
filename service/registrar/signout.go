package registrar

import (
	"crypto/rand"

	"trivet/link/sipmux"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/sip"
)

// farewell is a forced sign-out that the endpoint is to be told of.
type farewell struct {
	user uc.UserURI
	from groupstate.Binding
	word string // event of the registration event, [MS-SIPREGE] 2.2
	diag int
	text string
}

// farewellOf finds the reason of a forced sign-out among the events beside it.
func farewellOf(e groupstate.Unbound, events []any) *farewell {
	f := &farewell{user: e.User, from: e.Ended, word: "unregistered", diag: 4140, text: "Signed out by an administrator"}
	for _, other := range events {
		switch o := other.(type) {
		case groupstate.UserDisabled:
			if o.User == e.User {
				f.word, f.diag, f.text = "rejected", diagDisabled, "User disabled"
			}
		case groupstate.UserRemoved:
			if o.User == e.User {
				f.word, f.diag, f.text = "rejected", diagDisabled, "User is no longer enabled for SIP"
			}
		case groupstate.UserRenamed:
			if o.From == e.User {
				f.text = "The SIP address of the user has changed"
			}
		}
	}
	return f
}

// bid tells the endpoint that it is signed out, and ends its connection when it
// has answered or had the time to.
func (r *Registrar) bid(f *farewell) {
	if f.from.Flow.Epoch != r.cfg.Epoch {
		return
	}
	c := r.cfg.Link.Conn(f.from.Flow.Conn)
	if c == nil {
		return
	}
	end := func() {
		if c.Stream() {
			c.Close("signed out: " + f.text)
		}
	}
	if !f.from.Lync {
		end()
		return
	}
	timer := r.cfg.Clock.AfterFunc(r.cfg.Farewell, end)
	r.cfg.Link.Request(c, f.notify(string(r.cfg.FQDN)), func(res *sip.Message, err error) {
		if err != nil || res.Status >= 200 {
			timer.Stop()
			end()
		}
	})
}

// notify is the NOTIFY of [MS-SIPREGE] 3.1 that ends a registration.
func (f *farewell) notify(server string) *sip.Message {
	m := sip.NewRequest("NOTIFY", f.from.Contact)
	m.Add("Max-Forwards", "70")
	m.Add("From", "<"+string(f.user)+">;tag="+rand.Text()[:10])
	m.Add("To", "<"+string(f.user)+">;epid="+string(f.from.Endpoint))
	m.Add("Call-ID", f.from.CallID)
	m.Add("CSeq", "1 NOTIFY")
	m.Add("Event", "registration-notify")
	m.Add("subscription-state", "terminated;expires=0")
	m.Add("ms-diagnostics", sipmux.Diagnostics(f.diag, f.text, server))
	m.Add("ms-diagnostics-public", sipmux.Diagnostics(f.diag, f.text, ""))
	m.Add("Content-Type", "text/registration-event")
	m.Body = []byte("deregistered;event=" + f.word)
	return m
}
