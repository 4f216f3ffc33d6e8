package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trivet/test/peer/slapd"
	ticketing "trivet/wire/soap"
)

// corporation is a server that follows a directory.
type corporation struct {
	*testing.T
	*Server
	ldap *slapd.Server
}

// incorporate starts both. Change edits the settings of the source.
func incorporate(t *testing.T, change map[string]any, people ...string) *corporation {
	t.Helper()
	c := &corporation{T: t, ldap: slapd.New(t, slapd.Options{})}
	c.ldap.Root(t, "people")
	c.add(people...)
	c.follow(change)
	return c
}

// follow starts a server with the directory as its source.
func (c *corporation) follow(change map[string]any) {
	c.Helper()
	password := filepath.Join(c.TempDir(), "password")
	if err := os.WriteFile(password, []byte(slapd.Password), 0o600); err != nil {
		c.Fatal(err)
	}
	source := map[string]any{
		"name": "corp", "kind": "inetorgperson", "servers": []string{c.ldap.URL}, "ca": c.ldap.CA, "bind-dn": c.ldap.Manager(), "password-file": password,
		"users": map[string]any{"bases": []string{"ou=people," + c.ldap.Suffix}}, "every": "0s", "timeout": "5s",
	}
	for k, v := range change {
		source[k] = v
	}
	text, err := json.Marshal([]any{source})
	if err != nil {
		c.Fatal(err)
	}
	c.Server = Start(c, "directory.sources="+string(text))
}

func (c *corporation) add(people ...string) {
	c.Helper()
	var b strings.Builder
	for _, name := range people {
		b.WriteString(c.ldap.Person(name, "objectClass: user", "userAccountControl: 512"))
	}
	if len(people) > 0 {
		c.ldap.Apply(c, b.String())
	}
}

func (c *corporation) control(value string, people ...string) {
	c.Helper()
	var b strings.Builder
	for _, name := range people {
		fmt.Fprintf(&b, "dn: uid=%s,ou=people,%s\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: %s\n\n", name, c.ldap.Suffix, value)
	}
	c.ldap.Apply(c, b.String())
}

// run runs a cmdlet that may fail.
func (c *corporation) run(name string, parameters map[string]any, whatIf bool) (status int, reply map[string]any) {
	c.Helper()
	body, err := json.Marshal(map[string]any{"Parameters": parameters, "WhatIf": whatIf})
	if err != nil {
		c.Fatal(err)
	}
	res, err := c.owner.Post("http://local/api/cmdlet/"+name, "application/json", bytes.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&reply); err != nil {
		c.Fatal(err)
	}
	return res.StatusCode, reply
}

// sync runs the source and returns its row, which has to be in that state.
func (c *corporation) sync(state string, parameters map[string]any) map[string]any {
	c.Helper()
	status, reply := c.run("Update-CsUserDatabase", parameters, false)
	if status != 200 {
		c.Fatalf("%d %v", status, reply)
	}
	row := reply["Rows"].([]any)[0].(map[string]any)
	if row["State"] != state {
		c.Fatalf("the source is %v: %v", row["State"], row)
	}
	return row
}

// state is the row of Get-CsDirectorySyncState.
func (c *corporation) state() map[string]any {
	c.Helper()
	return c.Cmdlet(c, "Get-CsDirectorySyncState", nil)["Rows"].([]any)[0].(map[string]any)
}

// enabled counts the users of the source who may sign in.
func (c *corporation) enabled() int {
	c.Helper()
	return len(c.Cmdlet(c, "Get-CsUser", map[string]any{"Filter": `Source -eq "corp" -and Enabled -eq $true`})["Rows"].([]any))
}

// health is the answer of /health/ready.
func (c *corporation) health() (status int, text string) {
	c.Helper()
	return c.get("/health/ready")
}

func (c *corporation) web() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: c.Trust(), DisableKeepAlives: true}}
}

