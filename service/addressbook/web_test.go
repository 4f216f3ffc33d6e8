package addressbook

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/uc"
	"trivet/wire/soap"
)

// folder is a directory for the tests.
type folder struct {
	photos map[string]directory.Photo
	groups map[string]directory.Expansion
	err    error
	asked  int // for photos
}

func (d *folder) Photo(_ context.Context, guid string) (directory.Photo, error) {
	d.asked++
	if p, ok := d.photos[guid]; ok {
		return p, nil
	}
	return directory.Photo{}, fault.New(fault.NotFound, "folder.Photo", "no photo")
}

func (d *folder) Expand(_ context.Context, address string, limit int) (directory.Expansion, error) {
	if d.err != nil {
		return directory.Expansion{}, d.err
	}
	x, ok := d.groups[address]
	if !ok {
		return x, fault.New(fault.NotFound, "folder.Expand", "no group")
	}
	x.Members = x.Members[:min(limit, len(x.Members))]
	return x, nil
}

func (d *folder) SearchGroups(_ context.Context, q directory.Search) ([]directory.Group, bool, error) {
	var list []directory.Group
	for _, x := range d.groups {
		if strings.HasPrefix(strings.ToLower(x.Group.DisplayName), strings.ToLower(q.Terms[0].Text)) && len(list) < q.Limit {
			list = append(list, x.Group)
		}
	}
	return list, false, nil
}

func (d *folder) ListGroups(context.Context, string, int) ([]directory.Group, error) {
	var list []directory.Group
	for _, x := range d.groups {
		list = append(list, x.Group)
	}
	return list, d.err
}

// badge takes the name in a header for a ticket.
type badge struct{ base string }

func (b *badge) Bearer(r *http.Request, path string) (uc.UserURI, error) {
	if r.Header.Get("X-MS-WebTicket") == "opaque="+path {
		return alice, nil
	}
	return "", fault.New(fault.Unauthenticated, "badge.Bearer", "no ticket").Diagnosed(soap.DiagNoToken)
}

func (b *badge) BearerEnvelope(_ context.Context, e *soap.Envelope, path string) (uc.UserURI, error) {
	if path != "/GroupExpansion" || e.Header.Path("Ticket") == nil {
		return "", fault.New(fault.Unauthenticated, "badge.BearerEnvelope", "no ticket").Diagnosed(soap.DiagNoToken)
	}
	return alice, nil
}

func (b *badge) Base(*http.Request) string   { return b.base }
func (b *badge) Issuer(*http.Request) string { return b.base + "/WebTicket/WebTicketService.svc" }

// site is the service behind HTTPS.
type site struct {
	t    *testing.T
	book *Service
	dir  *folder
	*httptest.Server
}

func open(t *testing.T, cfg Config) *site {
	t.Helper()
	dir := &folder{photos: map[string]directory.Photo{}, groups: map[string]directory.Expansion{}}
	cfg.Directory, cfg.Server = dir, "fe1.example.test"
	s := &site{t: t, book: company(t, cfg), dir: dir}
	mux, tickets := http.NewServeMux(), &badge{}
	s.book.Routes(mux, tickets)
	s.Server = httptest.NewTLSServer(mux)
	tickets.base = s.URL
	t.Cleanup(s.Close)
	return s
}

// post sends a SOAP request with a ticket.
func (s *site) post(path string, body []byte) (*http.Response, []byte) {
	s.t.Helper()
	return s.send(path, `<Ticket/>`, body)
}

func (s *site) send(path, header string, body []byte) (*http.Response, []byte) {
	s.t.Helper()
	doc := `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header>` + header + `</s:Header><s:Body>` + string(body) + `</s:Body></s:Envelope>`
	res, err := s.Client().Post(s.URL+path, "text/xml", strings.NewReader(doc))
	return s.whole(res, err)
}

func (s *site) whole(res *http.Response, err error) (*http.Response, []byte) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res, b
}

