package replica

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.etcd.io/raft/v3"

	"trivet/fault"
	"trivet/kit/life"
	"trivet/uc"
)

// Host holds the groups of one server.
type Host struct {
	cfg     Config
	life    *life.Group
	disk    *life.Group // what is done with the store on goroutines of its own
	lock    io.Closer
	store   *store
	space   *space
	loop    *loop
	app     *appender
	witness *witnessed
	steps   *Stepped // nil: every part has a goroutine
	snaps   string   // folder of the groups' snapshot folders

	received atomic.Int64 // bytes of messages of other servers not yet stepped
	closing  atomic.Bool

	mu     sync.Mutex // guards groups
	groups map[uc.GroupID]*Group
}

// Open takes the data folder and starts a host without groups. It fails with
// fault.Unavailable when another process has the folder or the disk has no room
// at all, fault.Invalid when the folder belongs to another server,
// fault.Unsupported when another version wrote it, fault.Internal when its log
// is damaged. ctx gives values only; Close ends the host.
func Open(ctx context.Context, cfg Config) (*Host, error) { return openHost(ctx, cfg, nil) }

func openHost(ctx context.Context, cfg Config, steps *Stepped) (*Host, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := makeDir(cfg.FS, cfg.Dir); err != nil {
		return nil, openFault(cfg.Dir, err)
	}
	lock, err := cfg.FS.Lock(cfg.FS.PathJoin(cfg.Dir, "LOCK"))
	if err != nil {
		return nil, fault.New(fault.Unavailable, "replica.Open", "the data folder is in use by another process; stop that one first").About(cfg.Dir).Because(err)
	}
	h := &Host{cfg: cfg, steps: steps, lock: lock, groups: map[uc.GroupID]*Group{}}
	if err := h.open(ctx); err != nil {
		return nil, errors.Join(openFault(cfg.Dir, err), lock.Close())
	}
	return h, nil
}

// makeDir makes a folder and those above it so that they outlive a crash. One that is
// there may have been made by a run whose flush failed, so its name is flushed anyway;
// those further up may belong to others, who need not let them be opened.
func makeDir(fs vfs.FS, path string) error {
	_, missing := fs.Stat(path)
	parent := fs.PathDir(path)
	if parent != path {
		if err := makeDir(fs, parent); err != nil && missing != nil {
			return err
		}
	}
	if err := fs.MkdirAll(path, 0o700); err != nil {
		return err
	}
	if parent == path {
		return nil
	}
	return syncDir(fs, parent)
}

func (h *Host) open(ctx context.Context) (err error) {
	fs := h.cfg.FS
	h.snaps = fs.PathJoin(h.cfg.Dir, "snapshots")
	if err = errors.Join(makeDir(fs, h.snaps), syncDir(fs, h.cfg.Dir)); err != nil {
		return err
	}
	h.space = newSpace(&h.cfg)
	guarded := vfs.OnDiskFull(fs, h.space.exhausted)
	h.life = life.New(context.WithoutCancel(ctx), h.cfg.Log)
	h.disk = life.New(context.WithoutCancel(ctx), h.cfg.Log)
	if h.store, err = h.openStore(guarded); err != nil {
		return errors.Join(err, h.life.Stop(context.WithoutCancel(ctx)), h.leaveDisk(ctx))
	}
	h.app = &appender{h: h, q: newQueue[appendJob](), out: outbox{}}
	h.loop = newLoop(h)
	h.witness = &witnessed{h: h, q: newQueue[witnessMsg]()}
	if h.steps != nil {
		return nil
	}
	h.life.Go("replica.loop", h.loop.run)
	h.life.Go("replica.append", h.app.run)
	h.life.Go("replica.space", h.space.watch)
	if h.cfg.WitnessStore != nil {
		h.life.Go("replica.witness", h.witness.run)
	}
	return nil
}

var errDisk = errors.New("the disk failed in the middle of a change")

// onDisk does something with the store on a goroutine of its own: when the disk fails in
// the middle, pebble asks for the end of the goroutine (storeLog.Fatalf) or panics, which
// must not be a caller's, and others may wait for it in vain.
func (h *Host) onDisk(s *store, do func() error) error {
	if h.steps != nil {
		return do()
	}
	done := make(chan error, 1)
	if !h.disk.Go("replica.disk", func(context.Context) error {
		err := errDisk
		defer func() { done <- err }()
		err = do()
		return nil
	}) {
		return h.usable("replica.disk")
	}
	select {
	case err := <-done:
		return err
	case <-s.broken:
		return s.failure()
	}
}

// openStore opens the log, which has to be this server's.
func (h *Host) openStore(fs vfs.FS) (*store, error) {
	s := newStore(fs.PathJoin(h.cfg.Dir, "log"), h.cfg.Log)
	s.db = h.cfg.Database
	late := h.cfg.Clock.AfterFunc(h.cfg.OpenLimit, func() { s.fail(errDisk) })
	defer late.Stop()
	err := h.onDisk(s, func() error {
		if s.db == nil {
			if err := s.open(fs); err != nil {
				return err
			}
		}
		if err := s.checkNode(h.cfg.NodeID, h.sync()); err != nil {
			return errors.Join(err, s.close())
		}
		return nil
	})
	return s, err
}

