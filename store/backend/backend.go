// Package backend is the Back End of a pool: databases of PostgreSQL 15 on one server or
// on a mirrored pair. rtcxds has the lazy copy of the users' data, from which groups are
// rebuilt when all their replicas are lost, and which SQL can read; rtcshared has the
// vote of the witness (rule/witness).
//
// Nothing here waits longer than its context and a limit of its own allow: a server
// that hangs costs a caller seconds, and then a fault.Unavailable. All methods of a
// Store are safe for concurrent use.
package backend

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"trivet/fault"
	"trivet/rule/mirroring"
	"trivet/uc"
)

// Names of the databases.
const (
	Copies = "rtcxds"    // copy of the users' data
	Shared = "rtcshared" // the witness
)

// Names lists the databases.
var Names = []string{Copies, Shared}

// Limits of time.
const (
	connectLimit = 2 * time.Second  // for one server
	callLimit    = 5 * time.Second  // for a transaction of the witness, or a look at a server
	copyLimit    = 20 * time.Second // for a batch of copies, or reading a group
)

// Side is a server of the pair.
type Side = mirroring.Side

// The sides, as rule/mirroring has them.
const (
	Either  = mirroring.Either
	Primary = mirroring.Primary
	Mirror  = mirroring.Mirror
)

// Config says where the Back End is and how to get in.
type Config struct {
	Pool     uc.PoolFQDN
	Primary  string // address and port; the server that carries the witness
	Mirror   string // "" without mirroring
	User     string // role of the Front Ends; it owns the databases
	PassFile string // in the form of libpq: host:port:database:user:password
	CA       string // PEM file of the authority of the servers' certificates
}

// Store is the Back End of one pool. Make one with Open.
type Store struct {
	cfg    Config
	follow atomic.Uint32 // Side
	dbs    map[string]*database
}

// database is one of the databases, on whichever server is followed.
type database struct {
	name string
	db   *sql.DB

	mu      sync.Mutex // guards current
	current bool       // its tables are of this release
}

// Open makes a Store. It reads the files that cfg names and does not wait for any
// server: that may come later.
func Open(cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, dbs: map[string]*database{}}
	if cfg.Pool == "" || cfg.User == "" {
		return nil, fault.New(fault.Invalid, "backend.Open", "Pool and User must be given")
	}
	for _, name := range Names {
		conf, err := s.cfg.connection(name, cfg.User, Either)
		if err != nil {
			s.Close()
			return nil, err
		}
		conf.OnNotice, conf.AfterConnect = notice, s.recognise
		db := stdlib.OpenDB(*conf, stdlib.OptionBeforeConnect(s.aim), stdlib.OptionResetSession(s.stillFollowed))
		db.SetMaxOpenConns(8)
		db.SetMaxIdleConns(2)
		db.SetConnMaxIdleTime(time.Minute)
		s.dbs[name] = &database{name: name, db: db}
	}
	return s, nil
}

// Close ends all connections.
func (s *Store) Close() {
	for _, d := range s.dbs {
		_ = d.db.Close()
	}
}

// Mirrored reports whether there is a mirror.
func (s *Store) Mirrored() bool { return s.cfg.Mirror != "" }

// Follow says which server is the principal, as the pool has decided; Either, which
// holds at first, is the first that takes writes. Calls that begin afterwards do not go to
// another server.
func (s *Store) Follow(side Side) {
	if Side(s.follow.Swap(uint32(side))) == side {
		return
	}
	for _, d := range s.dbs {
		d.db.SetMaxIdleConns(0) // closes those to the other server
		d.db.SetMaxIdleConns(2)
	}
}

// address of a side.
func (c *Config) address(side Side) string {
	if side == Mirror {
		return c.Mirror
	}
	return c.Primary
}

