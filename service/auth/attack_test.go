package auth

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"trivet/fault"
	"trivet/link/sipauth"
)

// noBrakes let every guess through, as many addresses would.
type noBrakes struct{ sipauth.Brake }

func (noBrakes) Check(netip.Addr, string, time.Time) error { return nil }
func (noBrakes) Failed(netip.Addr, string, time.Time)      {}
func (noBrakes) Succeeded(netip.Addr, string)              {}

// TestHonestUserDuringAttack: many addresses guess as fast as they can; a user who
// has signed in from her address before does so again, soon.
func TestHonestUserDuringAttack(t *testing.T) {
	h := open(t)
	h.add("alice", true)
	h.cfg.Brake = noBrakes{}
	if _, err := h.Password(t.Context(), here, "alice@contoso.test", password); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	var guesses, refused atomic.Int64
	const addresses = 150
	for n := range addresses {
		attackers.Go(func() {
			from := netip.AddrFrom4([4]byte{198, 51, 100, byte(n)})
			for ctx.Err() == nil {
				guesses.Add(1)
				if _, err := h.Password(ctx, from, "alice@contoso.test", "guess"); fault.Is(err, fault.Overload) {
					refused.Add(1)
				}
			}
		})
	}
	for guesses.Load() < addresses {
		<-time.After(time.Millisecond)
	}
	for range 3 {
		begin := time.Now()
		if u, err := h.Password(t.Context(), here, "alice@contoso.test", password); err != nil || u.SipAddress != alice {
			t.Errorf("the right password: %v %v", u.SipAddress, err)
		}
		t.Logf("signed in within %v", time.Since(begin).Round(time.Millisecond))
	}
	stop()
	attackers.Wait()
	t.Logf("%d guesses, %d turned away", guesses.Load(), refused.Load())
}