func (c *corporation) get(path string) (int, string) {
	c.Helper()
	res, err := c.web().Get("https://" + c.HTTPS.String() + path)
	if err != nil {
		c.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// ticket asks for a web ticket by Basic and returns the status of the answer.
func (c *corporation) ticket(login, password string) int {
	c.Helper()
	const path = "/WebTicket/WebTicketService.svc/Auth"
	at := "https://" + c.HTTPS.String() + path
	body := ticketing.TicketRequest{Context: "c1", AppliesTo: "https://" + fqdn + "/CertProv/CertProvisioningService.svc", Claim: "sip:" + login, Entropy: make([]byte, 32)}.Append(nil)
	req, err := http.NewRequest("POST", at, bytes.NewReader(ticketing.AppendRequest(nil, ticketing.Headers{To: at, Action: ticketing.ActionIssue, MessageID: "uuid:1"}, body)))
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/xml")
	req.Header.Set("SOAPAction", `"`+ticketing.ActionIssue+`"`)
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(login+":"+password)))
	res, err := c.web().Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func names(prefix string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("%s%03d", prefix, i))
	}
	return list
}

// TestDirectoryMassCreate: a whole company comes at once and can sign in; later
// many new people wait for approval.
func TestDirectoryMassCreate(t *testing.T) {
	people := names("staff", 600)
	c := incorporate(t, map[string]any{"every": "1h"}, people...)
	until(t, "the first run, which nobody has to ask for", func() bool { return c.state()["State"] == "Ready" })
	row := c.state()
	if row["Created"] != 600.0 || row["Server"] != c.ldap.URL || row["NextRun"] == nil || row["Duration"] == "" || c.enabled() != 600 {
		t.Errorf("the first run: %v", row)
	}
	for password, want := range map[string]int{"secret of staff599": 200, "secret of staff000": 401, "": 401} {
		if got := c.ticket("staff599@"+domain, password); got != want {
			t.Errorf("web ticket with %q: %d, want %d", password, got, want)
		}
	}
	if got := c.ticket("nobody@"+domain, "secret of staff599"); got != 401 {
		t.Errorf("web ticket for nobody: %d", got)
	}
	if got := c.ticket("alice@"+domain, c.Password(alice)); got != 200 {
		t.Errorf("web ticket for one who was made here: %d", got)
	}
	if _, text := c.get("/metrics"); !strings.Contains(text, `trivet_directory_sync_actions_total{kind="create"} 600`) {
		t.Error("the metrics do not have what was created")
	}

	c.add(names("merger", 301)...) // half of the source and one
	row = c.sync("WaitingForApproval", nil)
	if c.enabled() != 600 {
		t.Error("part of a plan that waits is applied")
	}
	if row = c.sync("Ready", map[string]any{"Source": "corp", "Approve": row["PlanId"]}); row["Created"] != 301.0 || c.enabled() != 901 {
		t.Errorf("once approved: %v", row)
	}
}

