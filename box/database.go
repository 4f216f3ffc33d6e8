package box

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"trivet/box/pgserver"
	"trivet/fault"
	"trivet/uc"
)

const (
	portSQL    = 5432
	backEndAt  = 200 // database server i listens on 127.0.N.(200+i)
	roleOfPool = "rtc"
)

// BackEnd is the databases of the pool: a server of PostgreSQL, or a pair.
type BackEnd struct {
	Servers  []Server // sql1, the primary, and sql2, the mirror
	User     string   // role of the Front Ends
	PassFile string   // passwords of the role and of the administrator, as libpq has it
	CA       string   // PEM file of the authority of the database servers
}

// Address is where a database server listens.
func (BackEnd) Address(s Server) string { return netip.AddrPortFrom(s.Addr, portSQL).String() }

func (p Plan) backEnd(mirror bool) *BackEnd {
	be := &BackEnd{User: roleOfPool, PassFile: filepath.Join(p.Dir, "backend.pgpass")}
	for i := 1; i == 1 || mirror && i == 2; i++ {
		name := fmt.Sprintf("sql%d", i)
		dir := filepath.Join(p.Dir, name)
		be.Servers = append(be.Servers, Server{Index: i, Name: name, FQDN: uc.ServerFQDN(name + "." + p.Domain), Addr: p.addr(backEndAt + i), Data: dir, Log: filepath.Join(dir, "log")})
	}
	be.CA = filepath.Join(be.Servers[0].Data, "ca.pem")
	return be
}

// database is a database server of the box. It starts with the box, and ends with
// it even if that is killed.
type database struct {
	Server

	mu     sync.Mutex // guards the fields below, and is held while one works on pg
	pg     *pgserver.Server
	paused bool
}

// backEnd starts the databases; those that are in the folder go on.
func (b *Box) backEnd(ctx context.Context) error {
	if err := os.MkdirAll(b.Plan.Dir, 0o711); err != nil { // the user postgres has to get through
		return err
	}
	var principal *pgserver.Server
	for i, s := range b.Plan.BackEnd.Servers {
		cfg := pgserver.Config{Dir: s.Data, Addr: b.Plan.BackEnd.Address(s), Name: []string{"primary", "mirror"}[i], Bound: true}
		pg, err := pgserver.Open(cfg)
		switch {
		case !fault.Is(err, fault.NotFound):
		case principal == nil:
			pg, err = pgserver.Create(ctx, cfg)
		default:
			pg, err = pgserver.Mirror(ctx, cfg, principal)
		}
		if err != nil {
			return err
		}
		d := &database{Server: s, pg: pg}
		b.machines = append(b.machines, d)
		if err := d.start(ctx); err != nil && !fault.Is(err, fault.Exists) {
			return err
		}
		if principal == nil {
			principal = pg
		}
	}
	return b.Plan.BackEnd.passwords(principal.Password())
}

// passwords writes the password file, with one for the Front Ends that nobody
// knows before. One that is there stays.
func (be *BackEnd) passwords(administrator string) error {
	if _, err := os.Stat(be.PassFile); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	text := fmt.Sprintf("*:*:*:%s:%s\n*:*:*:%s:%s\n", pgserver.Admin, administrator, be.User, strings.ToLower(rand.Text()))
	return os.WriteFile(be.PassFile, []byte(text), 0o600)
}

func (d *database) start(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pg.Running() {
		return fault.New(fault.Exists, "box.start", "the server runs already").About(d.Name)
	}
	d.paused = false
	return d.pg.Start(ctx)
}

func (d *database) stop(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paused {
		d.pg.Resume()
		d.paused = false
	}
	return d.pg.Stop(ctx)
}

func (d *database) kill(ctx context.Context) error {
	return d.running(func() error { d.paused = false; return d.pg.Kill(ctx) })
}

func (d *database) pause() error {
	return d.running(func() error { d.paused = true; d.pg.Pause(); return nil })
}

func (d *database) resume() error {
	return d.running(func() error { d.paused = false; d.pg.Resume(); return nil })
}

// running does something to a server that runs.
func (d *database) running(do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.pg.Running() {
		return fault.New(fault.Gone, "box.signal", "the server does not run").About(d.Name)
	}
	return do()
}

func (d *database) report(context.Context) Report {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := Report{Server: d.Server, State: Ready, Listens: BackEnd{}.Address(d.Server)}
	switch {
	case !d.pg.Running():
		r.State = Ended
	case d.paused:
		r.State = Paused
	}
	return r
}
