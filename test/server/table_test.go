package server

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"trivet/link/sipmux"
)

// silent is the expectation of a request that must not be answered.
const silent = 0

// challenge stands for 401, or 407 where the server is a proxy.
const challenge = 401

// callers are the kinds of senders, and what each gets from a row for users.
var callers = []struct {
	name string
	user int // expected from a row for users, -1: what the row says
	open int // expected from a row for everybody, -1: what the row says
}{
	{"anonymous", challenge, -1},
	{"user", -1, -1},
	{"another From", 403, -1},
	{"disabled", challenge, -1},
	{"no address", challenge, -1},
	{"server", challenge, -1},
	{"partner", challenge, -1},
}

// row is a row of the real table: a sound request for it, and what a signed-in
// user gets.
type row struct {
	uri   string // "" is the user himself, "server" the server
	extra []string
	want  int
}

var roaming = []string{"Event: vnd-microsoft-roaming-self", "Accept: application/vnd-microsoft-roaming-self+xml", "Contact: <sip:x@127.0.0.1>",
	"Content-Type: application/vnd-microsoft-roaming-self+xml", "",
	`<roamingList xmlns="http://schemas.microsoft.com/2006/09/sip/roaming-self"><roaming type="categories"/><roaming type="containers"/><roaming type="subscribers"/></roamingList>`}

func soap(method, inner string) string {
	return `<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body><m:` + method +
		` xmlns:m="http://schemas.microsoft.com/winrtc/2002/11/sip">` + inner + `</m:` + method + `></SOAP-ENV:Body></SOAP-ENV:Envelope>`
}

func document(kind, body string) []string { return []string{"Content-Type: " + kind, "", body} }

// expected has every row of the table by method, event and type.
var expected = map[string]row{
	"REGISTER  ":                            {uri: "server", extra: []string{"Expires: 0", "Contact: <sip:x@127.0.0.1>"}, want: 200},
	"OPTIONS  ":                             {uri: "server", want: 200},
	"SUBSCRIBE vnd-microsoft-roaming-self ": {extra: roaming, want: 200},
	"SUBSCRIBE presence ":                   {uri: bob, extra: []string{"Event: presence", "Accept: application/pidf+xml", "Contact: <sip:x@127.0.0.1>", "Expires: 0"}, want: 200},
	"SUBSCRIBE vnd-microsoft-provisioning-v2 ": {extra: append([]string{"Event: vnd-microsoft-provisioning-v2", "Expires: 0"},
		document("application/vnd-microsoft-roaming-provisioning-v2+xml", `<provisioningGroupList xmlns="http://schemas.microsoft.com/2006/09/sip/provisioninggrouplist"><provisioningGroup name="ServerConfiguration"/></provisioningGroupList>`)...), want: 200},
	"SUBSCRIBE vnd-microsoft-roaming-contacts ": {extra: []string{"Event: vnd-microsoft-roaming-contacts", "Expires: 0", "Contact: <sip:x@127.0.0.1>"}, want: 200},
	"PUBLISH presence ": {extra: append([]string{"Event: presence", "Expires: 60"}, document("application/pidf+xml",
		`<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:alice@example.test"><tuple id="a"><status><basic>open</basic></status></tuple></presence>`)...), want: 200},
	"SERVICE  application/msrtc-category-publish+xml":       {extra: document("application/msrtc-category-publish+xml", `<publish xmlns="http://schemas.microsoft.com/2006/09/sip/rich-presence"><publications uri="sip:alice@example.test"><publication categoryName="note" instance="@serial@" container="2" version="0" expireType="static"><note xmlns="http://schemas.microsoft.com/2006/09/sip/note"/></publication></publications></publish>`), want: 200},
	"SERVICE  application/msrtc-setcontainermembers+xml":    {extra: document("application/msrtc-setcontainermembers+xml", `<setContainerMembers xmlns="http://schemas.microsoft.com/2006/09/sip/container-management"/>`), want: 200},
	"SERVICE  application/msrtc-presence-setsubscriber+xml": {extra: document("application/msrtc-presence-setsubscriber+xml", `<setSubscribers xmlns="http://schemas.microsoft.com/2006/09/sip/presence-subscribers"/>`), want: 200},
	"SERVICE  application/soap+xml":                         {extra: document("application/SOAP+xml", soap("addGroup", "<m:name>Table @serial@</m:name>")), want: 200},
	"MESSAGE  ":                                             {uri: dave, extra: document("text/plain", "hello"), want: 480}, // dave is not signed in
	"INVITE  ":                                              {uri: dave, extra: document("application/sdp", "v=0\r\n"), want: 480},
	"BYE  ":                                                 {uri: dave, want: 480},
	"INFO  ":                                                {uri: dave, want: 480},
	"UPDATE  ":                                              {uri: dave, want: 480},
	"PRACK  ":                                               {uri: dave, want: 480},
	"REFER  ":                                               {uri: dave, extra: []string{"Refer-To: <" + bob + ">"}, want: 480},
	"NOTIFY  ":                                              {uri: dave, extra: []string{"Event: refer"}, want: 480},
	"ACK  ":                                                 {uri: dave, want: silent},

	"SERVICE  application/cccp+xml conf": {uri: "factory", extra: document("application/cccp+xml", `<request xmlns="urn:ietf:params:xml:ns:cccp" C3PVersion="1" requestId="1"><getConferencingCapabilities/></request>`), want: 200},
	"INVITE   conf":                      {uri: nowhere, extra: document("application/sdp", textOffer), want: 404},
	"MESSAGE   conf":                     {uri: nowhere, extra: document("text/plain", "hello"), want: 404},
	"INFO   conf":                        {uri: nowhere, extra: document("application/cccp+xml", "<request/>"), want: 481},
	"BYE   conf":                         {uri: nowhere, want: 481},
	"OPTIONS   conf":                     {uri: nowhere, want: 404},
	"NOTIFY   conf":                      {uri: nowhere, extra: []string{"Event: refer"}, want: 405},
	"PRACK   conf":                       {uri: nowhere, want: 405},
	"REFER   conf":                       {uri: nowhere, want: 405},
	"UPDATE   conf":                      {uri: nowhere, want: 405},
	"ACK   conf":                         {uri: nowhere, want: silent},
	"SUBSCRIBE conference ":              {uri: nowhere, extra: []string{"Event: conference", "Contact: <sip:x@127.0.0.1>"}, want: 404},
}

