package load

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"

	"trivet/fault"
	"trivet/uc"
)

// Person is somebody who may sign in, as in demo-users.json.
type Person struct {
	SipAddress        uc.UserURI
	UserPrincipalName string // what the person signs in as; "" is the address
	Password          string
}

// ReadPeople reads a JSON list of Persons.
func ReadPeople(path string) ([]Person, error) {
	const op = "load.ReadPeople"
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.Newf(fault.NotFound, op, "the users' file %s cannot be read", path).Because(err)
	}
	defer f.Close()
	var list []Person
	if err := json.NewDecoder(io.LimitReader(f, 256<<20)).Decode(&list); err != nil {
		return nil, fault.Newf(fault.Invalid, op, "%s is not a JSON list of objects with SipAddress and Password", path).Because(err)
	}
	for i, p := range list {
		a, err := uc.ParseUserURI(string(p.SipAddress))
		if err != nil || p.Password == "" {
			return nil, fault.Newf(fault.Invalid, op, "%s: entry %d needs a SipAddress like sip:alice@example.test and a Password", path, i+1)
		}
		list[i].SipAddress = a
	}
	return list, nil
}

// user is a simulated person.
type user struct {
	address         string // "sip:alice@example.test"
	login, password string
	number          int32
	first           int32 // of the endpoints
	endpoints       int32

	stream Stream // belongs to the agenda
	busy   bool   // what the last publication said; belongs to the agenda

	mu     sync.Mutex // guards filled
	filled bool       // the contact list on the server was looked after
}

func (u *user) domain() string {
	_, d, _ := strings.Cut(u.address, "@")
	return d
}

// populate makes users and their endpoints: everybody gets the whole part of the
// model's endpoints per user, and so many, evenly spread, one more.
func (r *Run) populate(people []Person, perUser float64) {
	r.users = make([]user, len(people))
	total := int(float64(len(people))*perUser + 0.5)
	r.endpoints = make([]endpoint, total)
	at := 0
	for i, p := range people {
		u := &r.users[i]
		*u = user{address: string(p.SipAddress), login: p.UserPrincipalName, password: p.Password, number: int32(i), first: int32(at)}
		if u.login == "" {
			u.login = p.SipAddress.Bare()
		}
		next := total * (i + 1) / len(people)
		for ; at < next; at++ {
			r.endpoints[at] = endpoint{run: r, user: u, id: int32(at), epid: epid(u.address, at-int(u.first))}
			u.endpoints++
		}
	}
	r.offsets = offsets(len(people), r.cfg.Contacts, r.cfg.Seed)
	r.places = make(map[int32]int, len(r.offsets))
	for i, o := range r.offsets {
		r.places[o] = i
	}
}

// epid names an endpoint: the same in every run, so that a later one takes over.
func epid(address string, index int) string {
	h := sha1.Sum(append([]byte(address), byte(index)))
	return hex.EncodeToString(h[:6])
}

// offsets are the distances, in the list of users, from a user to the contacts.
// They are the same for everybody, so each user has, and is watched by, exactly so
// many others.
func offsets(users, contacts int, seed uint64) []int32 {
	n := min(contacts, users-1)
	if n <= 0 {
		return nil
	}
	rng := rand.New(rand.NewPCG(seed, 0xC0117AC7))
	out := make([]int32, n)
	for i, x := range rng.Perm(users - 1)[:n] {
		out[i] = int32(x + 1)
	}
	return out
}

// contact is the i-th contact of a user.
func (r *Run) contact(u *user, i int) *user {
	return &r.users[(int(u.number)+int(r.offsets[i]))%len(r.users)]
}

// present is an endpoint of the user that is signed in, nil if there is none.
func (r *Run) present(u *user) *endpoint {
	for i := u.first; i < u.first+u.endpoints; i++ {
		if r.endpoints[i].in.Load() {
			return &r.endpoints[i]
		}
	}
	return nil
}