func (s *site) get(path string, headers ...string) (*http.Response, []byte) {
	s.t.Helper()
	r, err := http.NewRequest("GET", s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return s.whole(s.Client().Do(r))
}

// search returns the addresses, or mail addresses, that a query finds.
func (s *site) search(q soap.BookQuery) string {
	s.t.Helper()
	res, body := s.post(QueryPath+bearer, q.Append(nil))
	list, err := soap.ParseBookAnswer(body)
	if res.StatusCode != 200 || err != nil {
		s.t.Fatalf("%d, %v in %s", res.StatusCode, err, body)
	}
	var found []string
	for _, e := range list {
		name, _, _ := strings.Cut(e.Get("mail"), "@")
		found = append(found, name)
	}
	return strings.Join(found, " ")
}

func (s *site) sales() {
	s.dir.groups["sales@example.test"] = directory.Expansion{
		Group: directory.Group{GUID: "g", Mail: "sales@mail.test", DisplayName: "Bosses"}, Total: 4,
		Members: []directory.Entry{
			{User: person("bob", "Bob", "Müller")}, {User: person("off", "Bob", "Disabled", func(u *directory.User) { u.Enabled = false })},
			{Group: &directory.Group{Mail: "inner@mail.test", DisplayName: "Inner"}}, {Mail: "x@y.test", DisplayName: "X"},
			{User: person("hidden", "Bob", "Hidden", func(u *directory.User) { u.HideFromAddressLists = true })},
		},
	}
}

func TestDescription(t *testing.T) {
	s := open(t, Config{})
	for _, path := range []string{QueryPath, "/groupexpansion/service.svc", "/GroupExpansion/int/service.asmx", "/groupexpansion/ext/service.asmx"} {
		res, body := s.get(path + "/mex")
		p, ok, err := soap.FindPort(body, "AddressBookWebTicketBearer")
		if res.StatusCode != 200 || err != nil || !ok || p.Proof != soap.Bearer || !strings.HasSuffix(p.Location, "/WebTicket_Bearer") || p.Issuer != s.URL+"/WebTicket/WebTicketService.svc" {
			t.Errorf("%s: %d, %+v, %v", path, res.StatusCode, p, err)
		}
		if r, _ := s.post(strings.TrimPrefix(p.Location, s.URL), soap.AppendGroupQuery(nil, "x@y.test")); r.StatusCode != 200 {
			t.Errorf("%s leads to %d", path, r.StatusCode)
		}
	}
}

func TestWebSearch(t *testing.T) {
	s := open(t, Config{})
	s.sales()
	terms := func(pairs ...string) (list []soap.BookTerm) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, soap.BookTerm{SearchOn: pairs[i], Value: pairs[i+1]})
		}
		return list
	}
	basic := func(value string, attributes ...string) *soap.BookBasic {
		return &soap.BookBasic{Attributes: attributes, Value: value, Verb: "BeginsWith"}
	}
	for _, c := range []struct {
		what string
		q    soap.BookQuery
		want string
	}{
		{"names are beginnings", soap.BookQuery{Changes: terms("givenName", "bo", "sn", "tab")}, "bobby"},
		{"an address is meant whole", soap.BookQuery{Changes: terms("msRTCSIP-PrimaryUserAddress", "sip:bob@example")}, ""},
		{"a whole address", soap.BookQuery{Changes: terms("msRTCSIP-PrimaryUserAddress", "sip:bob@example.test"), Max: 1}, "bob"},
		{"many addresses at once", soap.BookQuery{Changes: terms("msRTCSIP-PrimaryUserAddress", "sip:bob@example.test", "msrtcsip-primaryuseraddress", "sip:alice@example.test", "mail", "bobby@mail.test")}, "bob alice bobby"},
		{"many, but not too many", soap.BookQuery{Changes: terms("mail", "bob@mail.test", "mail", "alice@mail.test"), Max: 1}, "bob"},
		{"any attribute", soap.BookQuery{Basic: basic("mül", "givenName", "sn")}, "bob"},
		{"every word", soap.BookQuery{Basic: basic("muller bo", "displayName", "mail")}, "bob"},
		{"a number", soap.BookQuery{Basic: basic("+49 30", "displayName", "telephoneNumber")}, "bob"},
		{"typed on a phone", soap.BookQuery{Basic: basic("4930", "telephoneNumber"), FromDialPad: true}, "bob"},
		{"no attributes are all", soap.BookQuery{Basic: basic("contoso")}, "bob"},
		{"those without an address, and groups", soap.BookQuery{Basic: basic("bo", "displayName")}, "off mailonly bob bobby sales"},
		{"limit", soap.BookQuery{Basic: basic("bo", "displayName"), Max: 2}, "mailonly bob"},
		{"nobody", soap.BookQuery{Basic: basic("zz", "displayName")}, ""},
	} {
		if got := s.search(c.q); got != c.want && !(c.what == "limit" && len(strings.Fields(got)) == 2) {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
}

func TestEntryHasWhatIsAskedFor(t *testing.T) {
	s := open(t, Config{})
	one := func(names ...string) soap.BookEntry {
		_, body := s.post(QueryPath, soap.BookQuery{Changes: []soap.BookTerm{{SearchOn: "mail", Value: "bob@mail.test"}}, Return: names}.Append(nil))
		list, err := soap.ParseBookAnswer(body)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d, %v", len(list), err)
		}
		return list[0]
	}
	names := func(e soap.BookEntry) (list []string) {
		for _, a := range e {
			list = append(list, a.Name)
		}
		return list
	}
	if got := names(one("C", "displayname", "shoeSize", "telephoneNumber", "photoHash")); !slices.Equal(got, []string{"displayName", "country", "telephoneNumber"}) {
		t.Errorf("asked for: %q", got)
	}
	e := one()
	if e.Get("title") != `Head of "R&D" <x>` || e.Get("msRTCSIP-PrimaryUserAddress") != "sip:bob@example.test" || e.Get("telephoneNumber") != "+49 30 1234" {
		t.Errorf("everything: %+v", e)
	}
	if i := slices.Index(names(e), "telephoneNumber"); !e[i].Many {
		t.Error("a telephone number is not a list")
	}
}

