package frontend

import (
	"context"
	"sync"

	"trivet/service/presence"
	"trivet/store/users"
	"trivet/uc"
)

// people is the directory in memory: what the hot paths ask about a user without
// going to the database. It follows the store's changes, so it is never behind a
// committed one. Safe for concurrent use; readers take no lock.
type people struct {
	mu     sync.Mutex                // held by who writes
	byAddr sync.Map                  // uc.UserURI to *users.User
	book   func(was, is *users.User) // is told of every change, with values of its own
}

// load reads every user once. The changes from then on, and those meanwhile, come
// by change.
func (p *people) load(ctx context.Context, store users.Store) error {
	all, err := store.List(ctx, users.Query{})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range all {
		u := &all[i]
		if u.SipAddress != "" {
			p.byAddr.LoadOrStore(u.SipAddress, u)
		}
		p.book(nil, u)
	}
	return nil
}

// reload reads every user again, when the directory came as a whole.
func (p *people) reload(ctx context.Context, store users.Store) error {
	p.mu.Lock() // changes wait: they are newer than what is read, or the same
	defer p.mu.Unlock()
	all, err := store.List(ctx, users.Query{})
	if err != nil {
		return err
	}
	have := map[uc.UserURI]bool{}
	for i := range all {
		u := &all[i]
		if u.SipAddress == "" {
			continue
		}
		have[u.SipAddress] = true
		was, _ := p.byAddr.Swap(u.SipAddress, u)
		old, _ := was.(*users.User)
		p.book(old, u)
	}
	p.byAddr.Range(func(addr, u any) bool {
		if !have[addr.(uc.UserURI)] {
			p.byAddr.Delete(addr)
			p.book(u.(*users.User), nil)
		}
		return true
	})
	return nil
}

func (p *people) change(c users.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var is *users.User
	if c.New != nil {
		u := *c.New
		if is = &u; u.SipAddress != "" {
			p.byAddr.Store(u.SipAddress, is)
		}
	}
	if c.Old != nil && c.Old.SipAddress != "" && (is == nil || is.SipAddress != c.Old.SipAddress) {
		p.byAddr.Delete(c.Old.SipAddress)
	}
	p.book(c.Old, is)
}

// ByAddress returns the user, nil if there is none. The value must not be changed.
func (p *people) ByAddress(a uc.UserURI) *users.User {
	u, ok := p.byAddr.Load(a)
	if !ok {
		return nil
	}
	return u.(*users.User)
}

// Home returns the routing group of a user.
func (p *people) Home(a uc.UserURI) (uc.GroupID, bool) {
	u := p.ByAddress(a)
	if u == nil {
		return 0, false
	}
	return u.RoutingGroup, u.RoutingGroup != 0
}

// Enabled reports whether the directory lets the user sign in.
func (p *people) Enabled(a uc.UserURI) bool {
	u := p.ByAddress(a)
	return u != nil && u.Enabled
}

func (p *people) Person(a uc.UserURI) (presence.Card, bool) {
	u := p.ByAddress(a)
	if u == nil {
		return presence.Card{}, false
	}
	return cardOf(u), true
}

// cardOf is what others see of a user.
func cardOf(u *users.User) presence.Card {
	return presence.Card{
		DisplayName: u.DisplayName, FirstName: u.FirstName, LastName: u.LastName, Email: u.WindowsEmailAddress,
		Title: u.Title, Company: u.Company, Department: u.Department, Office: u.Office,
		WorkPhone: u.Phone, MobilePhone: u.MobilePhone, HomePhone: u.HomePhone, Others: u.OtherPhone, LineURI: u.LineURI,
	}
}

// DisplayName is how others see the user, "" if nothing is known.
func (p *people) DisplayName(_ context.Context, a uc.UserURI) string {
	if u := p.ByAddress(a); u != nil {
		return u.DisplayName
	}
	return ""
}
