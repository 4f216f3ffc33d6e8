package interop

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"trivet/test/peer/pidgin"
)

// The staff, see there.
const (
	jonas  = "sip:jonas@" + domain
	joanna = "sip:joanna@" + domain
	johan  = "sip:johan@" + domain
)

// found are the addresses that a search shows, in alphabetical order.
func found(rows []pidgin.Event) (who []string) {
	for _, r := range rows {
		who = append(who, "sip:"+r["User name"])
	}
	slices.Sort(who)
	return who
}

// staff adds people with names to the directory of the demo.
func staff(t *testing.T, s *Server) {
	t.Helper()
	for _, p := range [][]string{
		{"jonas", "-FirstName", "Jonas", "-LastName", "Bäcker-Groß", "-DisplayName", "Jonas Bäcker-Groß", "-Company", "Nordlicht & Söhne",
			"-Title", "Head of <Baking>", "-Office", "B 12", "-WindowsEmailAddress", "jonas.baecker@mail.test", "-Phone", "+4930123456"},
		{"joanna", "-FirstName", "Joanna", "-LastName", "Backhaus", "-DisplayName", "Joanna Backhaus", "-Company", "Nordlicht & Söhne"},
		{"johan", "-FirstName", "Johan", "-LastName", "Clark", "-DisplayName", "Johan Clark", "-WindowsEmailAddress", "johan@mail.test"},
	} {
		s.Cmdlet(t, append([]string{"New-CsUser", p[0] + "@" + domain, "-GeneratePassword"}, p[1:]...)...)
	}
}

// searches are what is asked, by the names of the form's fields, and who is found.
var searches = []struct {
	fields []string
	want   []string
}{
	{[]string{"given", "Bob"}, []string{bob}},
	{[]string{"given", "Bob", "surname", "Builder"}, []string{bob}},
	{[]string{"given", "Bob", "surname", "Clark"}, nil}, // both must fit
	{[]string{"surname", "Bäcker-Groß"}, []string{jonas}},
	{[]string{"email", "johan@mail.test"}, []string{johan}},
	{[]string{"sipid", "carol@" + domain}, []string{carol}},
	{[]string{"company", "Nordlicht & Söhne"}, []string{joanna, jonas}},
	{[]string{"given", `Nobody" & <so>`, "surname", "'"}, nil},
	// Parts of names, in any case, with accents or without.
	{[]string{"given", "Jo"}, []string{joanna, johan, jonas}},
	{[]string{"given", "jO", "surname", "bac"}, []string{joanna, jonas}},
	{[]string{"given", "JOA"}, []string{joanna}},
	{[]string{"surname", "Clar"}, []string{carol, johan}},
	{[]string{"email", "jonas.b"}, []string{jonas}},
}

func TestSearchByName(t *testing.T) {
	t.Parallel()
	s := Start(t)
	staff(t, s)
	for _, way := range []struct {
		name, sign string // what stands in the client's log
		account    pidgin.Account
	}{
		{"web", "SearchAbEntryResponse", s.Account(alice)},
		{"SIP", "directorySearch", withoutWeb(s, alice)},
	} {
		t.Run(way.name, func(t *testing.T) {
			a := pidgin.Start(t, way.account).SignOn(t)
			for _, c := range searches {
				if got := found(a.Search(t, c.fields...)); !slices.Equal(got, c.want) {
					t.Errorf("search for %q finds %q, want %q", c.fields, got, c.want)
				}
			}
			row := a.Search(t, "given", "Jonas")[0]
			if row["Name"] != "Jonas Bäcker-Groß" || row["Company"] != "Nordlicht & Söhne" || row["Email"] != "jonas.baecker@mail.test" {
				t.Errorf("jonas is shown as %v", row)
			}
			if !strings.Contains(a.DebugLog(), way.sign) {
				t.Errorf("the log of the client has no %s", way.sign)
			}
			a.AddBuddy(t, "sip:"+row["User name"], "Found by "+way.name) // and can be made a contact
			a.AwaitBuddy(t, jonas, "name", func(b pidgin.Buddy) bool { return b.Name() == "Jonas Bäcker-Groß" })
		})
	}
}

// withoutWeb is the account of somebody whose machine does not reach the web
// services: the client then searches by SIP.
func withoutWeb(s *Server, who string) pidgin.Account {
	a := s.Account(who)
	a.Routes = map[string]string{s.at(8443): "127.0.0.1:1"}
	return a
}

