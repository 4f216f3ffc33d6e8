package provision

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"trivet/link/sipmux"
	"trivet/link/siptrans"
	"trivet/test/sipagent"
	"trivet/uc"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

const (
	alice   = uc.UserURI("sip:alice@example.test")
	contact = "<sip:fe1.example.test:5061;transport=tls>"
)

// policy has two groups, one of them with the user in it.
func policy(user uc.UserURI, group string) (presdoc.ProvisionGroup, bool) {
	switch group {
	case "ServerConfiguration":
		return presdoc.ProvisionGroup{Name: group, Entries: []presdoc.Setting{{Name: "absInternalServerUrl", Value: "https://fe1/abs?a=1&b=<2>"}, {Name: "self", Value: string(user)}}}, true
	case "endpointConfiguration":
		return presdoc.ProvisionGroup{Name: group, Properties: []presdoc.Setting{{Name: "EnableIMAutoArchiving", Value: "false"}}}, true
	}
	return presdoc.ProvisionGroup{}, false
}

// ask sends one SUBSCRIBE to a server with the service and returns the answer.
func ask(t *testing.T, to, body string, headers ...string) *sip.Message {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	h := sipagent.NewHost(siptrans.Config{})
	h.Serve(t, sipmux.Config{Routes: New(policy, contact).Routes()})
	a := h.Dial(t, "tcp")
	a.Seq = 41
	a.Ask("SUBSCRIBE "+string(alice), body, append([]string{"From: <" + string(alice) + ">;tag=t;epid=e1", "To: " + to, "Call-ID: c1", "Contact: <sip:127.0.0.1:40718>",
		"Event: " + Event, "Expires: 0", "Content-Type: application/vnd-microsoft-roaming-provisioning-v2+xml"}, headers...)...)
	return a.Recv()
}

func wanted(names ...string) string { return string(presdoc.AppendProvisioningRequest(nil, names)) }

func TestAnswerIsWhole(t *testing.T) {
	res := ask(t, "<"+string(alice)+">", wanted("ServerConfiguration"))
	for name, want := range map[string]string{"Contact": contact, "Event": Event, "Expires": "0", "subscription-state": "terminated;expires=0",
		"ms-piggyback-cseq": "42", "Content-Type": presdoc.TypeProvisioning} {
		if got := res.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if to, err := res.To(); res.Status != 200 || err != nil || to.Tag() == "" {
		t.Errorf("got\n%s", res)
	}
}

func TestGroups(t *testing.T) {
	server, _ := policy(alice, "ServerConfiguration")
	endpoint, _ := policy(alice, "endpointConfiguration")
	for _, c := range []struct {
		name, body string
		want       []presdoc.ProvisionGroup
	}{
		{"in the order of the request", wanted("endpointConfiguration", "ServerConfiguration"), []presdoc.ProvisionGroup{endpoint, server}},
		{"unknown ones are left out", wanted("mediaConfiguration", "ServerConfiguration"), []presdoc.ProvisionGroup{server}},
		{"only unknown ones", wanted("mediaConfiguration"), nil},
		{"none", wanted(), nil},
		{"no body", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := ask(t, "<"+string(alice)+">", c.body)
			got, err := presdoc.ParseProvisioning(res.Body)
			if res.Status != 200 || err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%v, got %+v in\n%s", err, got, res)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	self := "<" + string(alice) + ">"
	for _, c := range []struct {
		name, to, body string
		want           int
		diag           string
	}{
		{"of somebody else", "<sip:bob@example.test>", wanted("ServerConfiguration"), 403, "4004;"},
		{"of no user", "<sip:example.test>", wanted("ServerConfiguration"), 403, "4004;"},
		{"not XML", self, "groups, please", 400, "1018;"},
		{"cut off", self, strings.TrimSuffix(wanted("ServerConfiguration"), "t>"), 400, "1018;"},
		{"another document", self, "<publish/>", 400, "1018;"},
		{"too many names", self, wanted(slices.Repeat([]string{"x"}, presdoc.MaxNames+1)...), 400, "1018;"},
		{"empty name", self, wanted(""), 400, "1018;"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := ask(t, c.to, c.body)
			if res.Status != c.want || !strings.HasPrefix(res.Get("ms-diagnostics"), c.diag) || len(res.Body) != 0 {
				t.Errorf("want %d with %s, got\n%s", c.want, c.diag, res)
			}
		})
	}
	if res := ask(t, "<SIP:Alice@Example.TEST>", wanted()); res.Status != 200 { // oneself, spelled otherwise
		t.Errorf("got\n%s", res)
	}
}
