package server

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trivet/admin/cmdlet"
	"trivet/kit/clock"
	"trivet/rule/phonenorm"
	"trivet/wire/presdoc"
	"trivet/wire/sip"
)

// try runs a synthetic transaction of web services as user and returns the error it
// tells, "" for success.
func (s *Server) try(t *testing.T, name, user string, parameters map[string]any) string {
	t.Helper()
	c, err := cmdlet.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]any{"TargetFqdn": s.HTTPS.String(), "UserSipAddress": user, "UserCredential": s.Password(user)}
	for k, v := range parameters {
		given[k] = v
	}
	run, err := c.Bind(given)
	if err != nil {
		t.Fatal(err)
	}
	call := &cmdlet.Call{Clock: clock.Real{}, Roots: s.roots}
	failed := run.Run(t.Context(), call)
	text, err := json.Marshal(call.Rows)
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct{ Result, Error string }
	if err := json.Unmarshal(text, &rows); err != nil || len(rows) != 1 || (rows[0].Result == "Success") != (failed == nil) {
		t.Fatalf("%s gave %s: %v, %v", name, text, failed, err)
	}
	return rows[0].Error
}

// search looks for people over SIP.
func (a *Agent) search(terms ...presdoc.Term) (*sip.Message, []string) {
	body := string(presdoc.Search{MaxResults: 10, Terms: terms}.Append(nil))
	res := a.Do(a.Request("SERVICE", "sip:"+domain, "<sip:"+domain+">", document("application/SOAP+xml", body)...))
	var names []string
	if found, err := presdoc.ParseSearchAnswer(res.Body); err == nil {
		for _, r := range found.Rows {
			names = append(names, r.DisplayName)
		}
	}
	return res, names
}

func TestPeopleAreFound(t *testing.T) {
	s := Start(t)
	a := s.SignIn(t, "tls", alice)
	named := func(value string) presdoc.Term { return presdoc.Term{Attribute: "displayName", Value: value} }
	if _, found := a.search(named("BUILD")); strings.Join(found, ",") != "Bob Builder" {
		t.Errorf("by a later word: %q", found)
	}
	if res, _ := a.search(); res.Status != 400 || !strings.HasPrefix(res.Get("ms-diagnostics"), "1018;") {
		t.Errorf("an empty search:\n%s", res)
	}
	zoe := s.NewUser(t, "zoe")
	s.Cmdlet(t, "Set-CsUser", map[string]any{"Identity": zoe, "DisplayName": "Zoë Ångström"})
	if _, found := a.search(named("zoe ang")); len(found) != 1 {
		t.Errorf("somebody new, without accents: %q", found)
	}
	if err := s.try(t, "Test-CsAddressBookWebQuery", alice, map[string]any{"TargetSipAddress": zoe}); err != "" {
		t.Error(err)
	}
	s.Cmdlet(t, "Set-CsUser", map[string]any{"Identity": zoe, "HideFromAddressLists": true})
	if _, found := a.search(named("zoe")); len(found) != 0 {
		t.Errorf("somebody hidden: %q", found)
	}
	if err := s.try(t, "Test-CsAddressBookWebQuery", alice, map[string]any{"TargetSipAddress": zoe}); !strings.Contains(err, "does not have") {
		t.Errorf("somebody hidden: %q", err)
	}
	if err := s.try(t, "Test-CsAddressBookWebQuery", alice, map[string]any{"UserCredential": "wrong"}); !strings.Contains(err, "refused") {
		t.Errorf("a wrong password: %q", err)
	}
	s.set(t, "CsClientPolicy", map[string]any{"Identity": "Global", "AddressBookAvailability": "FileDownloadOnly"})
	if res, _ := a.search(named("bob")); res.Status != 403 {
		t.Errorf("where the policy has no search:\n%s", res)
	}
	if err := s.try(t, "Test-CsAddressBookWebQuery", alice, nil); !strings.Contains(err, "policy") {
		t.Errorf("where the policy has no search: %q", err)
	}
}

func TestAddressBookFiles(t *testing.T) {
	s := Start(t)
	s.Cmdlet(t, "Update-CsAddressBook", nil)
	files, err := filepath.Glob(filepath.Join(s.Data, "abs", "F-*.lsabs"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := s.try(t, "Test-CsAddressBookService", alice, nil); err != "" {
		t.Error(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: s.Trust()}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequest("GET", "https://"+s.HTTPS.String()+"/abs/handler/"+filepath.Base(files[0]), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("alice@"+domain, s.Password(alice)) // no web ticket
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if res.Body.Close(); err != nil || res.StatusCode != 401 || !strings.Contains(res.Header.Get("X-MS-WebTicketURL"), "/WebTicket/") || res.Header.Get("WWW-Authenticate") != "" {
		t.Errorf("with a password: %d %v %s", res.StatusCode, res.Header, body)
	}
	s.set(t, "CsClientPolicy", map[string]any{"Identity": "Global", "AddressBookAvailability": "WebSearchOnly"})
	if err := s.try(t, "Test-CsAddressBookService", alice, nil); !strings.Contains(err, "policy") {
		t.Errorf("where the policy has no files: %q", err)
	}
}

// TestWrongPhoneRule: the other rules of the file count, and the cmdlet says which does
// not.
func TestWrongPhoneRule(t *testing.T) {
	s := Start(t)
	rules := "(\\d{4})\n+1425555$1\n(?=a)b\n$1\n"
	if err := os.WriteFile(filepath.Join(s.Data, phonenorm.FileName), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Cmdlet(t, "Set-CsUser", map[string]any{"Identity": alice, "Phone": "12-34"})
	reply := s.Cmdlet(t, "Update-CsAddressBook", nil)
	warnings, _ := reply["Warnings"].([]any)
	if len(warnings) != 1 || !strings.Contains(warnings[0].(string), "lines 3 and 4") || !strings.Contains(warnings[0].(string), "(?=") {
		t.Errorf("warnings: %q", warnings)
	}
	files, err := filepath.Glob(filepath.Join(s.Data, "abs", "F-*.lsabs"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if book, err := os.ReadFile(files[0]); err != nil || !strings.Contains(string(book), "+14255551234") {
		t.Errorf("the number does not have its one form (%v)", err)
	}
}

func TestGroupExpansion(t *testing.T) {
	s := Start(t)
	const mail = "team@" + domain
	s.Cmdlet(t, "New-CsDistributionGroup", map[string]any{"Identity": mail, "DisplayName": "Team"})
	s.Cmdlet(t, "Add-CsDistributionGroupMember", map[string]any{"Identity": mail, "Member": []string{alice, bob, carol}})
	expand := func() string {
		return s.try(t, "Test-CsGroupExpansion", dave, map[string]any{"GroupEmailAddress": mail})
	}
	if err := expand(); err != "" {
		t.Error(err)
	}
	if err := s.try(t, "Test-CsGroupExpansion", dave, map[string]any{"GroupEmailAddress": "none@" + domain}); !strings.Contains(err, "no group") {
		t.Errorf("no group: %q", err)
	}
	s.set(t, "CsWebServiceConfiguration", map[string]any{"MaxGroupSizeToExpand": 2})
	if err := expand(); !strings.Contains(err, "MaxGroupSizeToExpand") {
		t.Errorf("a large group: %q", err)
	}
	s.set(t, "CsWebServiceConfiguration", map[string]any{"EnableGroupExpansion": false})
	if err := expand(); !strings.Contains(err, "switched off") {
		t.Errorf("switched off: %q", err)
	}
}