func TestExpansion(t *testing.T) {
	most := 10
	s := open(t, Config{Rights: func(uc.UserURI) Rights { return Rights{Groups: most} }})
	s.sales()
	expand := func(mail string) soap.GroupAnswer {
		_, body := s.post(QueryPath, soap.AppendGroupQuery(nil, mail))
		a, err := soap.ParseGroupAnswer(body)
		if err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		return a
	}
	want := []soap.GroupMember{
		{Kind: "User", DisplayName: "Bob Müller", URI: "sip:bob@example.test", Mail: "bob@mail.test"}, {Kind: "User", DisplayName: "Bob Disabled", Mail: "off@mail.test"},
		{Kind: "Group", DisplayName: "Inner", Mail: "inner@mail.test"}, {Kind: "Contact", DisplayName: "X", Mail: "x@y.test"},
	}
	if a := expand("sales@example.test"); a.State != soap.ExpandSuccess || !slices.Equal(a.Members, want) {
		t.Errorf("%+v", a)
	}
	if a := expand("nobody@example.test"); a.State != soap.ExpandNotFound {
		t.Errorf("unknown: %+v", a)
	}
	most = 4
	if a := expand("sales@example.test"); a.State != soap.ExpandSuccess {
		t.Errorf("as many as allowed: %+v", a)
	}
	most = 3
	if a := expand("sales@example.test"); a.State != soap.ExpandTooLarge || len(a.Members) != 0 {
		t.Errorf("too many: %+v", a)
	}
	most = 0
	if a := expand("sales@example.test"); a.State != soap.ExpandNotAuthorized {
		t.Errorf("switched off: %+v", a)
	}
	most = 10
	x := s.dir.groups["sales@example.test"]
	x.Group.HideFromAddressLists = true
	s.dir.groups["sales@example.test"] = x
	if a := expand("sales@example.test"); a.State != soap.ExpandNotFound {
		t.Errorf("hidden: %+v", a)
	}
	if !s.book.expanding.TryAcquire(maxExpanding) {
		t.Fatal("an expansion has not ended")
	}
	if a := expand("sales@example.test"); a.State != soap.ExpandBusy {
		t.Errorf("too many at once: %+v", a)
	}
	s.book.expanding.Release(maxExpanding)
	s.dir.err = fault.New(fault.Unavailable, "folder.Expand", "down")
	if res, _ := s.post(QueryPath, soap.AppendGroupQuery(nil, "sales@example.test")); res.StatusCode != 503 {
		t.Errorf("a directory that is down: %d", res.StatusCode)
	}
}

