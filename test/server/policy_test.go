package server

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"trivet/link/sipclient"
	"trivet/test/peer/loopback"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

// set changes Global of a kind, or the instance "Identity" names.
func (s *Server) set(t *testing.T, noun string, parameters map[string]any) {
	t.Helper()
	s.Cmdlet(t, "Set-"+noun, parameters)
}

// settings asks for a group of in-band settings.
func (a *Agent) settings(t *testing.T, group string) map[string]string {
	t.Helper()
	res := a.Do(a.Request("SUBSCRIBE", a.User, "<"+a.User+">", append([]string{"Event: vnd-microsoft-provisioning-v2", "Expires: 0"},
		document(presdoc.TypeProvisioning, string(presdoc.AppendProvisioningRequest(nil, []string{group})))...)...))
	groups, err := presdoc.ParseProvisioning(res.Body)
	if res.Status != 200 || err != nil || len(groups) != 1 {
		t.Fatalf("%v in\n%s", err, res)
	}
	told := map[string]string{}
	for _, p := range groups[0].Properties {
		told[p.Name] = p.Value
	}
	return told
}

// contact puts somebody on the own list.
func (a *Agent) contact(who string) *sip.Message {
	return a.Do(a.Request("SERVICE", a.User, "<"+a.User+">", document("application/SOAP+xml", soap("setContact",
		"<m:displayName></m:displayName><m:groups>1</m:groups><m:subscribed>true</m:subscribed><m:URI>"+who+"</m:URI><m:externalURI></m:externalURI><m:deltaNum>1</m:deltaNum>"))...))
}

func TestPoliciesOfContacts(t *testing.T) {
	s := Start(t)
	a := s.SignIn(t, "tcp", s.NewUser(t, "few"))
	if n := a.settings(t, "endpointConfiguration")["MaximumNumberOfContacts"]; n != "250" {
		t.Errorf("told %s contacts", n)
	}
	s.set(t, "CsUserServicesConfiguration", map[string]any{"MaxContacts": 2})
	for i, who := range []string{alice, bob, carol} {
		if res := a.contact(who); (res.Status == 200) != (i < 2) {
			t.Errorf("contact %d of two:\n%s", i+1, res)
		}
	}
	s.set(t, "CsUserServicesConfiguration", map[string]any{"MaxContacts": 3})
	if res := a.contact(carol); res.Status != 200 {
		t.Errorf("the third of three:\n%s", res)
	}
	s.Cmdlet(t, "New-CsClientPolicy", map[string]any{"Identity": "Few", "MaximumNumberOfContacts": 1, "DGRefreshInterval": "00:30:00"})
	s.Cmdlet(t, "Grant-CsClientPolicy", map[string]any{"Identity": "few", "PolicyName": "few"})
	if res := a.contact(dave); res.Status == 200 {
		t.Errorf("a contact above the user's own limit:\n%s", res)
	}
	told := a.settings(t, "endpointConfiguration")
	if told["MaximumNumberOfContacts"] != "1" || told["DGRefreshInterval"] != "1800" || told["PhotoUsage"] != "AllPhotos" {
		t.Errorf("told %v", told)
	}
	s.Cmdlet(t, "Grant-CsClientPolicy", map[string]any{"Identity": "few", "PolicyName": nil})
	if told := a.settings(t, "endpointConfiguration"); told["MaximumNumberOfContacts"] != "3" || told["DGRefreshInterval"] != "28800" {
		t.Errorf("without the tag: told %v", told)
	}
}

func TestPoliciesOfRegistration(t *testing.T) {
	s := Start(t)
	a := s.SignIn(t, "tcp", s.NewUser(t, "brief"))
	s.set(t, "CsRegistrarConfiguration", map[string]any{"MinEndpointExpiration": 300, "DefaultEndpointExpiration": 400, "MaxEndpointExpiration": 500, "MaxEndpointsPerUser": 1})
	if res := a.Register("Expires: 120"); res.Status != 423 || res.Get("Min-Expires") != "300" {
		t.Errorf("too short a time:\n%s", res)
	}
	for wish, given := range map[string]string{"Expires: 3600": "500", "Expires: 350": "350", "X-No: expires": "400"} {
		m := a.Request("REGISTER", "sip:"+domain, "<"+a.User+">", "Contact: "+a.Contact(), wish)
		if res := a.Do(m); res.Status != 200 || !strings.HasSuffix(res.Get("Contact"), "expires="+given) && !strings.Contains(res.Get("Contact"), "expires="+given+";") {
			t.Errorf("%s, want %s:\n%s", wish, given, res)
		}
	}
	b := s.Dial(t, "tcp")
	s.Become(b, a.User)
	if res := b.Register(); res.Status != 403 || !strings.HasPrefix(res.Get("ms-diagnostics"), "4006;") {
		t.Errorf("a second endpoint of one:\n%s", res)
	}
	s.set(t, "CsRegistrarConfiguration", map[string]any{"MaxEndpointsPerUser": 2})
	if res := b.Register(); res.Status != 200 {
		t.Errorf("a second endpoint of two:\n%s", res)
	}
}

