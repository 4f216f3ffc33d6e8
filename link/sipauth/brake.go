package sipauth

import (
	"net/netip"
	"sync"
	"time"

	"trivet/fault"
)

// Brake slows down guessing by source; web services may share one with SIP. Check
// refuses with fault.Overload while the device at the address, or the address,
// has to wait; Failed and Succeeded report the outcome of a sign-in.
type Brake interface {
	Check(addr netip.Addr, device string, now time.Time) error
	Failed(addr netip.Addr, device string, now time.Time)
	Succeeded(addr netip.Addr, device string)
}

// Brakes slow down guessing, in memory of at most 65,536 sources. A failed attempt is charged to the source address
// and to the device at it; each has an allowance that refills with time. An
// account is never charged, so nobody can lock somebody else out. A device that
// keeps trying a stale password is stopped by its own brake long before it uses
// up the allowance of the others behind the same address.
type Brakes struct {
	mu   sync.Mutex
	debt map[brakeKey]time.Time // when the debt will have been paid
}

type brakeKey struct {
	addr   netip.Prefix
	device string // "" for the whole address
}

// An allowance is how many failures are free at once and how long each weighs.
type allowance struct {
	free int
	each time.Duration
}

var (
	perDevice  = allowance{10, 30 * time.Second}
	perAddress = allowance{100, 3 * time.Second}
)

const (
	maxBrakes    = 1 << 16
	maxDeviceLen = 64
)

// NewBrakes makes Brakes that nobody owes anything.
func NewBrakes() *Brakes { return &Brakes{debt: map[brakeKey]time.Time{}} }

// source is the address a brake sees: an IPv4 address or an IPv6 /64.
func source(a netip.Addr) netip.Prefix {
	bits := 32
	if a = a.Unmap(); a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

func keysOf(addr netip.Addr, device string) [2]brakeKey {
	src := source(addr)
	if device == "" {
		device = "?"
	}
	if len(device) > maxDeviceLen {
		device = device[:maxDeviceLen]
	}
	return [2]brakeKey{{src, device}, {src, ""}}
}

var allowances = [2]allowance{perDevice, perAddress}

// Check refuses with fault.Overload while the source has no allowance left.
func (b *Brakes) Check(addr netip.Addr, device string, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, k := range keysOf(addr, device) {
		limit := time.Duration(allowances[i].free) * allowances[i].each
		if over := b.debt[k].Sub(now) - limit; !b.debt[k].IsZero() && over >= 0 {
			e := fault.New(fault.Overload, "sipauth.brake", "too many failed sign-ins from this address; try again later")
			e.RetryAfter = over + allowances[i].each
			return e
		}
	}
	return nil
}

// Failed charges one failure.
func (b *Brakes) Failed(addr netip.Addr, device string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.makeRoom(now)
	for i, k := range keysOf(addr, device) {
		start := b.debt[k]
		if start.Before(now) {
			start = now
		}
		b.debt[k] = start.Add(allowances[i].each)
	}
}

// Succeeded forgives the device. The address pays on: otherwise one right
// password would buy any number of guesses at others.
func (b *Brakes) Succeeded(addr netip.Addr, device string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.debt, keysOf(addr, device)[0])
}

// makeRoom keeps the table bounded: paid debts go first, then device entries,
// then any.
func (b *Brakes) makeRoom(now time.Time) {
	if len(b.debt) < maxBrakes {
		return
	}
	for k, t := range b.debt {
		if !t.After(now) {
			delete(b.debt, k)
		}
	}
	for pass := 0; pass < 2 && len(b.debt) > maxBrakes*3/4; pass++ {
		for k := range b.debt {
			if (pass == 1 || k.device != "") && len(b.debt) > maxBrakes*3/4 {
				delete(b.debt, k)
			}
		}
	}
}
