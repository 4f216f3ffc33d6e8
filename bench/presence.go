package main

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// fanOut is one shape of the presence duel: so many publishers, each with so many
// watchers on a connection of their own.
type fanOut struct{ publishers, watchers int }

func (f fanOut) users() int { return f.publishers * (1 + f.watchers) }

// kamailioPresence is kamailio as a presence server. Its rules allow everybody, so
// it reads no rules document; %SUBS% and %PUBL% choose where it keeps what it is
// told, %DB% is its database.
var kamailioPresence = kamailioJob{
	modules: `
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "db_postgres.so"
loadmodule "presence.so"
loadmodule "presence_xml.so"
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", 7200)
modparam("presence", "db_url", "%DB%")
modparam("presence", "subs_db_mode", %SUBS%)
modparam("presence", "publ_cache", %PUBL%)
modparam("presence", "max_expires", 7200)
modparam("presence_xml", "db_url", "%DB%")
modparam("presence_xml", "force_active", 1)`,
	routes: `
	if (method == "REGISTER") { if (!save("location")) { sl_reply_error(); } exit; }
	if (method == "PUBLISH") { if (t_newtran()) { handle_publish(); } exit; }
	if (method == "SUBSCRIBE") { if (t_newtran()) { handle_subscribe(); } exit; }`,
}

// kamailioTables are the schemas that come with it.
const kamailioTables = "/usr/share/kamailio/postgres/"

// keeping is where kamailio's presence module keeps publications and subscriptions.
type keeping struct{ name, subs, publ string }

var (
	keptInDatabase = keeping{"with its database", "2", "1"} // its defaults
	keptInMemory   = keeping{"in memory", "0", "2"}
)

// presenceDuel measures notifications per second of processor time: ours, which
// are durable, against kamailio's with its database, and beside it against
// kamailio's in memory.
func (l lab) presenceDuel(f fanOut) (float64, []side, error) {
	peers := map[string]relayResult{}
	for _, k := range []keeping{keptInDatabase, keptInMemory} {
		r, err := l.presenceKamailio(f, k)
		if err != nil {
			return 0, nil, err
		}
		peers[k.name] = r
		fmt.Printf("kamailio %s: %v\n", k.name, r.of("notifications"))
	}
	s, t, err := l.startTrivet(f.users(), false)
	if err != nil {
		return 0, nil, err
	}
	defer s.stop()
	ours, err := fan(s, t, f, l.length)
	if err != nil {
		return 0, nil, err
	}
	fmt.Printf("trivet, durable: %v\n", ours.of("notifications"))
	durable, err := ratio(ours, peers[keptInDatabase.name], "kamailio with its database")
	if err != nil {
		return 0, nil, err
	}
	memory, err := ratio(ours, peers[keptInMemory.name], "kamailio in memory")
	return durable, []side{{"times kamailio in memory", memory, atLeast(1)}}, err
}

func (l lab) presenceKamailio(f fanOut, k keeping) (relayResult, error) {
	db, err := l.startPostgres(kamailioTables+"standard-create.sql", kamailioTables+"presence-create.sql")
	if err != nil {
		return relayResult{}, err
	}
	job := kamailioPresence
	job.modules = strings.NewReplacer("%DB%", db.url, "%SUBS%", k.subs, "%PUBL%", k.publ).Replace(job.modules)
	t := target{addr: freeAddr(), domain: domain, user: user, secret: password, atOnce: kamailioWorkers}
	s, err := kamailio{job: job, dir: l.dir, addr: t.addr, workers: kamailioWorkers}.start()
	if err != nil {
		db.stop()
		return relayResult{}, err
	}
	s.with = db.server
	defer s.stop()
	return fan(s, t, f, l.length)
}

// fan registers everybody, subscribes the watchers, and lets each publisher change
// its presence again as soon as all its watchers have been told.
func fan(s *server, t target, f fanOut, length time.Duration) (relayResult, error) {
	var ignored atomic.Int64
	clients, err := registered(t, f.users(), &ignored)
	if err != nil {
		return relayResult{}, err
	}
	defer closeAll(clients)
	run := relayRun{domain: t.domain, stop: make(chan struct{})}
	publishers := make([]publisher, f.publishers)
	for i := range publishers {
		p := &publishers[i]
		p.client = clients[i]
		for _, c := range clients[f.publishers+i*f.watchers:][:f.watchers] {
			c.received = &p.told
			if err := c.subscribe(t.domain, p.user); err != nil {
				return relayResult{}, err
			}
		}
	}
	run.pairs.Add(f.publishers)
	for i := range publishers {
		go publishers[i].run(&run, f.watchers)
	}
	return run.measure(s, length), nil
}

