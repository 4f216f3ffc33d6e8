package directory_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"trivet/fault"
	"trivet/replica"
	"trivet/store/central"
	"trivet/store/directory"
	"trivet/store/users"
	"trivet/uc"
)

// trio is a pool of three replicas in one process, on real files.
type trio struct {
	t     *testing.T
	mu    sync.RWMutex // guards hosts
	hosts [4]*node     // by server number, from 1; nil while stopped
}

type node struct {
	c      *trio
	host   *replica.Host
	group  *replica.Group
	users  *users.SQLite
	config *central.SQLite
}

// from is the transport of one server.
type from struct {
	c *trio
	n uint64
}

func (f from) Send(to uint64, batch []replica.Envelope) {
	if n := f.c.at(to); n != nil && f.c.at(f.n) != nil {
		_ = n.host.Step(f.n, batch) // a host that stops refuses
	}
}

func (f from) Snapshot(ctx context.Context, to uint64, env replica.Envelope, body io.Reader) error {
	n := f.c.at(to)
	if n == nil || f.c.at(f.n) == nil {
		return errors.New("the server cannot be reached")
	}
	return n.host.Receive(ctx, f.n, env, body)
}

func (c *trio) at(n uint64) *node {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.hosts[n]
}

func (c *trio) set(k uint64, n *node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hosts[k] = n
}

func (c *trio) start(k uint64, dir string) {
	ctx, t, m, n := context.Background(), c.t, directory.New(), &node{c: c}
	var err error
	if n.users, err = users.OpenSQLite(ctx, filepath.Join(dir, "users.db"), users.Options{Groups: 4, Log: m.Log("users")}); err != nil {
		t.Fatal(err)
	}
	if n.config, err = central.OpenShared(ctx, filepath.Join(dir, "central.db"), nil, m.Log("central")); err != nil {
		t.Fatal(err)
	}
	m.Join("users", n.users.Shared())
	m.Join("central", n.config.Shared())
	n.host, err = replica.Open(ctx, replica.Config{
		Dir: filepath.Join(dir, "replica"), NodeID: k, Transport: from{c, k},
		Servers:      func(n uint64) uc.ServerFQDN { return uc.ServerFQDN(fmt.Sprintf("fe%d", n)) },
		TickInterval: 10 * time.Millisecond, SnapshotEntries: 20, ReserveBytes: -1, NoSync: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if n.group, err = n.host.Start(ctx, uc.DirectoryGroup, m, replica.Members{Voters: []uint64{1, 2, 3}}); err != nil {
		t.Fatal(err)
	}
	m.Serve(n)
	c.set(k, n)
}

func (c *trio) stop(k uint64) {
	n := c.at(k)
	c.set(k, nil)
	for _, err := range []error{n.host.Close(context.Background()), n.users.Close(), n.config.Close()} {
		if err != nil {
			c.t.Error(err)
		}
	}
}

// primary waits for a server that leads.
func (c *trio) primary(ctx context.Context) (*node, error) {
	for ctx.Err() == nil {
		for k := range c.hosts {
			if n := c.at(uint64(k)); n != nil && n.group.Status().Primary {
				return n, nil
			}
		}
		rest(ctx)
	}
	return nil, fault.New(fault.NoQuorum, "trio.primary", "nobody leads").Because(ctx.Err())
}

func rest(ctx context.Context) {
	tick := time.NewTimer(time.Millisecond)
	defer tick.Stop()
	select {
	case <-tick.C:
	case <-ctx.Done():
	}
}

// Propose has the primary propose and waits until this server has caught up.
func (n *node) Propose(ctx context.Context, cmd []byte) (any, error) {
	p, err := n.c.primary(ctx)
	if err != nil {
		return nil, err
	}
	result, err := p.group.Propose(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return result, n.catchUp(ctx, p)
}

func (n *node) Sync(ctx context.Context) error {
	p, err := n.c.primary(ctx)
	if err != nil {
		return err
	}
	if err := p.group.Read(ctx, func() {}); err != nil {
		return err
	}
	return n.catchUp(ctx, p)
}

func (n *node) catchUp(ctx context.Context, p *node) error {
	for want := p.group.Status().Applied; n.group.Status().Applied < want; rest(ctx) {
		if ctx.Err() != nil {
			return fault.New(fault.Timeout, "trio.Sync", "not caught up").Because(ctx.Err())
		}
	}
	return nil
}

// TestThreeHosts writes on all servers of a real group at a time, stops one, lets
// the others go on beyond a snapshot, and finds all alike after its return, with its
// files and without.
func TestThreeHosts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := &trio{t: t}
	dirs := [4]string{}
	for k := uint64(1); k <= 3; k++ {
		dirs[k] = t.TempDir()
		c.start(k, dirs[k])
	}
	total := 0
	write := func(what string, each int, servers ...uint64) {
		t.Helper()
		var wg sync.WaitGroup
		for _, k := range servers {
			total += each
			wg.Go(func() {
				for i := range each {
					if _, err := c.at(k).users.Create(ctx, newUser(fmt.Sprint(what, k, "-", i))); err != nil {
						t.Errorf("%s on server %d: %v", what, k, err)
					}
				}
			})
		}
		wg.Wait()
	}
	alike := func() {
		t.Helper()
		for k := uint64(1); k <= 3; k++ {
			n := c.at(k)
			if err := n.Sync(ctx); err != nil {
				t.Fatal(err)
			}
			all, err := n.users.List(ctx, users.Query{})
			if err != nil || len(all) != total {
				t.Errorf("server %d has %d users of %d, %v", k, len(all), total, err)
			}
			if v, err := n.config.Version(ctx); err != nil || v != 1 {
				t.Errorf("server %d has version %d, %v", k, v, err)
			}
		}
	}
	write("first", 10, 1, 2, 3)
	if _, err := c.at(3).config.Change(ctx, "admin", "CsX", "Global", func([]byte) ([]byte, error) { return []byte(`{}`), nil }); err != nil {
		t.Fatal(err)
	}
	alike()
	c.stop(3)
	write("away", 30, 1, 2)
	c.start(3, dirs[3])
	alike()
	c.stop(2)
	write("again", 10, 1, 3)
	c.start(2, dirs[2])
	write("together", 5, 1, 2, 3)
	alike()
	for k := uint64(1); k <= 3; k++ {
		c.stop(k)
	}
	for k := uint64(1); k <= 3; k++ {
		c.start(k, dirs[k])
	}
	alike()
	for k := uint64(1); k <= 3; k++ {
		c.stop(k)
	}
}