// nowhere is a conference that does not exist.
const nowhere = alice + ";gruu;opaque=app:conf:focus:id:NOWHERE"

// keyOf has the application last, where there is one.
func keyOf(r sipmux.Route) string {
	key := r.Method + " " + r.Event + " " + r.Type
	if r.App != "" {
		key += " " + r.App
	}
	return key
}

// TestTable asks every row of the table, over every transport, as every kind of
// caller.
func TestTable(t *testing.T) {
	s := Start(t)
	var keys []string
	open := map[string]bool{}
	for _, r := range s.Routes {
		keys = append(keys, keyOf(r))
		open[keyOf(r)] = r.Who == sipmux.Anyone
		if _, known := expected[keyOf(r)]; !known {
			t.Errorf("the table has a row %q and this test no expectation for it", keyOf(r))
		}
	}
	for k := range expected {
		if !slices.Contains(keys, k) {
			t.Errorf("this test expects a row %q that the table does not have", k)
		}
	}
	disabled := s.NewUser(t, "gone")
	s.Cmdlet(t, "Set-CsUser", map[string]any{"Identity": disabled, "Enabled": false})
	s.Cmdlet(t, "Disable-CsUser", map[string]any{"Identity": s.NewUser(t, "bare")})
	for _, network := range []string{"udp", "tcp", "tls", "ws", "wss"} {
		t.Run(network, func(t *testing.T) {
			for _, c := range callers {
				for _, key := range keys {
					row := expected[key]
					want := c.user
					if open[key] {
						want = c.open
					}
					if want < 0 {
						want = row.want
					}
					a := caller(t, s, network, c.name, disabled)
					got := a.outcome(t, keyMethod(s, key), row)
					mark := "ok"
					if got != want {
						mark = "WRONG"
						t.Errorf("%s as %s over %s: got %d, want %d", key, c.name, network, got, want)
					}
					t.Logf("%-5s %-13s %-58s %3d %s", network, c.name, key, got, mark)
					a.Close()
				}
			}
		})
	}
}

// serial makes what is published and added different each time.
var serial atomic.Uint32

func keyMethod(s *Server, key string) string {
	for _, r := range s.Routes {
		if keyOf(r) == key {
			return r.Method
		}
	}
	return ""
}