// subscribe asks for the presence of peer and from then on answers what comes.
func (c *client) subscribe(domain, peer string) error {
	c.seq++
	contact := "<sip:" + c.user + "@" + c.local + ";transport=" + strings.ToLower(c.transport) + ">"
	msg := fmt.Sprintf("SUBSCRIBE sip:%s@%s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bKs%d-%d\r\nMax-Forwards: 70\r\n"+
		"From: <%s>;tag=s%d\r\nTo: <sip:%s@%s>\r\nCall-ID: sub-%d@%s\r\nCSeq: 1 SUBSCRIBE\r\nContact: %s\r\n"+
		"Event: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n",
		peer, domain, c.transport, c.local, c.n, c.seq, c.uri(domain), c.n, peer, domain, c.n, c.local, contact)
	if _, err := c.conn.Write([]byte(msg)); err != nil {
		return err
	}
	go c.serve()
	select {
	case status := <-c.replies:
		if status != 200 && status != 202 {
			return fmt.Errorf("SUBSCRIBE of %s: %d", c.user, status)
		}
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("SUBSCRIBE of %s: no answer in 10 s", c.user)
	}
}

// publisher is a client whose presence others watch.
type publisher struct {
	*client
	etag string
	told atomic.Int64 // NOTIFYs that its watchers have taken
}

// fanLimit is how long all watchers may take to hear of one change.
const fanLimit = 10 * time.Second

// run publishes until the run stops. A change of which not all watchers hear is a
// failure; what does arrive of it counts for nothing.
func (p *publisher) run(r *relayRun, watchers int) {
	defer r.pairs.Done()
	var mine []time.Duration
	for n := 0; !r.stopped(); n++ {
		before, begin := p.told.Load(), time.Now()
		if err := p.publish(r.domain, n); err != nil {
			r.failed.Add(1)
			fmt.Fprintln(os.Stderr, "bench:", err)
			break
		}
		for p.told.Load() < before+int64(watchers) && time.Since(begin) < fanLimit {
			time.Sleep(200 * time.Microsecond)
		}
		switch {
		case p.told.Load() < before+int64(watchers):
			r.failed.Add(1)
		case r.measuring.Load():
			r.count.Add(int64(watchers))
			mine = append(mine, time.Since(begin))
		}
	}
	r.keep(mine)
}

// publish changes the presence document, the n-th time.
func (p *publisher) publish(domain string, n int) error {
	p.seq++
	match := ""
	if p.etag != "" {
		match = "SIP-If-Match: " + p.etag + "\r\n"
	}
	body := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="%s"><tuple id="t%d"><status><basic>%s</basic></status><note>change %d</note></tuple></presence>`,
		p.uri(domain), p.n, [...]string{"open", "closed"}[n%2], n)
	msg := fmt.Sprintf("PUBLISH %s SIP/2.0\r\nVia: SIP/2.0/%s %s;branch=z9hG4bKp%d-%d\r\nMax-Forwards: 70\r\n"+
		"From: <%s>;tag=p%d\r\nTo: <%s>\r\nCall-ID: pub-%d@%s\r\nCSeq: %d PUBLISH\r\nEvent: presence\r\nExpires: 3600\r\n%s"+
		"Content-Type: application/pidf+xml\r\nContent-Length: %d\r\n\r\n%s",
		p.uri(domain), p.transport, p.local, p.n, p.seq, p.uri(domain), p.n, p.uri(domain), p.n, p.local, p.seq, match, len(body), body)
	if _, err := p.conn.Write([]byte(msg)); err != nil {
		return err
	}
	p.conn.SetReadDeadline(time.Now().Add(fanLimit))
	m, err := p.read()
	if err != nil {
		return err
	}
	if m.status() != 200 {
		return fmt.Errorf("PUBLISH of %s: %d\n%s", p.user, m.status(), m.raw)
	}
	p.etag = m.header("SIP-ETag")
	return nil
}