// watch subscribes to somebody's presence as PIDF.
func (a *Agent) watch(who, call string) *sip.Message {
	a.Call = call
	return a.Do(a.Request("SUBSCRIBE", who, "<"+who+">", "Event: presence", "Accept: application/pidf+xml", "Contact: "+a.Contact(), "Expires: 600"))
}

func TestPoliciesOfPresence(t *testing.T) {
	s := Start(t)
	star := s.NewUser(t, "star")
	s.SignIn(t, "tcp", star)
	b := s.SignIn(t, "tcp", bob)
	s.Cmdlet(t, "New-CsPresencePolicy", map[string]any{"Identity": "Alone", "MaxCategorySubscription": 0})
	s.Cmdlet(t, "Grant-CsPresencePolicy", map[string]any{"Identity": "star", "PolicyName": "Alone"})
	if res := b.watch(star, "w1"); res.Status != 403 || !strings.HasPrefix(res.Get("ms-diagnostics"), "4006;") {
		t.Errorf("somebody who cannot be subscribed to:\n%s", res)
	}
	s.set(t, "CsPresencePolicy", map[string]any{"Identity": "Alone", "MaxCategorySubscription": 1})
	if res := b.watch(star, "w2"); res.Status != 200 {
		t.Errorf("the first of one:\n%s", res)
	}
	if m := b.AwaitMethod("NOTIFY"); !strings.Contains(string(m.Body), "<basic>open") {
		t.Fatalf("star is not open:\n%s", m)
	}
	if res := s.SignIn(t, "tcp", carol).watch(star, "w3"); res.Status != 403 {
		t.Errorf("the second of one:\n%s", res)
	}
	if told := b.settings(t, "presencePolicyV2"); told["EnablePrivacyMode"] != "false" {
		t.Errorf("told %v", told)
	}
	s.set(t, "CsPrivacyConfiguration", map[string]any{"EnablePrivacyMode": true})
	if m := b.AwaitMethod("NOTIFY"); strings.Contains(string(m.Body), "<basic>open") {
		t.Errorf("in privacy mode a stranger still sees:\n%s", m)
	}
	if told := b.settings(t, "presencePolicyV2"); told["EnablePrivacyMode"] != "true" {
		t.Errorf("told %v", told)
	}
	s.set(t, "CsPrivacyConfiguration", map[string]any{"EnablePrivacyMode": false})
	if m := b.AwaitMethod("NOTIFY"); !strings.Contains(string(m.Body), "<basic>open") {
		t.Errorf("after privacy mode:\n%s", m)
	}
}

// TestPromptedSubscribers: who has no room for prompts is not asked; who is asked
// after that shows that the question would have come.
func TestPromptedSubscribers(t *testing.T) {
	s := Start(t)
	silent, asked := s.NewUser(t, "silent"), s.NewUser(t, "asked")
	a := s.SignIn(t, "tcp", s.NewUser(t, "adder"))
	s.Cmdlet(t, "Grant-CsPresencePolicy", map[string]any{"Identity": "silent", "PolicyName": "Service: Medium"})
	subscribers := func(x *Agent) string { // a poll: the state comes in a NOTIFY
		x.Call = word()
		x.Do(x.Request("SUBSCRIBE", x.User, "<"+x.User+">", append([]string{"Expires: 0"}, roaming...)...))
		return string(x.AwaitMethod("NOTIFY").Body)
	}
	quiet, other := s.SignIn(t, "tcp", silent), s.SignIn(t, "tcp", asked)
	for _, who := range []string{silent, asked} {
		if res := a.contact(who); res.Status != 200 {
			t.Fatalf("%s", res)
		}
	}
	until(t, "the question", func() bool { return strings.Contains(subscribers(other), "adder@") })
	if doc := subscribers(quiet); strings.Contains(doc, "adder@") || !strings.Contains(doc, "subscribers") {
		t.Errorf("was asked, or there is no list:\n%s", doc)
	}
}

