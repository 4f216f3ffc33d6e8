package presence

import (
	"fmt"
	"strings"
	"testing"

	"trivet/rule/groupstate"
	"trivet/uc"
)

// settled has a person published what a client publishes at its sign-in: states,
// notes, cards and the calendar, for all access levels.
func (s *server) settled(user uc.UserURI) {
	s.propose(&groupstate.EnableUser{User: user})
	cmd := &groupstate.Publish{User: user, Endpoint: "e", Now: s.clock.Now().UnixMilli()}
	for _, p := range userState(6500, 0) {
		cmd.Items = append(cmd.Items, groupstate.PublishItem{PublicationKey: groupstate.PublicationKey{Category: p.Category, Container: p.Container, Instance: p.Instance}, Body: p.Body})
	}
	for _, container := range []uint32{100, 200, 300, 400} {
		for _, p := range [...]struct{ name, body string }{
			{"calendarData", `<calendarData xmlns="http://schemas.microsoft.com/2006/09/sip/calendarData"><freeBusy>` + strings.Repeat("A", 400) + `</freeBusy></calendarData>`},
			{"contactCard", `<contactCard xmlns="http://schemas.microsoft.com/2006/09/sip/contactcard"><identity><name><displayName>` + user.User() + `</displayName></name></identity></contactCard>`},
			{"note", noteIn(container, 0, "in the office "+user.User()).Body},
		} {
			cmd.Items = append(cmd.Items, groupstate.PublishItem{PublicationKey: groupstate.PublicationKey{Category: p.name, Container: container}, Body: p.body})
		}
	}
	s.propose(cmd)
	s.cards.set(user, Card{DisplayName: user.User(), FirstName: "First", LastName: "Last", Email: user.Bare(), Title: "Engineer", Company: "Example", Department: "Design", Office: "3.14", WorkPhone: "+49 30 1234", MobilePhone: "+49 160 1234"})
}

// BenchmarkDocument makes the answer to a batch SUBSCRIBE to 45 people.
func BenchmarkDocument(b *testing.B) {
	s := start(b, Policy{})
	w := wish{format: groupstate.LyncBatch}
	for i := range 45 {
		user := uc.UserURI(fmt.Sprintf("sip:user%d@example.test", i))
		s.settled(user)
		w.targets = append(w.targets, user)
	}
	sub := &groupstate.Subscription{Event: eventPresence, Format: groupstate.LyncBatch, Categories: []string{"calendarData", "contactCard", "note", "state"}}
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		_, body, err := s.s.document(b.Context(), alice, sub, w)
		if err != nil {
			b.Fatal(err)
		}
		size = len(body)
	}
	b.ReportMetric(float64(size), "bytes")
}