func TestRefusedWebRequests(t *testing.T) {
	may := Rights{Search: true}
	s := open(t, Config{Rights: func(uc.UserURI) Rights { return may }})
	good := soap.BookQuery{Changes: []soap.BookTerm{{SearchOn: "sn", Value: "m"}}}.Append(nil)
	for _, c := range []struct {
		what, header string
		body         []byte
		may          Rights
		status, diag int
		code         string
	}{
		{"no ticket", "", good, may, 500, soap.DiagNoToken, "wsse:FailedAuthentication"},
		{"policy", "<Ticket/>", good, Rights{}, 403, 0, "s:Client"},
		{"no operation", "<Ticket/>", []byte("<Other/>"), may, 500, 0, "s:Client"},
		{"two operations", "<Ticket/>", append(good[:len(good):len(good)], good...), may, 500, 0, "s:Client"},
		{"unknown attribute", "<Ticket/>", soap.BookQuery{Changes: []soap.BookTerm{{SearchOn: "shoe", Value: "4"}}}.Append(nil), may, 500, 0, "s:Client"},
		{"empty search", "<Ticket/>", soap.BookQuery{Basic: &soap.BookBasic{}}.Append(nil), may, 500, 0, "s:Client"},
		{"unknown verb", "<Ticket/>", soap.BookQuery{Basic: &soap.BookBasic{Value: "x", Verb: "Contains"}}.Append(nil), may, 500, 0, "s:Client"},
		{"too large", "<Ticket/>", bytes.Repeat([]byte("x"), soap.MaxDocument), may, 500, 0, "s:Client"},
	} {
		may = c.may
		res, body := s.send(QueryPath, c.header, c.body)
		e, err := soap.ParseEnvelope(body)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		f, ok := soap.ParseFault(e)
		if res.StatusCode != c.status || !ok || f.Code != c.code || f.Diag != c.diag || f.Reason == "" || (c.diag != 0) != (res.Header.Get("X-Ms-Diagnostics") != "") {
			t.Errorf("%s: %d, %+v", c.what, res.StatusCode, f)
		}
	}
	may = Rights{Search: true}
	res, err := s.Client().Get(s.URL + QueryPath)
	if res, _ = s.whole(res, err); res.StatusCode != 405 {
		t.Errorf("GET: %d", res.StatusCode)
	}
}

