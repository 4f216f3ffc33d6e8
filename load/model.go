package load

import (
	"math"
	"time"
)

// Act is something that a simulated user, or one of its endpoints, does.
type Act uint8

// The acts. Those up to Conference come by chance at the rate of their row; the ones
// behind follow from others or from the protocol.
const (
	Publish Act = iota
	Talk
	PollCard
	PollClick
	PollMail
	PollRest
	Search
	Short
	Conference

	SignIn
	Again
	Ready
	Message
	Typing
	EndTalk
	PollResults
	EndShort
	Contacts
	Provisioning
	Self
	Batch
	Containers
	FirstPublish
	Acknowledge
	FillContacts
	Renew
	Resubscribe
	KeepAlive
	SignOut
	Join
	Roster
	JoinChat
	Speak
	Quit
	acts int = iota
)

// chance is how many acts come by chance: Publish to Conference.
const chance = int(Conference) + 1

// Whose says what the count of a row is multiplied with.
type Whose uint8

// The bases of a rate.
const (
	PerUser Whose = iota
	PerEndpoint
	PerTalk
	PerMessage
	PerSearch
	PerShort
	PerConference
	PerJoin
)

var whose = [...]string{"user", "endpoint", "session", "message", "search", "short subscription", "conference", "participant"}

func (w Whose) String() string { return whose[w] }

// Row is a line of the user model: Count times per Per (once in a session when Per
// is zero) and Whose.
type Row struct {
	Act    Act
	Name   string
	Count  float64
	Per    time.Duration
	Whose  Whose
	Source string // where in the published model the number stands, or what it follows from
}

// Model is a user model as a table.
type Model struct {
	Name      string
	Session   time.Duration // how long an endpoint stays signed in
	Day       time.Duration // from one sign-in to the next
	Window    time.Duration // in which everybody signs in
	Endpoints float64       // per user
	Contacts  int           // internal contacts of a user: one batch subscription
	Messages  int           // of a session of messages, both sides together
	Typings   int           // notices with each message
	Found     int           // people a search finds
	Rows      []Row
	// Omitted are the parts of the published model that are not played, and why.
	Omitted []Omission
}

// Omission is a part of the published model that is not played.
type Omission struct{ What, Why string }

const day = 12 * time.Hour // a day in the model is the time signed in

// polls is the published total of presence polls per user and hour; the parts that
// are named explain the rest but for restOfPolls.
const (
	polls       = 60
	restOfPolls = polls - 2.0/12 - 1 - 5*4 - 6*3
)

// Conferences: how many take part on average, and how many with messages begin per
// user and hour when 5 % of the users are in one and each lasts an hour: 10 % are
// for messages only, 75 % are web conferences, half of them with messages.
const (
	participants = 0.85*4 + 0.10*6 + 0.05*11
	conferences  = (0.10 + 0.75*0.50) * 0.05 / participants
)

