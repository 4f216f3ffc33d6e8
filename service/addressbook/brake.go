package addressbook

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"trivet/fault"
	"trivet/uc"
)

// What one user may ask: a client with a full contact list asks for each contact
// once when it signs in.
const (
	perSecond = 20
	burst     = 2500
	maxBrakes = 100_000
)

// brake bounds how often each user asks.
type brake struct {
	mu    sync.Mutex // guards users
	users map[uc.UserURI]*rate.Limiter
}

func newBrake() brake { return brake{users: map[uc.UserURI]*rate.Limiter{}} }

// check takes one request of the user at a time, or says when to come back.
func (b *brake) check(user uc.UserURI, now time.Time) error {
	b.mu.Lock()
	l := b.users[user]
	if l == nil {
		if len(b.users) >= maxBrakes {
			b.forget(now)
		}
		l = rate.NewLimiter(perSecond, burst)
		b.users[user] = l
	}
	b.mu.Unlock()
	if l.AllowN(now, 1) {
		return nil
	}
	e := fault.New(fault.Overload, "addressbook.brake", "too many searches at once; try again in a moment")
	e.RetryAfter = time.Second
	return e
}

// forget drops those who have been quiet long enough to have a full burst again; if
// nobody has, all.
func (b *brake) forget(now time.Time) {
	for user, l := range b.users {
		if l.TokensAt(now) >= burst {
			delete(b.users, user)
		}
	}
	if len(b.users) >= maxBrakes {
		clear(b.users)
	}
}
