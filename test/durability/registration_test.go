package durability

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"trivet/role/frontend"
	outside "trivet/test/server"
	"trivet/uc"
	"trivet/wire/sip"
)

// grace is how long the server waits for an endpoint that lost its connection.
const grace = 20 * time.Second

// endpoint is a row of Get-CsUserEndpoint.
type endpoint struct {
	EndpointId, Transport string
	Connected             bool
	Expires               time.Time
}

func (s *server) endpoints(t *testing.T, user uc.UserURI) []endpoint {
	t.Helper()
	var list []endpoint
	if err := json.Unmarshal(s.must(t, "Get-CsUserEndpoint", user.Bare(), "-As", "json"), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestRegistrationsOutliveTheServer: an endpoint on a stream is listed after the
// restart for as long as it may take to come back, and cannot be written to until
// it has. One that uses UDP is its address: it stays and is written to at once.
func TestRegistrationsOutliveTheServer(t *testing.T) {
	t.Parallel()
	s := newServer(t, "desk", "phone", "writer")
	s.run(t)
	desk := newClient("desk", nil)
	if _, err := desk.connect(t.Context(), s.at(5060), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := desk.ask(t.Context(), desk.register(desk.conn.Contact()+`;+sip.instance="<`+instance(1)+`>";expires=3600`)); err != nil {
		t.Fatal(err)
	}
	phone := s.phone(t)
	if res := phone.Do(registration(phone)); res.Status != 200 {
		t.Fatalf("%s", res)
	}
	s.process.Kill()
	desk.hangUp()

	begin := time.Now()
	s.run(t)
	list := s.endpoints(t, desk.user)
	if len(list) != 1 || list[0].EndpointId != instance(1) || list[0].Connected || list[0].Expires.After(time.Now().Add(grace)) {
		t.Errorf("after the restart the desk has %+v", list)
	}
	if list := s.endpoints(t, address("phone")); len(list) != 1 || list[0].Transport != "udp" || !list[0].Connected || list[0].Expires.Before(time.Now().Add(50*time.Minute)) {
		t.Errorf("after the restart the phone has %+v", list)
	}
	writer := talk{server: s, teller: newClient("writer", nil)}
	if _, err := writer.teller.connect(t.Context(), s.at(5060), nil); err != nil {
		t.Fatal(err)
	}
	defer writer.teller.hangUp()
	refused(t, writer.teller.conn, writer.message(desk.user))
	sent := make(chan error, 1)
	m := writer.message(address("phone"))
	go func() {
		_, err := writer.teller.ask(t.Context(), m)
		sent <- err
	}()
	phone.Reply(phone.AwaitMethod("MESSAGE"), 200)
	if err := <-sent; err != nil {
		t.Errorf("a message to the phone: %v", err)
	}
	await(t, "the end of the grace of the desk", func() bool { return len(s.endpoints(t, desk.user)) == 0 })
	if d := time.Since(begin); d < grace {
		t.Errorf("the desk was given up %v after the restart, want %v or later", d, grace)
	}
	if list := s.endpoints(t, address("phone")); len(list) != 1 {
		t.Errorf("after the grace the phone has %+v", list)
	}
}

// phone is a SIP client over UDP.
func (s *server) phone(t *testing.T) *outside.Agent {
	t.Helper()
	a := (&outside.Server{Ready: frontend.Ready{UDP: netip.MustParseAddrPort(s.at(5060))}}).Dial(t, "udp")
	a.User, a.Login, a.Password = string(address("phone")), address("phone").Bare(), password
	return a
}

func registration(a *outside.Agent) *sip.Message {
	return a.Request("REGISTER", "sip:"+domain, "<"+a.User+">", "Contact: "+strings.Replace(a.Contact(), ";transport=udp", "", 1), "Expires: 3600")
}