// connection describes connections to a database; to Either, that to the first server
// that takes writes.
func (c *Config) connection(database, user string, side Side) (*pgx.ConnConfig, error) {
	const op = "backend.Open"
	text := fmt.Sprintf("dbname=%s user=%s passfile='%s' sslmode=verify-full sslrootcert='%s' application_name=trivet connect_timeout=%d",
		database, user, c.PassFile, c.CA, connectLimit/time.Second)
	hosts, ports := "", ""
	for _, at := range []Side{Primary, Mirror} {
		if c.address(at) == "" || side == at.Other() {
			continue
		}
		host, port, err := net.SplitHostPort(c.address(at))
		if err != nil {
			return nil, fault.Newf(fault.Invalid, op, "the address of the %s must be a host and a port, like sql1.example.test:5432", at).About(c.address(at))
		}
		if hosts != "" {
			hosts, ports = hosts+",", ports+","
		}
		hosts, ports = hosts+host, ports+port
	}
	if hosts == "" {
		return nil, fault.Newf(fault.Invalid, op, "the pool's Back End has no %s", side)
	}
	text += " host=" + hosts + " port=" + ports
	if side == Either {
		text += " target_session_attrs=read-write"
	}
	conf, err := pgx.ParseConfig(text)
	if err != nil {
		return nil, fault.New(fault.Invalid, op, "the settings of the Back End are not usable; look at its password file and its authority").Because(err)
	}
	return conf, nil
}

// aim lets a new connection go to the server that is followed now.
func (s *Store) aim(_ context.Context, conf *pgx.ConnConfig) error {
	side := Side(s.follow.Load())
	if side == Either {
		return nil
	}
	next, err := s.cfg.connection(conf.Database, conf.User, side)
	if err != nil {
		return err
	}
	next.OnNotice = conf.OnNotice
	next.AfterConnect = func(_ context.Context, c *pgconn.PgConn) error {
		c.CustomData()[sideKey] = side
		return nil
	}
	next.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	*conf = *next
	return nil
}

// stillFollowed turns connections away that were made before Follow.
func (s *Store) stillFollowed(_ context.Context, c *pgx.Conn) error {
	side := Side(s.follow.Load())
	if side != Either && sideOf(c.PgConn()) != side {
		return driver.ErrBadConn
	}
	return nil
}

// Keys of the custom data of a connection.
const (
	sideKey        = "side"
	unsynchronized = "unsynchronized" // its commit was let go without the mirror
)

func sideOf(c *pgconn.PgConn) Side {
	side, _ := c.CustomData()[sideKey].(Side)
	return side
}

// recognise notes which server a connection has found.
func (s *Store) recognise(ctx context.Context, c *pgconn.PgConn) error {
	for _, side := range []Side{Primary, Mirror} {
		if sameAddress(ctx, c.Conn().RemoteAddr().String(), s.cfg.address(side)) {
			c.CustomData()[sideKey] = side
		}
	}
	return nil
}

// notice marks a connection on which the server said that a commit did not wait for the
// mirror: somebody cancelled the wait. The commit is on one server alone then, and must
// not be taken as done.
func notice(c *pgconn.PgConn, n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" && n.Code == "01000" {
		c.CustomData()[unsynchronized] = true
	}
}

// explain makes a fault of an error of a database.
func explain(op, database string, err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	kind, text := fault.Unavailable, "the database "+database+" of the Back End does not answer"
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		text = "the database " + database + " of the Back End does not answer in time"
	case errors.As(err, &pg) && pg.Code[:2] == "28":
		text = "the Back End refuses the user or the password; look at the password file"
	case errors.As(err, &pg) && pg.Code == "3D000":
		text = "the Back End has no database " + database + "; run Install-CsDatabase"
	case errors.As(err, &pg) && pg.Code == "25006":
		text = "the server is the mirror and takes no changes"
	case errors.As(err, &pg):
		text = "the database " + database + " of the Back End refuses: " + pg.Message
	}
	return fault.New(kind, op, text).Because(err)
}
