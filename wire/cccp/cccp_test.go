package cccp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trivet/fault"
)

// sample reads a document of the shape that a real client sends.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRequestsOfClients(t *testing.T) {
	const focus = "sip:alice@example.test;gruu;opaque=app:conf:focus:id:E1DB3407FAF239FBB75FCC21B87842B6"
	const factory = "sip:alice@example.test;gruu;opaque=app:conf:focusfactory"
	for _, c := range []struct {
		name string
		want Request
	}{
		{"capabilities.xml", Request{ID: "0", From: "sip:alice@example.test", To: factory, Command: "getConferencingCapabilities"}},
		{"addconference.xml", Request{ID: "1", From: "sip:alice@example.test", To: factory, Command: "addConference", Info: &Info{
			Description: &Description{ConferenceID: "E1DB3407FAF239FBB75FCC21B87842B6", Expiry: time.Date(2026, 11, 21, 10, 26, 13, 0, time.UTC), AdmissionPolicy: "openAuthenticated", Named: NamedSubject},
			Views:       []View{{Entity: "chat"}},
		}}},
		{"adduser.xml", Request{ID: "2", From: "sip:alice@example.test", To: focus, Command: "addUser", ConfEntity: focus, User: &User{
			Entity: "sip:alice@example.test", Roles: []string{Attendee}, Endpoints: []Endpoint{{Entity: "{7F5A9F0B-8B0E-4F4D-9C0E-3F6B1A2C4D5E}"}},
		}}},
		{"modifyuserroles.xml", Request{ID: "3", From: "sip:alice@example.test", To: focus, Command: "modifyUserRoles", ConfEntity: focus, UserEntity: "sip:bob@example.test", Roles: []string{Presenter}}},
		{"deleteuser.xml", Request{ID: "4", From: "sip:alice@example.test", To: focus, Command: "deleteUser", ConfEntity: focus, UserEntity: "sip:bob@example.test"}},
		{"lock.xml", Request{ID: "5", From: "sip:alice@example.test", To: focus, Command: "modifyConferenceLock", ConfEntity: focus, Locked: true}},
	} {
		got, err := ParseRequest(sample(t, c.name))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestBadRequests(t *testing.T) {
	in := func(command string) string { return `<request requestId="1">` + command + `</request>` }
	for name, text := range map[string]string{
		"nothing":            "",
		"no XML":             "hello",
		"another root":       "<response/>",
		"no command":         in(""),
		"two commands":       in("<getConferences/><getConferences/>"),
		"cut off":            in("<getConferences/>")[:20],
		"a wrong boolean":    in(`<modifyConferenceLock><locked>maybe</locked></modifyConferenceLock>`),
		"a wrong time":       in(`<addConference><conference-info><conference-description><expiry-time>soon</expiry-time></conference-description></conference-info></addConference>`),
		"a wrong promotion":  in(`<addConference><conference-info><conference-description><autopromote>-1</autopromote></conference-description></conference-info></addConference>`),
		"many users":         in(`<addConference><conference-info><users>` + strings.Repeat("<user/>", MaxUsers+1) + `</users></conference-info></addConference>`),
		"many endpoints":     in(`<addUser><user>` + strings.Repeat("<endpoint/>", MaxEndpoints+1) + `</user></addUser>`),
		"many roles":         in(`<modifyUserRoles><user-roles>` + strings.Repeat("<entry>a</entry>", MaxRoles+1) + `</user-roles></modifyUserRoles>`),
		"a long subject":     in(`<addConference><conference-info><conference-description><subject>` + strings.Repeat("x", MaxText+1) + `</subject></conference-description></conference-info></addConference>`),
		"a long id":          `<request requestId="` + strings.Repeat("1", 65) + `"><getConferences/></request>`,
		"a document type":    `<!DOCTYPE x>` + in("<getConferences/>"),
		"an unknown entity":  in("<getConferences>&x;</getConferences>"),
		"a large document":   in("<getConferences>" + strings.Repeat(" ", MaxDocument) + "</getConferences>"),
		"text behind":        in("<getConferences/>") + "x",
		"an empty boolean":   in(`<addConference><conference-info><conference-description><is-active>2</is-active></conference-description></conference-info></addConference>`),
		"many entity-views":  in(`<addConference><conference-info><conference-view>` + strings.Repeat("<entity-view/>", MaxURIs+1) + `</conference-view></conference-info></addConference>`),
		"many conf-uris":     in(`<addConference><conference-info><conference-description><conf-uris>` + strings.Repeat("<entry/>", MaxURIs+1) + `</conf-uris></conference-description></conference-info></addConference>`),
		"a wrong user-count": in(`<addConference><conference-info><conference-view><entity-view><entity-state><user-count>x</user-count></entity-state></entity-view></conference-view></conference-info></addConference>`),
	} {
		_, err := ParseRequest([]byte(text))
		if f, ok := err.(*fault.Error); !ok || f.Kind != fault.Invalid || f.Diag != diagParse || f.Text == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func full() Info {
	locked := true
	at := time.Date(2013, 5, 1, 12, 0, 0, 0, time.UTC)
	return Info{
		Entity: `sip:alice@example.test;gruu;opaque=app:conf:focus:id:A"&<>`, State: Full, Version: 7,
		Description: &Description{
			DisplayText: "d", Subject: "Plans & <more>", URIs: []URI{{"sip:chat", "chat", "chat"}}, ConferenceID: "A1", LastUpdate: at, LastActivate: at.Add(time.Second),
			IsActive: true, Expiry: at.Add(time.Hour), AdmissionPolicy: "anonymous", Autopromote: 0x8000, Named: NamedSubject | NamedAutopromote, Organizer: Organizer{"Alice", "sip:alice@example.test"}, JoinURL: "https://x/meet/a/b",
		},
		Users: []User{
			{Entity: "sip:bob@example.test", State: Full, DisplayText: "Bob Brøwn", Roles: []string{Presenter, "x"}, Endpoints: []Endpoint{{"{1}", Focus, "sip:e", Connected}, {"{2}", Chat, "", Disconnected}}},
			{Entity: "sip:carol@example.test", State: Deleted},
		},
		Views: []View{{Entity: "sip:focus", Locked: &locked, Users: 2}, {Entity: "sip:chat", Media: []Media{{"chat", "chat"}}}},
	}
}

func TestInfoRoundTrip(t *testing.T) {
	want := full()
	got, err := ParseInfo(want.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	var empty Info
	if got, err := ParseInfo(empty.Append(nil)); err != nil || cmp.Diff(empty, got) != "" {
		t.Errorf("%v %+v", err, got)
	}
}

// TestWhatIsNamed: an element with the zero value is not one that is missing.
func TestWhatIsNamed(t *testing.T) {
	i, err := ParseInfo([]byte(`<conference-info><conference-description><subject/><autopromote>0</autopromote></conference-description><users/></conference-info>`))
	if err != nil || i.Users == nil || i.Description.Named != NamedSubject|NamedAutopromote {
		t.Errorf("%v %+v", err, i)
	}
	i, err = ParseInfo([]byte(`<conference-info><conference-description/></conference-info>`))
	if err != nil || i.Users != nil || i.Description.Named != 0 {
		t.Errorf("%v %+v", err, i)
	}
	if i, err = ParseInfo(AppendKey(nil, `sip:a"b`)); err != nil || i.Entity != `sip:a"b` {
		t.Errorf("%v %+v", err, i)
	}
}

func TestResponseRoundTrip(t *testing.T) {
	i := full()
	for _, want := range []Response{
		{ID: "3", From: "a", To: "b", Command: "getConference", Code: Success},
		{ID: `"<>&`, From: "a", To: "b", Command: "addUser", Code: Failure, Reason: UserDoesntExist, Text: "There is <nobody>."},
		{ID: "3", From: "a", To: "b", Code: Failure},
	} {
		got, err := ParseResponse(want.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	with := Response{Command: "getConference", Code: Success, Body: i.Append(nil)}
	got, err := ParseResponse(with.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseInfo(got.Body)
	if d := cmp.Diff(i, back); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
	joined := Response{Command: "addUser", Code: Success, Body: AppendJoined(nil, "sip:focus", i.Users[0])}
	if got, err := ParseResponse(joined.Append(nil)); err != nil || !strings.Contains(string(got.Body), `<entry>presenter</entry>`) || !strings.Contains(string(got.Body), `confEntity="sip:focus"`) {
		t.Errorf("%v\n%s", err, got.Body)
	}
	roster := Response{Command: "getUsers", Code: Success, Body: AppendRoster(nil, i.Users)}
	if got, err := ParseResponse(roster.Append(nil)); err != nil || strings.Count(string(got.Body), "<user ") != 2 {
		t.Errorf("%v\n%s", err, got.Body)
	}
	kinds := Response{Command: "x", Code: Success, Body: AppendCapabilities(nil, Chat, "a&b")}
	if got, err := ParseResponse(kinds.Append(nil)); err != nil || !strings.Contains(string(got.Body), "a&amp;b") {
		t.Errorf("%v\n%s", err, got.Body)
	}
}

func TestInvitationRoundTrip(t *testing.T) {
	for _, want := range []Invitation{{FocusURI: "sip:a@b;x", Subject: "<Plans>", IM: true}, {FocusURI: "sip:a@b", IM: true, Audio: true}} {
		if got, err := ParseInvitation(want.Append(nil)); err != nil || got != want {
			t.Errorf("%v %+v", err, got)
		}
	}
	if got, err := ParseInvitation(sample(t, "invitation.xml")); err != nil || !got.IM || got.Audio || !strings.Contains(got.FocusURI, ":focus:id:") {
		t.Errorf("of a client: %v %+v", err, got)
	}
	if _, err := ParseInvitation([]byte(`<Conferencing version="2.0"><subject/></Conferencing>`)); !fault.Is(err, fault.Invalid) {
		t.Errorf("without an address: %v", err)
	}
}

func TestReportRoundTrip(t *testing.T) {
	want := Report{"7", []Recipient{{"sip:bob@example.test", 408}, {"sip:carol@example.test", 486}}}
	got, err := ParseReport(want.Append(nil))
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
	if !strings.Contains(string(want.Append(nil)), `uri="&lt;sip:bob@example.test&gt;"`) {
		t.Errorf("%s", want.Append(nil))
	}
	for _, bad := range []string{"<imdn", `<imdn><recipient uri="a"><status>700</status></recipient></imdn>`, `<imdn>` + strings.Repeat("<recipient/>", MaxUsers+1) + `</imdn>`} {
		if _, err := ParseReport([]byte(bad)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.40s: %v", bad, err)
		}
	}
}

func seeds(f *testing.F) {
	files, err := filepath.Glob("testdata/*.xml")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		f.Add(sample(f, filepath.Base(name)))
	}
	i := full()
	f.Add(i.Append(nil))
	f.Add(Report{"7", []Recipient{{"sip:bob@example.test", 408}}}.Append(nil))
	answer := Response{ID: "3", Command: "getConference", Code: Success, Body: i.Append(nil)}
	f.Add(answer.Append(nil))
}

// FuzzRequest: whatever is read is bounded, and its answer can be read.
func FuzzRequest(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := ParseRequest(b)
		if err != nil {
			return
		}
		answer := Response{ID: q.ID, From: q.To, To: q.From, Command: q.Command, Code: Failure, Reason: RequestMalformed, Text: q.ConfEntity + q.UserEntity}
		if q.Info != nil {
			answer.Body = q.Info.Append(nil)
		}
		if _, err := ParseResponse(answer.Append(nil)); err != nil {
			t.Fatalf("%v\n%s", err, answer.Append(nil))
		}
	})
}

// FuzzInfo: what is read and written is read again as the same.
func FuzzInfo(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := ParseInfo(b)
		if err != nil {
			return
		}
		out := i.Append(nil)
		again, err := ParseInfo(out)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if string(again.Append(nil)) != string(out) {
			t.Fatalf("%s\nbecomes\n%s", out, again.Append(nil))
		}
	})
}

// FuzzSmall reads the small documents.
func FuzzSmall(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseReport(b); err == nil {
			if _, err := ParseReport(r.Append(nil)); err != nil {
				t.Fatal(err)
			}
		}
		if i, err := ParseInvitation(b); err == nil {
			if again, err := ParseInvitation(i.Append(nil)); err != nil || again != i {
				t.Fatalf("%v %+v %+v", err, i, again)
			}
		}
		ParseResponse(b)
	})
}
