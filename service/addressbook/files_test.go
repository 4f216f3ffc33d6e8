package addressbook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/rule/directory"
	"trivet/rule/phonenorm"
	"trivet/uc"
	"trivet/wire/absfile"
)

// watch is a clock that stands, and whose ticks are given.
type watch struct {
	clock.Real
	now   time.Time
	ticks chan time.Time
}

func (w *watch) Now() time.Time                       { return w.now }
func (w *watch) NewTicker(time.Duration) clock.Ticker { return w }
func (w *watch) C() <-chan time.Time                  { return w.ticks }
func (w *watch) Stop()                                {}

// press makes address book files in a folder of its own.
type press struct {
	*testing.T
	*Service
	dir *folder
	at  *watch
	set FileSettings
}

// noon is local, so that the days of the test are those of the files.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.Local)

func newPress(t *testing.T) *press {
	p := &press{T: t, dir: &folder{groups: map[string]directory.Expansion{}}, at: &watch{now: noon}, set: defaultFiles()}
	p.set.MaxDeltaFileSizePercentage = 100
	p.Service = New(Config{Directory: p.dir, Folder: filepath.Join(t.TempDir(), "abs"), Clock: p.at, Server: "fe1", Files: func() FileSettings { return p.set }})
	p.add("1", "Ann", "One", "+49 (30) 1")
	p.add("2", "Bob", "Two", "+1 425 555 0100")
	for i := range 20 { // so that a few are little of the whole
		u := person(fmt.Sprint("filler", i), "Filler", fmt.Sprint(i))
		u.GUID = fmt.Sprintf("10000000-0000-4000-8000-0000000001%02x", i+0x20)
		p.Changed(nil, u)
	}
	return p
}

const fillers = 20

func guid(n string) string { return "00000000-0000-4000-8000-00000000000" + n }

func (p *press) add(n, first, last, phone string) {
	was, _ := p.people.Get(guid(n))
	u := person(first, first, last)
	u.GUID, u.Phone = guid(n), phone
	p.Changed(was, u)
}

func (p *press) remove(n string) {
	was, _ := p.people.Get(guid(n))
	p.Changed(was, nil)
}

// run does what is due.
func (p *press) run() {
	p.Helper()
	if err := p.due(p.Context()); err != nil {
		p.Fatal(err)
	}
}