// challenge is what a Lync client is offered.
func (s *Server) challenge(t *testing.T) string {
	t.Helper()
	a := s.Dial(t, "tls")
	a.User, a.Epid = alice, "e1"
	res := a.Register("Supported: gruu-10, msrtc-event-categories")
	var offers []string
	for v := range res.All("WWW-Authenticate") {
		scheme, _, _ := strings.Cut(v, " ")
		offers = append(offers, scheme)
	}
	return strings.Join(offers, " ")
}

func TestPoliciesOfSignIn(t *testing.T) {
	s := Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	live, err := sipclient.Dial(ctx, sipclient.Config{Addr: s.TLS.String(), TLS: s.Trust(), User: alice, Password: s.Password(alice), Scheme: sipclient.NTLM})
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	if _, err := live.Register(ctx, 600); err != nil {
		t.Fatal(err)
	}
	phone := s.SignIn(t, "tcp", bob)
	if got := s.challenge(t); got != "NTLM TLS-DSK" {
		t.Errorf("offered at first: %s", got)
	}
	for _, c := range []struct {
		off, want string
	}{{"UseNtlmForClientToProxyAuth", "TLS-DSK"}, {"UseCertificateForClientToProxyAuth", "Digest Digest"}, {"UseDigestMD5ForClientToProxyAuth", "Digest"}} {
		s.set(t, "CsProxyConfiguration", map[string]any{c.off: false})
		if got := s.challenge(t); got != c.want {
			t.Errorf("without %s: %s, want %s", c.off, got, c.want)
		}
	}
	if _, err := live.Register(ctx, 600); err != nil {
		t.Errorf("who signed in with NTLM is not let go on: %v", err)
	}
	s.set(t, "CsProxyConfiguration", map[string]any{"UseNtlmForClientToProxyAuth": true, "UseDigestForClientToProxyAuth": false})
	if got := s.challenge(t); got != "NTLM" {
		t.Errorf("without Digest: %s", got)
	}
	if res := phone.Do(phone.Request("OPTIONS", alice, "<"+alice+">")); res.Status == 401 || res.Status == 407 {
		t.Errorf("who signed in with Digest is not let go on:\n%s", res)
	}
}

// TestPolicyOfTheWeb: Windows sign-in to the web services is offered as the policy
// says; a password always is.
func TestPolicyOfTheWeb(t *testing.T) {
	s := Start(t)
	tr := &http.Transport{TLSClientConfig: s.Trust()}
	defer tr.CloseIdleConnections()
	for _, c := range []struct{ value, want string }{{"Negotiate", "NTLM Basic"}, {"None", "Basic"}, {"NTLM", "NTLM Basic"}} {
		s.set(t, "CsWebServiceConfiguration", map[string]any{"UseWindowsAuth": c.value})
		req, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+s.HTTPS.String()+"/WebTicket/WebTicketService.svc/Auth", strings.NewReader("<x/>"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		var offers []string
		for _, v := range res.Header.Values("WWW-Authenticate") {
			scheme, _, _ := strings.Cut(v, " ")
			offers = append(offers, scheme)
		}
		if got := strings.Join(offers, " "); got != c.want {
			t.Errorf("UseWindowsAuth %s: %d %q, want %q", c.value, res.StatusCode, got, c.want)
		}
	}
}

// TestPoliciesStay: what a cmdlet changed outlives the server; the settings file
// counts until then.
func TestPoliciesStay(t *testing.T) {
	data, addr := filepath.Join(t.TempDir(), "data"), loopback.Addr(t)
	most := func(want string, change int, settings ...string) {
		t.Helper()
		s, err := launch(data, addr, settings)
		if err != nil {
			t.Fatal(err)
		}
		if n := s.SignIn(t, "tcp", alice).settings(t, "endpointConfiguration")["MaximumNumberOfContacts"]; n != want {
			t.Errorf("with %v: %s contacts, want %s", settings, n, want)
		}
		if change > 0 {
			s.set(t, "CsUserServicesConfiguration", map[string]any{"MaxContacts": change})
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}
	most("100", 0, "limits.contacts=100")
	most("200", 0, "limits.contacts=200")
	most("250", 300)
	most("300", 0)
	most("300", 0, "limits.contacts=200")
}