func TestWebRequestsAreBounded(t *testing.T) {
	s := open(t, Config{})
	for range burst {
		if err := s.book.brake.check(alice, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	body := soap.BookQuery{Changes: []soap.BookTerm{{SearchOn: "sn", Value: "m"}}}.Append(nil)
	if res, _ := s.post(QueryPath, body); res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" {
		t.Errorf("a search beyond the limit: %d %v", res.StatusCode, res.Header)
	}
	if res, _ := s.get(FilesPath+"/P-guid-bob", "X-MS-WebTicket", "opaque=/abs"); res.StatusCode != 503 {
		t.Errorf("a photo beyond the limit: %d", res.StatusCode)
	}
}

func TestPhotos(t *testing.T) {
	may := Rights{Search: true, Photos: true}
	s := open(t, Config{Rights: func(uc.UserURI) Rights { return may }})
	data := []byte("\xff\xd8\xff picture")
	s.dir.photos["guid-eve"] = directory.Photo{Type: "image/jpeg", Data: data, Hash: "h1"}
	s.book.Changed(nil, person("eve", "Eve", "Photo", func(u *directory.User) { u.PhotoHash = "h1" }))
	find := func() soap.BookEntry {
		_, body := s.post(QueryPath, soap.BookQuery{Changes: []soap.BookTerm{{SearchOn: "sn", Value: "photo"}}, Return: []string{"photoRelPath", "photoSize", "photoHash"}}.Append(nil))
		list, err := soap.ParseBookAnswer(body)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d, %v", len(list), err)
		}
		return list[0]
	}
	e := find()
	if e.Get("PhotoHash") != "h1" || e.Get("PhotoSize") != "11" || e.Get("PhotoRelPath") == "" {
		t.Errorf("%+v", e)
	}
	if find(); s.dir.asked != 1 {
		t.Errorf("searches read the photo %d times", s.dir.asked)
	}
	path := FilesPath + "/" + e.Get("PhotoRelPath")
	const ticket = "X-MS-WebTicket"
	for _, c := range []struct {
		what, path string
		headers    []string
		may        Rights
		status     int
	}{
		{"with the ticket of the query", path, []string{ticket, "opaque=/GroupExpansion"}, may, 200},
		{"with one of its own", path, []string{ticket, "opaque=/abs"}, may, 200},
		{"by another spelling", strings.Replace(path, "/abs/handler", "/ABS/int/Handler", 1), []string{ticket, "opaque=/abs"}, may, 200},
		{"unchanged", path, []string{ticket, "opaque=/abs", "If-None-Match", `"h1"`}, may, 304},
		{"changed", path, []string{ticket, "opaque=/abs", "If-None-Match", `"h0"`}, may, 200},
		{"no ticket", path, nil, may, 401},
		{"a cookie or a password is no ticket", path, []string{"Cookie", "x=/abs", "Authorization", "Basic YWxpY2U6eA=="}, may, 401},
		{"ticket for another service", path, []string{ticket, "opaque=/CertProv"}, may, 401},
		{"policy", path, []string{ticket, "opaque=/abs"}, Rights{Search: true}, 403},
		{"nobody's", FilesPath + "/P-guid-nobody", []string{ticket, "opaque=/abs"}, may, 404},
		{"of somebody without", FilesPath + "/P-guid-bob", []string{ticket, "opaque=/abs"}, may, 404},
		{"not a photo", FilesPath + "/X-1", []string{ticket, "opaque=/abs"}, may, 404},
	} {
		was := may
		may = c.may
		res, body := s.get(c.path, c.headers...)
		may = was
		if res.StatusCode != c.status {
			t.Errorf("%s: %d %s", c.what, res.StatusCode, body)
		}
		switch c.status {
		case 200:
			if !bytes.Equal(body, data) || res.Header.Get("ETag") != `"h1"` || res.Header.Get("Content-Type") != "image/jpeg" || !strings.Contains(res.Header.Get("Cache-Control"), "private") {
				t.Errorf("%s: %q, %v", c.what, body, res.Header)
			}
		case 401, 403, 404:
			var p struct{ Detail string }
			if err := json.Unmarshal(body, &p); err != nil || p.Detail == "" || res.Header.Get("ETag") != "" {
				t.Errorf("%s: %s, %v", c.what, body, res.Header)
			}
			if c.status == 401 && res.Header.Get("X-MS-WebTicketURL") != s.URL+"/WebTicket/WebTicketService.svc" {
				t.Errorf("%s: %v", c.what, res.Header)
			}
		}
	}
	if may = (Rights{Search: true}); find().Get("PhotoHash") != "" {
		t.Error("photos are told of where policy does not show them")
	}
}
