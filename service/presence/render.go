package presence

import (
	"hash/maphash"
	"strings"

	"trivet/rule/access"
	"trivet/rule/aggregate"
	"trivet/rule/groupstate"
	"trivet/uc"
	"trivet/wire/pidf"
	"trivet/wire/presdoc"
	"trivet/wire/xmlpull"
)

// printer renders one user for any number of watchers. What it has printed for one
// container, format and list of categories serves every watcher of that kind.
type printer struct {
	user     uc.UserURI
	view     *groupstate.User // nil: no state
	grants   []access.Grant
	contacts *groupstate.ContactList // in privacy mode only
	card     Card
	known    bool
	change   *change // what is told of, nil: everything
	seed     maphash.Seed
	done     map[printKey]printed
}

type printKey struct {
	container  int
	format     groupstate.Format
	categories uint64 // hash of the list
}

// printed is a document, its body nil when there is nothing to tell.
type printed struct {
	contentType string
	body        []byte
}

// printer makes the printer of a user as of one instant, nil when there is no state
// of it, for the watchers of a change (nil: for those who need everything).
func (s *Service) printer(user uc.UserURI, u *groupstate.User, c *change) *printer {
	p := &printer{user: user, view: u, change: c, seed: s.index.seed}
	p.card, p.known = s.cfg.Directory.Person(user)
	if u == nil {
		return p
	}
	p.grants = u.Grants()
	if s.cfg.Policies.Privacy().EnablePrivacyMode {
		p.contacts = u.Contacts()
	}
	return p
}

// container is where the watcher falls.
func (p *printer) container(watcher uc.UserURI) int {
	w := access.Watcher{URI: watcher, Realm: access.Company}
	privacy := p.contacts != nil
	if privacy {
		w.Listed = p.contacts.Find(string(watcher)) != nil
	}
	at := access.Place(p.user, p.grants, w, privacy)
	if at == access.Self { // who watches himself sees what colleagues see
		at = access.Personal
	}
	return at
}

// forWatcher renders what the watcher may see of the change. A nil body means that
// there is nothing to tell.
func (p *printer) forWatcher(watcher uc.UserURI, sub *groupstate.Subscription) (contentType string, body []byte) {
	k := printKey{container: p.container(watcher), format: sub.Format}
	if sub.Format == groupstate.LyncSingle {
		k.format = groupstate.LyncBatch // the same document
	}
	for _, name := range sub.Categories {
		k.categories = k.categories*31 + maphash.String(p.seed, name)
	}
	d, ok := p.done[k]
	if !ok {
		if p.done == nil {
			p.done = map[printKey]printed{}
		}
		d = p.print(k.container, sub)
		p.done[k] = d
	}
	return d.contentType, d.body
}

// forOne is forWatcher of a printer that has no other watchers.
func (p *printer) forOne(watcher uc.UserURI, sub *groupstate.Subscription) (contentType string, body []byte) {
	d := p.print(p.container(watcher), sub)
	return d.contentType, d.body
}

