package main

import (
	"fmt"
	"strings"
	"time"
)

// kamailioRegistrar is kamailio as a registrar that writes every change through to
// its database and asks for Digest credentials, as ours does. It knows the one
// password that all have, so it need not look for it.
var kamailioRegistrar = kamailioJob{
	modules: `
loadmodule "db_postgres.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("usrloc", "db_url", "%DB%")
modparam("usrloc", "db_mode", 1)
modparam("registrar", "max_expires", 7200)
modparam("auth", "nonce_expire", 3600)`,
	routes: `
	if (method == "REGISTER") {
		if (!pv_www_authenticate("$td", "%PASSWORD%", "0")) { www_challenge("$td", "1"); exit; }
		if (!save("location")) { sl_reply_error(); }
		exit;
	}`,
}

// registrationUsers refresh their registrations in the duel.
const registrationUsers = 200

// registrationDuel measures refreshes of registrations per second of processor
// time, the database's included. Ours are in the routing group's log, on disk,
// before the client hears 200.
func (l lab) registrationDuel() (float64, []side, error) {
	db, err := l.startPostgres(kamailioTables+"standard-create.sql", kamailioTables+"usrloc-create.sql")
	if err != nil {
		return 0, nil, err
	}
	job := kamailioRegistrar
	job.modules = strings.ReplaceAll(job.modules, "%DB%", db.url)
	job.routes = strings.ReplaceAll(job.routes, "%PASSWORD%", password)
	t := target{addr: freeAddr(), domain: domain, user: user, secret: password, atOnce: kamailioWorkers}
	s, err := kamailio{job: job, dir: l.dir, addr: t.addr, workers: kamailioWorkers}.start()
	if err != nil {
		db.stop()
		return 0, nil, err
	}
	s.with = db.server
	theirs, err := refreshes(s, t, l.length)
	s.stop()
	if err != nil {
		return 0, nil, fmt.Errorf("kamailio: %w", err)
	}
	fmt.Printf("kamailio, written through: %v\n", theirs.of("registrations"))
	s, t, err = l.startTrivet(registrationUsers, false)
	if err != nil {
		return 0, nil, err
	}
	defer s.stop()
	ours, err := refreshes(s, t, l.length)
	fmt.Printf("trivet, durable:           %v\n", ours.of("registrations"))
	if err != nil {
		return 0, nil, err
	}
	v, err := ratio(ours, theirs, "kamailio")
	return v, nil, err
}

// refreshes registers everybody, who then refresh as fast as they are answered.
func refreshes(s *server, t target, length time.Duration) (relayResult, error) {
	clients, err := registered(t, registrationUsers, nil)
	if err != nil {
		return relayResult{}, err
	}
	defer closeAll(clients)
	run := relayRun{domain: t.domain, stop: make(chan struct{})}
	run.pairs.Add(len(clients))
	for _, c := range clients {
		go func() {
			defer run.pairs.Done()
			var mine []time.Duration
			for !run.stopped() {
				begin := time.Now()
				if err := c.register(t); err != nil {
					run.failed.Add(1)
					break
				}
				if run.measuring.Load() {
					run.count.Add(1)
					mine = append(mine, time.Since(begin))
				}
			}
			run.keep(mine)
		}()
	}
	return run.measure(s, length), nil
}
