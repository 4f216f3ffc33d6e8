package main

import (
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// xmppMessages is the relay duel with XMPP servers, over TLS: the same pairs, one
// message under way per pair, the next one when it has arrived. Ours carries the
// recipient's answer back to the sender as well. The value is against the better of
// the peers.
func (l lab) xmppMessages() (float64, []side, error) {
	return l.againstXMPP("messages",
		func(s *server, t target) (relayResult, error) { return xmppRelay(s, t, l.length) },
		func() (relayResult, error) { return l.relayTrivet(true) })
}

// xmppSignIns signs in and leaves, over and over: a whole TLS handshake, the
// credentials, and being reachable.
func (l lab) xmppSignIns() (float64, []side, error) {
	const users = 200
	return l.againstXMPP("sign-ins",
		func(s *server, t target) (relayResult, error) {
			return signIns(s, l.length, users, func(n int) (io.Closer, error) { return dialXMPP(t, n) })
		},
		func() (relayResult, error) {
			s, t, err := l.startTrivet(users, true)
			if err != nil {
				return relayResult{}, err
			}
			defer s.stop()
			return signIns(s, l.length, users, func(n int) (io.Closer, error) { return sipSignIn(t, n) })
		})
}

func (l lab) againstXMPP(what string, theirs func(*server, target) (relayResult, error), ours func() (relayResult, error)) (float64, []side, error) {
	var results []relayResult
	for _, peer := range xmppPeers {
		t := xmppTarget()
		s, err := peer.start(l, t.addr, relayConnections)
		if err != nil {
			return 0, nil, err
		}
		r, err := theirs(s, t)
		s.stop()
		if err != nil {
			return 0, nil, fmt.Errorf("%s: %w", peer.name, err)
		}
		fmt.Printf("%-9s %v\n", peer.name+":", r.of(what))
		results = append(results, r)
	}
	r, err := ours()
	fmt.Printf("%-9s %v\n", "trivet:", r.of(what))
	worst := math.Inf(1)
	for i, peer := range xmppPeers {
		v, err := ratio(r, results[i], peer.name)
		if err != nil {
			return 0, nil, err
		}
		worst = math.Min(worst, v)
	}
	return worst, nil, err
}

// xmppRelay is relay among XMPP users.
func xmppRelay(s *server, t target, length time.Duration) (relayResult, error) {
	clients := make([]*xmppClient, relayConnections)
	defer func() {
		for _, c := range clients {
			if c != nil {
				c.Close()
			}
		}
	}()
	for i := range clients {
		c, err := dialXMPP(t, i)
		if err != nil {
			return relayResult{}, err
		}
		clients[i] = c
	}
	run := relayRun{domain: t.domain, stop: make(chan struct{})}
	half := len(clients) / 2
	run.pairs.Add(half)
	for i := range half {
		go run.xmppPair(clients[i], clients[i+half])
	}
	return run.measure(s, length), nil
}

func (r *relayRun) xmppPair(from, to *xmppClient) {
	defer r.pairs.Done()
	var buf []byte
	var mine []time.Duration
	for !r.stopped() {
		begin := time.Now()
		var err error
		if buf, err = from.send(buf, to.user, r.domain); err == nil {
			to.conn.SetReadDeadline(begin.Add(10 * time.Second))
			err = to.take()
		}
		if err != nil {
			r.failed.Add(1)
			break
		}
		if r.measuring.Load() {
			r.count.Add(1)
			mine = append(mine, time.Since(begin))
		}
	}
	r.keep(mine)
}

// signInLanes is how many clients sign in at a time.
const signInLanes = 8

// signIns has each of the users in turn sign in and leave.
func signIns(s *server, length time.Duration, users int, signIn func(n int) (io.Closer, error)) (relayResult, error) {
	run := relayRun{stop: make(chan struct{})}
	run.pairs.Add(signInLanes)
	var first error
	var once sync.Once
	for lane := range signInLanes {
		go func() {
			defer run.pairs.Done()
			var mine []time.Duration
			for n := lane; !run.stopped(); n = (n + signInLanes) % users {
				begin := time.Now()
				c, err := signIn(n)
				if err != nil {
					run.failed.Add(1)
					once.Do(func() { first = err })
					continue
				}
				if run.measuring.Load() {
					run.count.Add(1)
					mine = append(mine, time.Since(begin))
				}
				c.Close()
			}
			run.keep(mine)
		}()
	}
	r := run.measure(s, length)
	if first != nil {
		fmt.Println("the first sign-in that failed:", first)
	}
	if r.messages == 0 {
		return r, fmt.Errorf("nobody could sign in: %w", first)
	}
	return r, nil
}

// sipSignIn connects and registers, once.
func sipSignIn(t target, n int) (io.Closer, error) {
	var ignored atomic.Int64
	c, err := dial(t, n, &ignored)
	if err != nil {
		return nil, err
	}
	if err := c.register(t); err != nil {
		c.conn.Close()
		return nil, err
	}
	return c.conn, nil
}
