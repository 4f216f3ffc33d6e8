package im

import (
	"context"
	"testing"

	"trivet/link/sipmux"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/cccp"
	"trivet/wire/sip"
)

// TestInvitationsToAConference: every Lync device gets one and no other; who has only
// other devices is invited in their place.
func TestInvitationsToAConference(t *testing.T) {
	w := start(t)
	invited := make(chan uc.UserURI, 4)
	w.s.cfg.Invited = func(_ context.Context, r *sipmux.Request, user uc.UserURI) (*sip.Message, error) {
		invited <- user
		return r.Reply(200, ""), nil
	}
	a, one, two := w.lync(alice, "a1"), w.lync(bob, "b1"), w.lync(bob, "b2")
	phone, pager := w.phone(bob, "b3"), w.phone(carol, "c1")
	body := string(cccp.Invitation{FocusURI: "sip:alice@example.test;gruu;opaque=app:conf:focus:id:A", IM: true}.Append(nil))
	const kind = "Content-Type: " + cccp.TypeInvitation
	a.Send(a.request("INVITE", string(bob), body, kind))
	one.recv("INVITE")
	two.reply(two.recv("INVITE"), 200)
	sipagent.Status(w.t, a.final(), 200)
	phone.quiet()
	if n := len(invited); n != 0 {
		t.Errorf("%d are invited in place of their devices", n)
	}
	sipagent.Status(w.t, a.do(a.request("INVITE", string(carol), body, kind)), 200)
	pager.quiet()
	if n := len(invited); n != 1 || <-invited != carol {
		t.Errorf("%d are invited in place of their devices, want carol", n)
	}
}