// openFault says what keeps the folder from being opened.
func openFault(dir string, err error) error {
	const op = "replica.Open"
	var own *fault.Error
	switch {
	case errors.As(err, &own):
		return err
	case noSpace(err):
		return fault.New(fault.Unavailable, op, "the disk of the data folder is full; free some space and start again").About(dir).Because(err)
	case pebble.IsCorruptionError(err):
		return fault.New(fault.Internal, op, "the log in the data folder is damaged; restore the folder from a backup").About(dir).Because(err)
	}
	return fault.New(fault.Unavailable, op, "the data folder cannot be opened").About(dir).Because(err)
}

func (h *Host) sync() *pebble.WriteOptions {
	if h.cfg.NoSync {
		return pebble.NoSync
	}
	return pebble.Sync
}

// Start begins to take part in a group with the state of m, which must be empty:
// the newest usable snapshot is restored before Start returns, the rest of the
// log is applied afterwards (see Group.Ready). A group of one voter elects itself
// at once. first is the membership of a group that begins; it counts when the
// group is started here for the first time, afterwards the stored one does. With
// the zero Members this server joins a group: it waits for what the primary sends.
func (h *Host) Start(ctx context.Context, id uc.GroupID, m Machine, first Members) (*Group, error) {
	const op = "replica.Start"
	if id == 0 {
		return nil, fault.New(fault.Invalid, op, "groups are numbered from 1")
	}
	if err := h.usable(op); err != nil {
		return nil, err
	}
	named := append(slices.Clone(first.Voters), first.Observers...)
	if slices.Contains(named, raft.None) || h.cfg.Transport == nil && !first.Equal(Alone(h.cfg.NodeID)) {
		return nil, fault.New(fault.Invalid, op, "members are numbered from 1, and several of them need a Transport")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.groups[id] != nil {
		return nil, fault.Newf(fault.Exists, op, "group %d is started already", id)
	}
	g, err := loadGroup(h, id, m, first)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	if err := context.Cause(ctx); err != nil {
		return nil, fault.Wrap(op, err)
	}
	h.groups[id] = g
	if h.steps == nil {
		h.life.Go("replica.apply", g.run)
	}
	h.loop.in.push(input{group: g, call: h.loop.add})
	return g, nil
}

// Group returns a started group, nil if there is none of that number.
func (h *Host) Group(id uc.GroupID) *Group {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.groups[id]
}

// Status returns all groups in the order of their numbers.
func (h *Host) Status() []Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Status, 0, len(h.groups))
	for _, g := range h.groups {
		out = append(out, g.Status())
	}
	slices.SortFunc(out, func(a, b Status) int { return int(a.Group) - int(b.Group) })
	return out
}

// Done is closed when the host has ended, by Close or by a failure (Err).
func (h *Host) Done() <-chan struct{} { return h.life.Context().Done() }

// Broken is closed when the log can no longer be written: reads go on, proposals
// are refused until the process is started anew. Err says why.
func (h *Host) Broken() <-chan struct{} { return h.store.broken }

// Err returns what ended or broke the host, nil while it is well.
func (h *Host) Err() error {
	if err := h.life.Err(); err != nil {
		return fault.Wrap("replica.Host", err)
	}
	if err := h.store.failure(); err != nil {
		return storeFault("replica.Host", h.cfg.Dir, err)
	}
	return nil
}

func storeFault(op, dir string, err error) error {
	return fault.New(fault.Unavailable, op, "the log can no longer be written; free or mend the disk and restart the server").About(dir).Because(err)
}

// usable says why nothing can be asked of the host any more.
func (h *Host) usable(op string) error {
	if err := h.life.Err(); err != nil {
		return fault.New(fault.Internal, op, "the replication host has failed; restart the server").Because(err)
	}
	if h.closing.Load() || h.life.Context().Err() != nil {
		return fault.New(fault.Unavailable, op, "the server is stopping")
	}
	return nil
}

// writable says why nothing can be proposed.
func (h *Host) writable(op string) error {
	if err := h.usable(op); err != nil {
		return err
	}
	if err := h.store.failure(); err != nil {
		return storeFault(op, h.cfg.Dir, err)
	}
	if h.space.full.Load() {
		e := fault.New(fault.Unavailable, op, "the disk of the data folder is full; nothing can be changed until space is freed").About(h.cfg.Dir)
		e.RetryAfter = 5 * time.Second
		return e
	}
	return nil
}

// Close stops all groups, writes the feeds' positions and gives the data folder
// back. Proposals under way are answered with fault.Unavailable, their outcome
// unknown. A second Close does nothing.
func (h *Host) Close(ctx context.Context) error {
	if h.closing.Swap(true) {
		return nil
	}
	if err := h.life.Stop(ctx); ctx.Err() != nil { // something may still run and use the store
		return fault.New(fault.Timeout, "replica.Close", "the replication host did not stop in time; its log is left as it is").Because(err)
	}
	failed := h.life.Err()
	if h.store.failure() == nil {
		failed = errors.Join(failed, h.onDisk(h.store, func() error { return errors.Join(h.savePositions(), h.store.close()) }))
	}
	return fault.Wrap("replica.Close", errors.Join(failed, h.leaveDisk(ctx), h.lock.Close()))
}

// leaveDisk ends what is done with the store. Of a broken one some may hang for ever,
// which is not waited for.
func (h *Host) leaveDisk(ctx context.Context) error {
	if h.store.failure() != nil {
		return nil
	}
	return h.disk.Stop(context.WithoutCancel(ctx))
}

func (h *Host) savePositions() error {
	b := h.store.db.NewBatch()
	defer b.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, g := range h.groups {
		if err := g.writePositions(b, g.feeds.settled()); err != nil {
			return err
		}
	}
	if b.Empty() {
		return nil
	}
	return b.Commit(h.sync())
}