// Lync2013 is the published user model of Lync Server 2013 (Capacity planning, user
// models), the parts that a Standard Edition serves. A day is the 12 hours signed
// in.
func Lync2013() *Model {
	return &Model{
		Name: "lync2013", Session: day, Day: 24 * time.Hour, Window: 2 * time.Hour, Endpoints: 1.9, Contacts: 40, Messages: 10, Typings: 2, Found: 20,
		Rows: []Row{
			{SignIn, "sign-in", 1, 0, PerEndpoint, "log-on: once, all within 120 minutes; 1.9 endpoints per user with mobility"},
			{Ready, "signed in wholly", 1, 0, PerEndpoint, "from the sign-in to the last answer to what the client asks for then"},
			{Publish, "publication", 4, time.Hour, PerUser, "presence: 4 publications per user and hour"},
			{Talk, "IM session", 6, day, PerUser, "IM: 6 two-party sessions per user and day"},
			{Message, "message", 10, 0, PerTalk, "IM: 10 messages per session"},
			{Typing, "typing notice", 2, 0, PerMessage, "IM: each message with two INFO"},
			{EndTalk, "end of IM session", 1, 0, PerTalk, "BYE"},
			{PollCard, "poll: contact card", 2, day, PerUser, "polling: the contact card twice a day"},
			{PollClick, "poll: conversation", 1, time.Hour, PerUser, "polling: 1 per hour for the conversation clicked on"},
			{PollMail, "poll: mail", 5 * 4, time.Hour, PerUser, "polling: 5 mails per hour with 4 people each"},
			{PollRest, "poll: other", restOfPolls, time.Hour, PerUser, "polling: what the named parts leave of 60 per user and hour"},
			{Search, "search", 6, time.Hour, PerUser, "polling: 6 searches per hour"},
			{PollResults, "poll: results", 3, 0, PerSearch, "polling: 20 results at once, refreshed twice, every 5 minutes"},
			{Short, "short subscription", 6, time.Hour, PerUser, "subscriptions: 6 of 10 minutes per user and hour"},
			{EndShort, "its end", 1, 0, PerShort, "SUBSCRIBE with Expires: 0 after 10 minutes"},
			{Conference, "conference", conferences, time.Hour, PerUser, "conferences: 5 % of users at once, 4.55 on average, 47.5 % with IM; an hour each, no length is published"},
			{Join, "conference joined", participants, 0, PerConference, "sizes: 85 % 4, 10 % 6, 5 % 11; joins within 5 minutes"},
			{Roster, "its roster", 1, 0, PerJoin, "subscription to the participants"},
			{JoinChat, "its messages joined", 1, 0, PerJoin, "session with the IM MCU"},
			{Speak, "conference message", (10*5 + 37.5*2) / 47.5, 0, PerJoin, "IM only: 5 per participant; with 50 % of web conferences: 2"},
			{Quit, "conference left", 1, 0, PerJoin, "BYE to IM MCU and focus"},
			{Contacts, "contact list", 1, 0, PerEndpoint, "sign-in: subscription to the roaming contact list"},
			{Provisioning, "provisioning", 1, 0, PerEndpoint, "sign-in: in-band settings"},
			{Self, "own presence", 1, 0, PerEndpoint, "sign-in: subscription to the own publications"},
			{Batch, "contacts' presence", 1, 0, PerEndpoint, "subscriptions: 5 categories of 40 internal contacts in one batch"},
			{FirstPublish, "first publication", 1, 0, PerEndpoint, "sign-in: device, state, note and free/busy"},
			{KeepAlive, "keep-alive", 12, time.Hour, PerEndpoint, "the server asks for one every 300 s"},
			{Renew, "registration renewed", 1, 2*time.Hour - 30*time.Second, PerEndpoint, "30 s before the registration ends, usually 2 h"},
			{Resubscribe, "subscription renewed", 3, 8*time.Hour - 2*time.Minute, PerEndpoint, "2 minutes before the 8 h of a subscription end"},
		},
		Omitted: []Omission{
			{"40 single dialogs per user to federated contacts, 10 % federated contacts, 25 % XMPP", "a Standard Edition has no federation"},
			{"30 % of users remote", "there is no Edge"},
			{"25 photos and 1 organisation chart per user and day, 4 + 60 web queries without files", "web requests are no part of this generator"},
			{"one distribution group expanded every 2 hours", "web requests are no part of this generator"},
			{"conferences with audio, video, sharing and data; the one of 250; meetings of outsiders", "not served"},
			{"application sharing 0.25 and file transfer 0.05 per user and day, voice, Response Group, parking", "media between clients, or not served"},
			{"Persistent Chat: 25 % of users, 1.5 rooms", "not served"},
		},
	}
}

// row returns the row of an act, nil when the model has none.
func (m *Model) row(a Act) *Row {
	for i := range m.Rows {
		if m.Rows[i].Act == a {
			return &m.Rows[i]
		}
	}
	return nil
}

// Scale is for how many and how long totals are expected.
type Scale struct {
	Users     int
	Endpoints int
	Length    time.Duration // of model time, everybody signed in from its beginning
}

// EndpointCount is how many endpoints so many users have.
func (m *Model) EndpointCount(users int) int { return int(math.Round(float64(users) * m.Endpoints)) }

// Expected is how often the act of a row happens: Count × the number of what it is
// per × Length ÷ Per, or without the last two when it happens once.
func (m *Model) Expected(r *Row, s Scale) float64 {
	n := r.Count
	if r.Per > 0 {
		n *= s.Length.Hours() / r.Per.Hours()
	}
	if base := m.base(r.Whose); base != nil {
		return n * m.Expected(base, s)
	}
	if r.Whose == PerEndpoint {
		return n * float64(s.Endpoints)
	}
	return n * float64(s.Users)
}

// base is the row that others of it follow, nil for users and endpoints.
func (m *Model) base(w Whose) *Row {
	for of, act := range map[Whose]Act{PerTalk: Talk, PerMessage: Message, PerSearch: Search, PerShort: Short, PerConference: Conference, PerJoin: Join} {
		if of == w {
			return m.row(act)
		}
	}
	return nil
}