func (p *printer) print(container int, sub *groupstate.Subscription) printed {
	if sub.Format == groupstate.PIDF {
		if !p.tells(container, "state") && !p.tells(container, "note") {
			return printed{}
		}
		return printed{pidf.Type, p.pidf(container)}
	}
	names := make([]string, 0, len(sub.Categories))
	for _, name := range sub.Categories {
		if p.tells(container, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return printed{}
	}
	return printed{presdoc.TypeCategories, p.categories(container, names)}
}

func (p *printer) tells(container int, category string) bool {
	return p.change == nil || p.change.touches(container, category)
}

// categories prints the categories document for a container.
func (p *printer) categories(container int, names []string) []byte {
	doc := presdoc.Categories{URI: string(p.user), Names: names, List: make([]presdoc.Category, 0, 2*len(names))}
	for _, name := range names {
		switch {
		case name == "state":
			doc.List = p.state(doc.List, container)
		case name == "contactCard":
			doc.List = p.contactCard(doc.List, container)
		case access.Shows(container, name):
			doc.List = p.published(doc.List, container, name)
		}
	}
	return doc.Append(nil)
}

// published appends what the user published of a category.
func (p *printer) published(list []presdoc.Category, container int, name string) []presdoc.Category {
	if p.view == nil {
		return list
	}
	for b := range p.view.Published(name, uint32(container)) {
		list = append(list, category(&b))
	}
	return list
}

func category(b *groupstate.Publication) presdoc.Category {
	return presdoc.Category{Name: b.Category, Instance: b.Instance, Container: b.Container, Version: b.Version, PublishTime: b.Published, Body: b.Body}
}

// state appends the aggregate that members of the container see: offline for those
// who are blocked and for people who never signed in, nothing for strangers.
func (p *printer) state(list []presdoc.Category, container int) []presdoc.Category {
	if access.LooksOffline(container) {
		return append(list, offlineState())
	}
	if !access.Shows(container, "state") {
		return list
	}
	if p.view != nil {
		for b := range p.view.Published("state", uint32(container)) {
			if b.Instance == groupstate.AggregateInstance {
				return append(list, category(&b))
			}
		}
	}
	return append(list, offlineState())
}

func offlineState() presdoc.Category {
	body := aggregate.Compute(nil, 0, aggregate.ForAll).AppendState(nil)
	return presdoc.Category{Name: "state", Instance: groupstate.AggregateInstance, Version: 1, Body: string(body)}
}

// pidf prints the state for standard clients.
func (p *printer) pidf(container int) []byte {
	out := pidf.Presence{Entity: string(p.user), Availability: 18500}
	if states := p.state(nil, container); len(states) > 0 {
		if in, err := aggregate.ParseState([]byte(states[0].Body)); err == nil {
			out.Availability, out.Token, out.LastActive, out.Time = in.Availability, in.Activity.Token, in.LastActive, states[0].PublishTime
		}
	}
	if access.Shows(container, "note") {
		newest := int64(-1)
		for _, n := range p.published(nil, container, "note") {
			if n.PublishTime > newest {
				newest, out.Note = n.PublishTime, noteText(n.Body)
			}
		}
	}
	if out.Availability < 18000 {
		out.Contact = string(p.user)
	}
	return out.Append(nil)
}

// noteText finds the text of a note category.
func noteText(body string) string {
	text := ""
	s := xmlpull.New([]byte(body), presdoc.MaxDocument)
	if s.RootName() != "note" {
		return ""
	}
	for name := range s.Children() {
		if name == "body" {
			text = s.Text()
		}
	}
	return text
}

// nsCard is the namespace of contact cards, [MS-PRES] 2.2.2.
const nsCard = "http://schemas.microsoft.com/2006/09/sip/contactcard"

// contactCard appends what the directory says, cut to what the container may see (name
// and e-mail are for everybody), behind what the user published.
func (p *printer) contactCard(list []presdoc.Category, container int) []presdoc.Category {
	before := len(list)
	list = p.published(list, container, "contactCard")
	if !p.known {
		return list
	}
	c := &p.card
	var room [1024]byte
	b := append(room[:0], `<contactCard xmlns="`+nsCard+`"><identity><name>`...)
	b = element(b, "displayName", c.DisplayName)
	b = element(b, "firstName", c.FirstName)
	b = element(b, "lastName", c.LastName)
	b = element(append(b, "</name>"...), "email", c.Email)
	b = append(b, "</identity>"...)
	for _, f := range [...]struct{ name, value string }{
		{"company", c.Company}, {"department", c.Department}, {"title", c.Title}, {"office", c.Office},
	} {
		if access.ShowsField(container, f.name) {
			b = element(b, f.name, f.value)
		}
	}
	for _, f := range [...]struct{ kind, number string }{
		{"work", first(c.LineURI, c.WorkPhone)}, {"mobile", c.MobilePhone}, {"home", c.HomePhone}, {"other", c.Others},
	} {
		if f.number != "" && access.ShowsField(container, "phone/"+f.kind) {
			b = phone(b, f.kind, f.number)
		}
	}
	b = append(b, "</contactCard>"...)
	instance := uint32(0)
	for _, own := range list[before:] {
		instance = max(instance, own.Instance+1)
	}
	return append(list, presdoc.Category{Name: "contactCard", Instance: instance, Version: 1, Body: string(b)})
}

func element(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	return xmlpull.AppendElement(b, name, text)
}

func phone(b []byte, kind, number string) []byte {
	uri := number
	if !strings.HasPrefix(uri, "tel:") {
		uri = "tel:" + strings.Map(dialled, number)
	}
	b = append(append(append(b, `<phone type="`...), kind...), `">`...)
	b = element(element(b, "uri", uri), "displayString", strings.TrimPrefix(number, "tel:"))
	return append(b, "</phone>"...)
}

// dialled keeps what is dialled of a telephone number as people write it.
func dialled(r rune) rune {
	if r >= '0' && r <= '9' || r == '+' || r == '*' || r == '#' {
		return r
	}
	return -1
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
