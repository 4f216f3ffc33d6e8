package sipagent_test

import (
	"context"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"

	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/test/sipagent"
	"trivet/wire/sip"
)

// TestHostBelieves asks over both networks and is told who it said to be.
func TestHostBelieves(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	h := sipagent.NewHost(siptrans.Config{})
	h.Serve(t, sipmux.Config{Routes: []sipmux.Route{{Method: "MESSAGE", Who: sipmux.User, Doc: "tells", Serve: func(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
		res := r.Reply(200, "")
		res.Body = append([]byte(r.User+" "), r.Body...)
		return res, nil
	}}}}, "tcp", "udp")
	for network := range h.Addr {
		a := h.Dial(t, network)
		for _, body := range []string{"", "hi"} {
			a.Ask("MESSAGE sip:bob@example.test", body, "From: <sip:Alice@example.test>;tag=1", "To: <sip:bob@example.test>", "Call-ID: c")
			if got := string(sipagent.Status(t, a.Recv(), 200).Body); got != "sip:alice@example.test "+body {
				t.Errorf("%s: %q", network, got)
			}
		}
	}
}

func TestStreamCutsMessages(t *testing.T) {
	t.Parallel()
	message := func(body string) string {
		m := sip.NewRequest("MESSAGE", "sip:bob@example.test")
		m.Body = []byte(body)
		return m.String()
	}
	in := sipagent.Stream{From: iotest.OneByteReader(strings.NewReader(message("one") + "\r\n\r\n" + message("") + message("three")))}
	for _, want := range []string{"one", "", "three"} {
		if m, err := in.Next(); err != nil || string(m.Body) != want {
			t.Fatalf("%v, %v, want %q", m, err, want)
		}
	}
	if m, err := in.Next(); err == nil {
		t.Errorf("behind the end: %s", m)
	}
}
