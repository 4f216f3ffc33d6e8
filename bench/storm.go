package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"trivet/load"
	"trivet/uc"
)

// A sign-in storm: everybody comes back at once, as after a power cut. An endpoint
// is as a Lync client: TLS, NTLM, registration, contact list, settings, own
// presence, a batch subscription for its contacts, and a first publication. People
// write to each other meanwhile.
const (
	stormEndpoints = 5000
	stormContacts  = 50
)

// storm is one shape of it.
type storm struct {
	cache tls.ClientSessionCache // nil: whole TLS handshakes
	rates []float64              // offered sign-ins per second, from easy to too much
}

// surge is what one storm came to.
type surge struct {
	offered, goodput float64 // endpoints per second
	ready, im        load.Latency
	failed           int64 // endpoints that were not served within patience
	use              load.Use
}

func (x surge) String() string {
	return fmt.Sprintf("offered %6.0f/s, served %6.0f/s; wholly signed in p50 %5.0f ms p99 %6.0f ms; %d IM, p99 %5.0f ms; %d not served; CPU server %.2f generator %.2f",
		x.offered, x.goodput, x.ready.P50, x.ready.P99, x.im.Count, x.im.P99, x.failed, x.use.ServerRamp, x.use.OwnRamp)
}

// stormDuel finds the most sign-ins per second that are served, then offers five
// times as many. The value is the peak.
func (l lab) stormDuel(st storm) (float64, error) {
	s, t, err := l.startTrivet(stormEndpoints, true)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	fmt.Println("filling the contact lists")
	if _, err := l.surge(t, st, 100, true); err != nil {
		return 0, err
	}
	peak := 0.0
	for _, rate := range st.rates {
		x, err := l.surge(t, st, rate, false)
		if err != nil {
			return 0, err
		}
		fmt.Println(x)
		peak = math.Max(peak, x.goodput)
	}
	over, err := l.surge(t, st, 5*peak, false)
	if err != nil {
		return 0, err
	}
	fmt.Println(over)
	fmt.Printf("goodput at five times the peak: %.0f %% of it, goal >=80 %%\n", over.goodput/peak*100)
	return peak, nil
}

// after is how long a storm is watched when the last one has been sent in.
const after = 45 * time.Second

// surge has everybody sign in at so many per second.
func (l lab) surge(t target, st storm, rate float64, fill bool) (surge, error) {
	m := load.Lync2013()
	only := map[load.Act]float64{load.Talk: 40}
	for _, a := range []load.Act{load.Publish, load.PollCard, load.PollClick, load.PollMail, load.PollRest, load.Search, load.Short} {
		only[a] = 0
	}
	cfg := load.Config{
		Model: m, People: stormPeople(), Server: t.addr, TLS: &tls.Config{InsecureSkipVerify: true, ClientSessionCache: st.cache},
		Scheme: load.NTLM, Seed: 1, Ramp: time.Duration(stormEndpoints / rate * float64(time.Second)), Length: after, Speed: 1,
		Endpoints: 1, Contacts: stormContacts, Weight: only, Fill: fill, Data: filepath.Join(l.dir, "data"), MaxErrors: 1,
	}
	run, err := load.New(cfg)
	if err != nil {
		return surge{}, err
	}
	rep, err := run.Play(context.Background())
	if err != nil {
		return surge{}, err
	}
	x := surge{offered: rate, goodput: goodput(rep.Samples), use: rep.Use}
	for _, a := range rep.Acts {
		switch a.Name {
		case "signed in wholly":
			x.ready = a.Latency
			x.failed = stormEndpoints - a.Latency.Count
		case "message":
			x.im = a.Latency
		}
	}
	return x, nil
}

// goodput is how many endpoints per second came through, up to the second in which
// nearly all had.
func goodput(samples []load.Sample) float64 {
	for _, s := range samples {
		if s.SignedIn >= stormEndpoints*95/100 {
			return float64(s.SignedIn) / s.Second
		}
	}
	if n := len(samples); n > 0 {
		return float64(samples[n-1].SignedIn) / samples[n-1].Second
	}
	return 0
}

func stormPeople() []load.Person {
	var list []load.Person
	for n := range stormEndpoints {
		address := user(n) + "@" + domain
		list = append(list, load.Person{SipAddress: uc.UserURI("sip:" + address), UserPrincipalName: address, Password: password})
	}
	return list
}