func TestSearchSeesChanges(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a := s.Pidgin(t, alice)
	if got := found(a.Search(t, "surname", "Newman")); got != nil {
		t.Errorf("a search finds %q before anybody has the name", got)
	}
	s.Cmdlet(t, "Set-CsUser", mailbox(bob), "-LastName", "Newman", "-DisplayName", "Bob Newman")
	if got := found(a.Search(t, "surname", "newm")); !slices.Equal(got, []string{bob}) {
		t.Errorf("a search by the new name finds %q, want bob", got)
	}
	if got := found(a.Search(t, "surname", "Builder")); got != nil {
		t.Errorf("a search by the old name finds %q", got)
	}
	s.Cmdlet(t, "Disable-CsUser", mailbox(bob))
	if got := found(a.Search(t, "surname", "newm")); got != nil {
		t.Errorf("a search finds %q, who has no address any more", got)
	}
}

func TestGetInfo(t *testing.T) {
	t.Parallel()
	s := Start(t)
	staff(t, s)
	markup := strings.NewReplacer("&amp;", "&", "&lt;", "<", "&gt;", ">")
	for _, way := range []struct {
		name    string
		account pidgin.Account
		more    []string
	}{
		{"web", s.Account(alice), nil}, // the client shows no office then
		{"SIP", withoutWeb(s, alice), []string{"B 12"}},
	} {
		t.Run(way.name, func(t *testing.T) {
			a := pidgin.Start(t, way.account).SignOn(t)
			card := markup.Replace(a.Info(t, jonas).String()) // who is no contact: the directory knows
			for _, want := range append(way.more, "Jonas Bäcker-Groß", "Nordlicht & Söhne", "Head of <Baking>", "jonas.baecker@mail.test", "+4930123456") {
				if !strings.Contains(card, want) {
					t.Errorf("the window with jonas's card shows %s, want %s in it", card, want)
				}
			}
		})
	}
}

// picture writes a photo of one colour and returns its file and its hash.
func picture(t *testing.T, c color.Color) (file, hash string) {
	t.Helper()
	photo := image.NewRGBA(image.Rect(0, 0, 48, 48))
	draw.Draw(photo, photo.Bounds(), image.NewUniform(c), image.Point{}, draw.Src)
	var b bytes.Buffer
	err := jpeg.Encode(&b, photo, nil)
	file = filepath.Join(t.TempDir(), "photo.jpg")
	if err == nil {
		err = os.WriteFile(file, b.Bytes(), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file, fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
}

func TestPhotoIsShown(t *testing.T) {
	t.Parallel()
	s := Start(t)
	awaitPhoto := func(c *pidgin.Client, what, hash string) {
		t.Helper()
		c.AwaitBuddy(t, bob, what, func(b pidgin.Buddy) bool { return b.Photo == hash })
	}
	red, redHash := picture(t, color.RGBA{R: 200, A: 255})
	s.Cmdlet(t, "Set-CsUserPhoto", mailbox(bob), "-PictureData", red)
	a := s.Pidgin(t, alice)
	awaitPhoto(a, "the photo", redHash)
	if r := a.Roster(t); slices.ContainsFunc(r.Buddies, func(b pidgin.Buddy) bool { return b.Who != bob && b.Photo != "" }) {
		t.Errorf("somebody without a photo is shown with one: %+v", r.Buddies)
	}

	green, greenHash := picture(t, color.RGBA{G: 200, A: 255})
	s.Cmdlet(t, "Set-CsUserPhoto", mailbox(bob), "-PictureData", green)
	a.Disconnect(t)
	a.SignOn(t) // the client asks when it signs in
	awaitPhoto(a, "the new photo", greenHash)

	s.Cmdlet(t, "New-CsClientPolicy", "Plain", "-DisplayPhoto", "NoPhoto")
	s.Cmdlet(t, "Grant-CsClientPolicy", mailbox(carol), "Plain")
	c := s.Pidgin(t, carol)
	c.Info(t, bob) // asked behind the photos, over the same service
	if b, _ := c.Roster(t).Find(bob, ""); b.Photo != "" {
		t.Error("carol sees a photo, whose policy allows none")
	}
}