// TestDirectoryMassDisable: the budget stops it, an administrator looks and
// approves; then the sessions end.
func TestDirectoryMassDisable(t *testing.T) {
	people := names("staff", 40)
	c := incorporate(t, nil, people...)
	c.sync("Ready", nil)
	c.Cmdlet(t, "Set-CsUserPassword", map[string]any{"Identity": "staff000", "Password": "for the phone"})
	c.passwords["sip:staff000@"+domain] = "for the phone"
	phone := c.SignIn(t, "tls", "sip:staff000@"+domain)

	c.control("514", people[:20]...)
	c.sync("WaitingForApproval", nil)
	row := c.state()
	if c.enabled() != 40 || row["Problem"] == "" || !slices.Contains(row["Pending"].([]any), any("Disable user: 20")) || len(row["Examples"].([]any)) == 0 {
		t.Errorf("the plan waits: %v", row)
	}
	if status, text := c.health(); status != 200 || !strings.Contains(text, "degraded") || !strings.Contains(text, row["PlanId"].(string)) {
		t.Errorf("health: %d %s", status, text)
	}
	_, reply := c.run("Update-CsUserDatabase", nil, true)
	if plans := fmt.Sprint(reply["Plans"]); strings.Count(plans, "Disable user, disabled in the directory") != 20 || !strings.Contains(plans, "sip:staff019@"+domain) {
		t.Errorf("-WhatIf says %v", reply)
	}

	// Meanwhile the directory changes: the plan is not what was looked at any more.
	c.control("514", people[20])
	status, reply := c.run("Update-CsUserDatabase", map[string]any{"Source": "corp", "Approve": row["PlanId"]}, false)
	if status == 200 || c.enabled() != 40 {
		t.Errorf("a plan that is out of date is applied: %d %v", status, reply)
	}
	row = c.sync("WaitingForApproval", nil)
	if row = c.sync("Ready", map[string]any{"Source": "corp", "Approve": row["PlanId"]}); row["Disabled"] != 21.0 || c.enabled() != 19 {
		t.Errorf("once approved: %v", row)
	}
	if !phone.Gone(time.Minute) {
		t.Error("the session of one who is disabled goes on")
	}
	if got := c.ticket("staff001@"+domain, "secret of staff001"); got != 403 {
		t.Errorf("web ticket for one who is disabled: %d", got)
	}
	if status, text := c.health(); status != 200 || strings.Contains(text, "degraded") {
		t.Errorf("health: %d %s", status, text)
	}
}

// TestDirectoryReactivation: whom the directory disabled it enables again, and this
// is counted; whom an administrator disabled stays so.
func TestDirectoryReactivation(t *testing.T) {
	c := incorporate(t, nil, "anna", "bert", "cora", "dora")
	c.sync("Ready", nil)
	c.control("514", "anna", "bert")
	c.sync("Ready", nil)
	c.Cmdlet(t, "Set-CsUser", map[string]any{"Identity": "bert", "Enabled": false}) // disabled already: now by an administrator too
	c.Cmdlet(t, "Set-CsUser", map[string]any{"Identity": "cora", "Enabled": false})
	c.Cmdlet(t, "Set-CsUser", map[string]any{"Identity": "anna", "Office": "12"}) // says nothing about it
	c.control("512", "anna", "bert")
	if row := c.sync("Ready", nil); row["Reactivated"] != 1.0 || row["DisabledHere"] != 2.0 || c.enabled() != 2 {
		t.Errorf("back: %v", row)
	}
	if got := c.ticket("anna@"+domain, "secret of anna"); got != 200 {
		t.Errorf("web ticket for one who is back: %d", got)
	}
	c.Cmdlet(t, "Remove-CsUser", map[string]any{"Identity": "dora"})
	if row := c.sync("Ready", nil); row["Created"] != 0.0 || len(row["DeletedHere"].([]any)) != 1 {
		t.Errorf("whom an administrator deleted: %v", row)
	}
	if row := c.sync("Ready", map[string]any{"Readmit": "*"}); row["Created"] != 1.0 {
		t.Errorf("readmitted: %v", row)
	}
}