// caller connects as one kind of sender, from an address without a history.
func caller(t *testing.T, s *Server, network, name, disabled string) *Agent {
	t.Helper()
	if (name == "server" || name == "partner") && network == "tls" {
		a, err := s.dialAs(t, forged(t, map[string]string{"server": fqdn, "partner": "sip.partner.test"}[name]))
		if err != nil {
			t.Fatal(err)
		}
		a.User = map[string]string{"server": "sip:fe1@" + fqdn, "partner": "sip:eve@partner.test"}[name]
		return a
	}
	a := s.DialFrom(t, network, freshSource())
	switch name {
	case "anonymous":
		a.User = alice
	case "user":
		s.Become(a, alice)
	case "another From":
		s.Become(a, alice)
		a.User = bob
	case "disabled":
		s.Become(a, disabled)
	case "no address":
		s.Become(a, "sip:bare@"+domain)
	case "server":
		a.User = "sip:fe1@" + fqdn
	case "partner":
		a.User = "sip:eve@partner.test"
	}
	return a
}

// outcome sends the request of a row and returns the status of its answer.
func (a *Agent) outcome(t *testing.T, method string, r row) int {
	t.Helper()
	uri, to := r.uri, "<"+r.uri+">"
	switch uri {
	case "":
		uri, to = a.User, "<"+a.User+">"
	case "server":
		uri, to = "sip:"+domain, "<"+a.User+">"
	case "factory":
		uri = a.User + ";gruu;opaque=app:conf:focusfactory"
		to = "<" + uri + ">"
	}
	m := a.Request(method, uri, to, r.extra...)
	m.Body = bytes.ReplaceAll(m.Body, []byte("@serial@"), []byte(fmt.Sprint(serial.Add(1))))
	if method == "ACK" {
		if _, _, err := a.Start(m); err != nil {
			t.Fatal(err)
		}
		if res := a.Do(a.Request("OPTIONS", "sip:"+domain, "<sip:"+domain+">")); res.Status != 200 {
			t.Errorf("OPTIONS behind an ACK: %d", res.Status)
		}
		if len(a.Inbox()) != 0 {
			return a.Inbox()[0].Status
		}
		return silent
	}
	res, err := a.Try(m, patience)
	if err != nil {
		t.Fatalf("%s over %s: %v", method, a.Network, err)
	}
	if res.Status >= 400 && !challenged(res) {
		t.Log(res.Get("ms-diagnostics"))
	}
	if challenged(res) {
		if res.Count("WWW-Authenticate")+res.Count("Proxy-Authenticate") == 0 {
			t.Errorf("no challenge in\n%s", res)
		}
		return challenge
	}
	return res.Status
}

// forged makes a certificate that names somebody whom nobody asked.
func forged(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// dialAs connects over TLS with a client certificate.
func (s *Server) dialAs(t *testing.T, c *tls.Certificate) (*Agent, error) {
	conf := s.Trust()
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c, nil }
	nc, err := tls.Dial("tcp", s.TLS.String(), conf)
	if err != nil {
		return nil, err
	}
	a := newAgent(t, "tls")
	a.start(nc)
	return a, nil
}

// TestMethodsOutsideTheTable must be refused before anybody is asked for a name.
func TestMethodsOutsideTheTable(t *testing.T) {
	s := shared(t)
	for _, network := range []string{"udp", "tcp", "tls", "ws", "wss"} {
		a := s.Dial(t, network)
		a.User = alice
		for _, c := range []struct {
			method string
			extra  []string
			want   int
			header string
		}{
			{"NONSENSE", nil, 405, "Allow"},
			{"BENOTIFY", nil, 405, "Allow"},
			{"SUBSCRIBE", []string{"Event: dialog"}, 489, "Allow-Events"},
			{"SUBSCRIBE", nil, 489, "Allow-Events"},
			{"PUBLISH", []string{"Event: dialog"}, 489, "Allow-Events"},
			{"SERVICE", document("text/plain", "x"), 415, "Accept"},
			{"OPTIONS", []string{"Require: moon"}, 420, "Unsupported"},
			{"INVITE", []string{"Proxy-Require: moon"}, 420, "Unsupported"},
		} {
			res := a.Do(a.Request(c.method, "sip:"+domain, "<sip:"+domain+">", c.extra...))
			if res.Status != c.want || res.Get(c.header) == "" {
				t.Errorf("%s %q over %s: want %d with %s, got\n%s", c.method, c.extra, network, c.want, c.header, res)
			}
		}
	}
}
