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
}

// surge is what one storm came to.
type surge struct {
	offered, goodput float64 // endpoints per second
	nearly           float64 // seconds until 95 of 100 were in
	ready, im        load.Latency
	failed           int64 // endpoints that were not served within patience
	use              load.Use
}

func (x surge) String() string {
	return fmt.Sprintf("offered %6.0f/s, served %6.0f/s, 95 %% after %.0f s; wholly signed in p50 %5.0f ms p99 %6.0f ms; %d IM, p99 %5.0f ms; %d not served; CPU server %.2f generator %.2f",
		x.offered, x.goodput, x.nearly, x.ready.P50, x.ready.P99, x.im.Count, x.im.P99, x.failed, x.use.ServerRamp, x.use.OwnRamp)
}

// gentle is how many sign-ins per second are offered first, steeper how much more
// each time, until not nearly all is served.
const (
	gentle  = 150
	steeper = 1.5
)

// stormDuel offers more and more sign-ins per second until it is too much, then
// five times what was served at best. The value is that best.
func (l lab) stormDuel(st storm) (float64, []side, error) {
	s, t, err := l.startTrivet(stormEndpoints, true)
	if err != nil {
		return 0, nil, err
	}
	defer s.stop()
	fmt.Println("filling the contact lists")
	if _, err := l.surge(t, st, 100, true); err != nil {
		return 0, nil, err
	}
	var im, peak float64
	for rate := float64(gentle); ; rate *= steeper {
		x, err := l.surge(t, st, rate, false)
		if err != nil {
			return 0, nil, err
		}
		fmt.Println(x)
		if x.goodput > 0.85*rate {
			im = x.im.P99
		}
		peak = math.Max(peak, x.goodput)
		if x.goodput < 0.85*rate {
			break
		}
	}
	over, err := l.surge(t, st, 5*peak, false)
	if err != nil {
		return 0, nil, err
	}
	fmt.Println(over)
	return peak, []side{
		{"p99 of IM in ms at the most that was served", im, atMost(200)},
		{"per cent of the peak at five times as much", over.goodput / peak * 100, atLeast(80)},
	}, nil
}

// after is how long a storm is watched when the last one has been sent in.
const after = 25 * time.Second

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
	x := surge{offered: rate, use: rep.Use}
	x.goodput, x.nearly = goodput(rep.Samples)
	for _, a := range rep.Acts {
		switch a.Name {
		case "signed in wholly":
			x.ready = a.Latency
			x.failed = stormEndpoints - a.Answered
		case "message":
			x.im = a.Latency
		}
	}
	return x, nil
}

// goodput is how many endpoints per second came through wholly, with all their
// subscriptions answered, up to the second in which three of four had: as long as
// more wait than can be served. Those who were told to come back later come after
// that; nearly is when 95 of 100 were in.
func goodput(samples []load.Sample) (perSecond, nearly float64) {
	for _, s := range samples {
		if perSecond == 0 && s.Ready >= stormEndpoints*75/100 {
			perSecond = float64(s.Ready) / s.Second
		}
		if s.Ready >= stormEndpoints*95/100 {
			return perSecond, s.Second
		}
	}
	if n := len(samples); n > 0 && perSecond == 0 {
		perSecond = float64(samples[n-1].Ready) / samples[n-1].Second
	}
	return perSecond, math.Inf(1)
}

func stormPeople() []load.Person {
	var list []load.Person
	for n := range stormEndpoints {
		address := user(n) + "@" + domain
		list = append(list, load.Person{SipAddress: uc.UserURI("sip:" + address), UserPrincipalName: address, Password: password})
	}
	return list
}