// TestDirectoryServerDown: everything stays as it is, is told, and goes on by
// itself.
func TestDirectoryServerDown(t *testing.T) {
	c := incorporate(t, map[string]any{"every": "1s"}, "anna", "bert")
	until(t, "the first run", func() bool { return c.state()["State"] == "Ready" })
	c.ldap.Stop()
	until(t, "the failure is shown", func() bool { return c.state()["State"] == "Failed" })
	row := c.state()
	if c.enabled() != 2 || !strings.Contains(row["Problem"].(string), "cannot be reached") || row["NextRun"] == nil {
		t.Errorf("the server is down: %v", row)
	}
	if status, text := c.health(); status != 200 || !strings.Contains(text, "degraded") {
		t.Errorf("health: %d %s", status, text)
	}
	for _, login := range []string{"anna", "nobody"} { // nobody learns who is there
		if got := c.ticket(login+"@"+domain, "secret of anna"); got != 503 {
			t.Errorf("web ticket for %s while the directory is down: %d", login, got)
		}
	}
	if got := c.ticket("alice@"+domain, c.Password(alice)); got != 200 {
		t.Errorf("web ticket for one who was made here: %d", got)
	}
	c.ldap.Start(t)
	c.add("cora")
	until(t, "it goes on", func() bool { return c.state()["State"] == "Ready" && c.enabled() == 3 })

	// Empty is not gone.
	c.ldap.Apply(t, "dn: uid=anna,ou=people,"+c.ldap.Suffix+"\nchangetype: delete\n\ndn: uid=bert,ou=people,"+c.ldap.Suffix+"\nchangetype: delete\n\ndn: uid=cora,ou=people,"+c.ldap.Suffix+"\nchangetype: delete\n\n")
	until(t, "an empty answer is noticed", func() bool { return c.state()["State"] == "WaitingForApproval" })
	if c.enabled() != 3 {
		t.Error("an empty answer disables everybody")
	}
}

// authorities is a file with the authorities of several directories.
func authorities(t *testing.T, servers ...*slapd.Server) string {
	t.Helper()
	var all []byte
	for _, s := range servers {
		b, err := os.ReadFile(s.CA)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestDirectoryTwoServers: the second one is asked when the first one is down, for
// the run and for passwords.
func TestDirectoryTwoServers(t *testing.T) {
	c := &corporation{T: t, ldap: slapd.New(t, slapd.Options{})}
	c.ldap.Root(t, "people")
	c.add("anna", "bert")
	second := slapd.New(t, slapd.Options{Copy: c.ldap})
	second.Await(t, "(objectClass=inetOrgPerson)", 2)
	c.follow(map[string]any{"servers": []string{c.ldap.URL, second.TLS}, "ca": authorities(t, c.ldap, second)})
	if row := c.sync("Ready", nil); row["Server"] != c.ldap.URL || row["Created"] != 2.0 {
		t.Errorf("both are up: %v", row)
	}
	c.ldap.Stop()
	if row := c.sync("Ready", nil); row["Server"] != second.TLS || row["Changed"] != 0.0 || row["Disabled"] != 0.0 || c.enabled() != 2 {
		t.Errorf("the first is down: %v", row)
	}
	for password, want := range map[string]int{"secret of anna": 200, "wrong": 401} {
		if got := c.ticket("anna@"+domain, password); got != want {
			t.Errorf("web ticket with %q: %d", password, got)
		}
	}
}

// TestDirectoryReferral: a part of the directory is on another server.
func TestDirectoryReferral(t *testing.T) {
	c := &corporation{T: t, ldap: slapd.New(t, slapd.Options{})}
	c.ldap.Root(t, "people")
	c.add("anna", "bert")
	branch := slapd.New(t, slapd.Options{Suffix: "ou=branch,ou=people," + c.ldap.Suffix, Knows: c.ldap})
	branch.Root(t)
	branch.Apply(t, branch.PersonIn(branch.Suffix, "cora"))
	c.ldap.Apply(t, "dn: "+branch.Suffix+"\nobjectClass: referral\nobjectClass: extensibleObject\nou: branch\nref: "+branch.URL+"/"+branch.Suffix+"\n\n")
	c.follow(map[string]any{"ca": authorities(t, c.ldap, branch), "referral-servers": []string{branch.URL}})
	if row := c.sync("Ready", nil); row["Users"] != 3.0 || row["Created"] != 3.0 {
		t.Errorf("with the branch: %v", row)
	}
	if got := c.ticket("cora@"+domain, "secret of cora"); got != 200 {
		t.Errorf("web ticket for one of the branch: %d", got)
	}
	branch.Stop()
	if status, reply := c.run("Update-CsUserDatabase", nil, false); status == 200 || c.enabled() != 3 {
		t.Errorf("the branch is down: %d %v", status, reply)
	}
}