func (p *press) names() string {
	var list []string
	entries, err := os.ReadDir(p.cfg.Folder)
	if err != nil {
		p.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

// book reads a file: what it has, by the last digit of the GUID; nil for who is gone.
func (p *press) book(name string) map[byte][]absfile.Value {
	p.Helper()
	b, err := os.ReadFile(filepath.Join(p.cfg.Folder, name))
	if err != nil {
		p.Fatal(err)
	}
	r, err := absfile.NewReader(bytes.NewReader(b))
	if err != nil {
		p.Fatal(err)
	}
	if r.String() != name || r.Source != "fe1" {
		p.Errorf("%s says that it is %s of %s", name, r, r.Source)
	}
	all := map[byte][]absfile.Value{}
	for {
		c, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			p.Fatal(err)
		}
		all[c.GUID[15]] = c.Values
	}
}

func values(book map[byte][]absfile.Value, who byte, id uint8) (list []string) {
	for _, v := range book[who] {
		if v.ID == id {
			list = append(list, v.Text)
		}
	}
	return list
}

const (
	idName  = 4
	idPhone = 10
	idMail  = 17
)

func TestDailyFiles(t *testing.T) {
	p := newPress(t)
	today := localDay(noon)
	full, next := fmt.Sprintf("F-%04X.lsabs", today), fmt.Sprintf("F-%04X.lsabs", today+1)
	p.run()
	if got := p.names(); got != full {
		t.Fatalf("the first run made %s", got)
	}
	b := p.book(full)
	if len(b) != 2+fillers || !slices.Equal(values(b, 1, idName), []string{"Ann One"}) || !slices.Equal(values(b, 2, idPhone), []string{"+1 425 555 0100", "+14255550100"}) ||
		!slices.Equal(values(b, 1, idMail), []string{"Ann@mail.test"}) {
		t.Errorf("%v", b)
	}
	p.at.now = noon.Add(12*time.Hour + 89*time.Minute)
	if p.run(); p.names() != full {
		t.Errorf("at 01:29 there is %s", p.names())
	}
	p.add("2", "Bob", "Married", "+1 425 555 0100")
	p.remove("1")
	p.add("3", "Cid", "Three", "no number")
	p.at.now = p.at.now.Add(time.Minute)
	p.run()
	delta := fmt.Sprintf("D-%04X-%04X.lsabs", today, today+1)
	if got, want := p.names(), delta+" "+full+" "+next; got != want {
		t.Fatalf("at 01:30 there is %s, want %s", got, want)
	}
	d := p.book(delta)
	if len(d) != 3 || len(d[1]) != 0 || !slices.Equal(values(d, 2, idName), []string{"Bob Married"}) || !slices.Equal(values(d, 3, idPhone), []string{"no number"}) {
		t.Errorf("%v", d)
	}
	if f := p.book(next); len(f) != 2+fillers || f[1] != nil {
		t.Errorf("%v", f)
	}
	made, err := os.Stat(filepath.Join(p.cfg.Folder, next))
	if err != nil {
		t.Fatal(err)
	}
	p.at.now = p.at.now.Add(time.Hour)
	p.run()
	if again, err := os.Stat(filepath.Join(p.cfg.Folder, next)); err != nil || !again.ModTime().Equal(made.ModTime()) {
		t.Errorf("the full file was made twice: %v", err)
	}
}

func TestChangesOfTheDay(t *testing.T) {
	p := newPress(t)
	p.run()
	today := localDay(noon)
	full, delta := fmt.Sprintf("F-%04X.lsabs", today), fmt.Sprintf("D-%04X-%04X.lsabs", today, today)
	step := func(want string) {
		t.Helper()
		p.at.now = p.at.now.Add(p.set.SynchronizePollingInterval)
		if p.run(); p.names() != want {
			t.Errorf("there is %s, want %s", p.names(), want)
		}
	}
	step(full) // nothing changed
	p.add("2", "Bob", "Married", "")
	p.at.now = p.at.now.Add(p.set.SynchronizePollingInterval - time.Second)
	if p.run(); p.names() != full {
		t.Errorf("before it is looked for changes there is %s", p.names())
	}
	step(delta + " " + full)
	if d := p.book(delta); len(d) != 1 || !slices.Equal(values(d, 2, idName), []string{"Bob Married"}) {
		t.Errorf("%v", d)
	}
	p.add("2", "Bob", "Two", "+1 425 555 0100")
	step(full) // as it was
	p.dir.groups["g"] = directory.Expansion{Group: directory.Group{GUID: guid("7"), Mail: "g@mail.test", DisplayName: "Group", WhenChanged: noon}}
	step(delta + " " + full)
	if d := p.book(delta); !slices.Equal(values(d, 7, idMail), []string{"g@mail.test"}) || !slices.Equal(values(d, 7, 19), []string{"2"}) {
		t.Errorf("%v", d)
	}
	if _, err := p.Update(t.Context()); err != nil || p.names() != full {
		t.Errorf("after a new full file there is %s, %v", p.names(), err)
	}
	p.set.MaxDeltaFileSizePercentage = 12
	p.add("3", "Cid", "Three", "")
	step(full) // too much for a delta
	if f := p.book(full); len(f) != 4+fillers {
		t.Errorf("%v", f)
	}
}

func TestUpdateAtOnceAndOldFiles(t *testing.T) {
	p := newPress(t)
	today := localDay(noon)
	for range 4 {
		p.run()
		p.add("2", "Bob", p.at.now.String(), "")
		p.at.now = p.at.now.AddDate(0, 0, 1)
	}
	p.set.KeepDuration = 2
	made, err := p.Update(t.Context())
	if err != nil || made.Name != fmt.Sprintf("F-%04X.lsabs", today+4) || made.Contacts != 2+fillers || made.Deltas != 2 || made.Bytes == 0 {
		t.Errorf("%+v, %v", made, err)
	}
	for _, n := range p.stored() {
		if n.Day < today+2 {
			t.Errorf("%s is still there", n)
		}
	}
	for _, from := range []absfile.Day{today + 2, today + 3} {
		p.book(fmt.Sprintf("D-%04X-%04X.lsabs", from, today+4))
	}
}

func TestDamagedFilesAndFailures(t *testing.T) {
	p := newPress(t)
	p.run()
	yesterday := p.path(absfile.Name{Full: true, Day: localDay(noon)})
	b, err := os.ReadFile(yesterday)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(yesterday, b[:len(b)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	p.at.now = noon.AddDate(0, 0, 1)
	if made, err := p.Update(t.Context()); err != nil || made.Deltas != 0 {
		t.Errorf("beside a damaged file: %+v, %v", made, err)
	}
	if strings.Contains(p.names(), ".new") || strings.Contains(p.names(), "D-") {
		t.Errorf("left behind: %s", p.names())
	}
	p.dir.err = fault.New(fault.Unavailable, "folder", "down")
	p.at.now = noon.AddDate(0, 0, 2)
	if err := p.due(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without a directory: %v", err)
	}
	p.dir.err = nil
	if p.run(); strings.Count(p.names(), "F-") != 1 {
		t.Errorf("right after a failure: %s", p.names())
	}
	p.at.now = p.at.now.Add(pause)
	if p.run(); strings.Count(p.names(), "F-") != 2 {
		t.Errorf("a while after: %s", p.names())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Update(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("when the server stops: %v", err)
	}
}

func TestRun(t *testing.T) {
	p := newPress(t)
	p.at.ticks = make(chan time.Time)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Service.Run(ctx) }()
	p.at.ticks <- noon
	p.at.ticks <- noon // the first has been dealt with
	if p.names() == "" {
		t.Error("no file was made")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCompanyRules(t *testing.T) {
	p := newPress(t)
	rules, wrong := phonenorm.Parse("(\\d{4})\n+1425555$1\n(?=a)b\n$1")
	p.cfg.Rules = func() (phonenorm.Rules, []error) { return rules, wrong }
	p.add("3", "Cid", "Three", "12-34")
	phone := func(who byte) []string {
		made, err := p.Update(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(made.Wrong, wrong) {
			t.Errorf("the result tells %v of %v", made.Wrong, wrong)
		}
		return values(p.book(made.Name), who, idPhone)
	}
	if got := phone(3); !slices.Equal(got, []string{"12-34", "+14255551234"}) {
		t.Errorf("%q", got)
	}
	rules, wrong = nil, []error{errors.New("unreadable")}
	if got := phone(2); !slices.Equal(got, []string{"+1 425 555 0100", "+14255550100"}) {
		t.Errorf("with rules that cannot be read: %q", got)
	}
	p.set.IgnoreGenericRules = true
	if got := phone(2); len(got) != 1 {
		t.Errorf("without the built-in rules: %q", got)
	}
	p.set.IgnoreGenericRules, p.set.UseNormalizationRules, wrong = false, false, nil
	if got := phone(2); len(got) != 1 {
		t.Errorf("without rules: %q", got)
	}
}

func TestDownload(t *testing.T) {
	may := Rights{Files: true}
	s := open(t, Config{Folder: t.TempDir(), Rights: func(uc.UserURI) Rights { return may }})
	s.book.Changed(nil, person("x", "X", "Y", func(u *directory.User) { u.GUID = guid("1") }))
	made, err := s.book.Update(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const ticket = "X-MS-WebTicket"
	res, body := s.get(FilesPath+"/"+strings.ToLower(made.Name), ticket, "opaque=/abs")
	if res.StatusCode != 200 || int64(len(body)) != made.Bytes {
		t.Errorf("%d with %d bytes, want %d", res.StatusCode, len(body), made.Bytes)
	}
	if res, body := s.get(FilesPath+"/"+made.Name, ticket, "opaque=/abs", "Range", "bytes=10-19"); res.StatusCode != 206 || len(body) != 10 {
		t.Errorf("a part: %d with %d bytes", res.StatusCode, len(body))
	}
	if res, _ := s.get(FilesPath+"/"+made.Name, ticket, "opaque=/abs", "If-Modified-Since", res.Header.Get("Last-Modified")); res.StatusCode != 304 {
		t.Errorf("unchanged: %d", res.StatusCode)
	}
	for path, want := range map[string]int{"/F-0001.lsabs": 404, "/..%2fusers.db": 404, "/" + made.Name + ".new": 404} {
		if res, _ := s.get(FilesPath+path, ticket, "opaque=/abs"); res.StatusCode != want {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if res, _ := s.get(FilesPath + "/" + made.Name); res.StatusCode != 401 {
		t.Errorf("without a ticket: %d", res.StatusCode)
	}
	may = Rights{}
	if res, _ := s.get(FilesPath+"/"+made.Name, ticket, "opaque=/abs"); res.StatusCode != 403 {
		t.Errorf("policy: %d", res.StatusCode)
	}
}

// BenchmarkUpdate makes the files of a company of 80,000, with one delta.
func BenchmarkUpdate(b *testing.B) {
	at := &watch{now: noon}
	s := New(Config{Directory: &folder{}, Folder: b.TempDir(), Clock: at})
	for i := range 80_000 {
		u := person(fmt.Sprintf("user%d", i), fmt.Sprintf("First%d", i%997), fmt.Sprintf("Last%d", i%4999))
		u.GUID, u.Phone, u.Company = fmt.Sprintf("00000000-0000-4000-8000-%012x", i*7919), fmt.Sprintf("+1 425 %07d", i), "Contoso"
		s.Changed(nil, u)
	}
	if _, err := s.Update(b.Context()); err != nil {
		b.Fatal(err)
	}
	at.now = noon.AddDate(0, 0, 1)
	b.ReportAllocs()
	for b.Loop() {
		made, err := s.Update(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(made.Bytes), "bytes")
	}
}
