package server

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// rows are the result of a cmdlet.
func rows(t *testing.T, reply map[string]any) []map[string]any {
	t.Helper()
	list, ok := reply["Rows"].([]any)
	if !ok {
		t.Fatalf("no rows: %v", reply)
	}
	out := make([]map[string]any, len(list))
	for i, r := range list {
		out[i], _ = r.(map[string]any)
	}
	return out
}

// TestPeopleFromAFile imports users and signs them in with the passwords of the
// file, with those that were generated, and over HTTPS, where passwords come in
// clear.
func TestPeopleFromAFile(t *testing.T) {
	s := Start(t)
	file := "SipAddress,DisplayName,Manager,Password\nsip:mia@" + domain + ",Mia Meyer,,correct horse\nsip:noah@" + domain + ",Noah N.,mia@" + domain + ",\n"
	parameters := map[string]any{"Path": base64.StdEncoding.EncodeToString([]byte(file))}
	made := rows(t, s.Cmdlet(t, "Import-CsUser", parameters))
	if len(made) != 2 || made[0]["Action"] != "Created" || made[0]["Password"] != nil || made[1]["Password"] == nil {
		t.Fatalf("imported %v", made)
	}
	generated, _ := made[1]["Password"].(string)
	s.mu.Lock()
	s.passwords["sip:mia@"+domain], s.passwords["sip:noah@"+domain] = "correct horse", generated
	s.mu.Unlock()
	mia, noah := s.SignIn(t, "tls", "sip:mia@"+domain), s.SignIn(t, "tls", "sip:noah@"+domain)
	session(t, mia, noah)
	again := rows(t, s.Cmdlet(t, "Import-CsUser", map[string]any{"Path": base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(file, ",correct horse", ",")))}))
	if len(again) != 2 || again[0]["Action"] != "Unchanged" || again[1]["Action"] != "Unchanged" {
		t.Errorf("the same file again: %v", again)
	}
	if got := rows(t, s.Cmdlet(t, "Get-CsUserEndpoint", map[string]any{"Identity": "mia"})); len(got) != 1 {
		t.Errorf("an import that changes nothing ended sessions: %v", got)
	}
}

// TestANewPasswordEndsSessions asks for the endpoints as soon as the cmdlet has
// answered.
func TestANewPasswordEndsSessions(t *testing.T) {
	s := Start(t)
	user := s.NewUser(t, "olga")
	s.SignIn(t, "tls", user)
	s.Cmdlet(t, "Set-CsUserPassword", map[string]any{"Identity": user, "Password": "another password"})
	if got := rows(t, s.Cmdlet(t, "Get-CsUserEndpoint", map[string]any{"Identity": user})); len(got) != 0 {
		t.Errorf("after the change there are endpoints: %v", got)
	}
}

// TestManyPeopleFromAFile says how long two thousand take; that they come at all
// within the patience of the shell is what it holds.
func TestManyPeopleFromAFile(t *testing.T) {
	s := Start(t)
	const people = 2_000
	var file strings.Builder
	file.WriteString("SipAddress,FirstName,LastName,Department,Phone,Password\n")
	for i := range people {
		fmt.Fprintf(&file, "sip:p%05d@%s,Pat,Person%d,Sales,+1 425 555 %05d,correct horse %d\n", i, domain, i, i, i)
	}
	parameters := map[string]any{"Path": base64.StdEncoding.EncodeToString([]byte(file.String()))}
	for _, action := range []string{"Created", "Changed"} { // the passwords are set again
		start := time.Now()
		made := rows(t, s.Cmdlet(t, "Import-CsUser", parameters))
		took := time.Since(start)
		if len(made) != people || made[people-1]["Action"] != action || took > 4*time.Minute {
			t.Errorf("%d rows, the last is %v, in %v", len(made), made[len(made)-1], took)
		}
		t.Logf("%s %d in %v", action, people, took)
	}
}
