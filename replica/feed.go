package replica

import (
	"context"
	"sort"
	"sync"
	"time"

	"trivet/fault"
)

// feedLog holds the events that some feed has not yet taken, and where each feed
// stands. Events are not on disk: after a start the replay makes them again.
type feedLog struct {
	backlog, backlogBytes uint64 // bounds of how far a feed may be behind

	mu      sync.Mutex // guards everything below, and the fields of each feed
	feeds   map[string]*feed
	items   []feedItem // entries with events, in log order
	bytes   uint64     // of their commands
	applied uint64
	dropped uint64 // events of entries up to here are no longer to be had
}

type feedItem struct {
	index  uint64
	events []any
	size   uint64
}

type feed struct {
	name      string
	pos       uint64        // everything up to here is done
	saved     uint64        // pos as written to the store
	announced uint64        // pos as put into the log
	kick      chan struct{} // something may be there to do
	running   bool
	gone      chan struct{} // closed by Forget
}

func newFeedLog(backlog, backlogBytes, base uint64, positions map[string]uint64) *feedLog {
	l := &feedLog{backlog: backlog, backlogBytes: backlogBytes, feeds: map[string]*feed{}, applied: base, dropped: base}
	for name, pos := range positions {
		f := l.get(name)
		f.pos, f.saved, f.announced = pos, pos, pos
	}
	return l
}

func (l *feedLog) get(name string) *feed {
	f := l.feeds[name]
	if f == nil {
		f = &feed{name: name, kick: make(chan struct{}, 1), gone: make(chan struct{})}
		l.feeds[name] = f
	}
	return f
}

func (f *feed) wake() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

func (l *feedLog) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.feeds {
		f.wake()
	}
}

// push takes the events of an applied entry.
func (l *feedLog) push(index uint64, events []any, size uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applied = index
	if len(events) > 0 && len(l.feeds) > 0 {
		l.items = append(l.items, feedItem{index, events, size})
		l.bytes += size
		for _, f := range l.feeds {
			f.wake()
		}
	}
	for len(l.items) > 0 && (l.items[0].index+l.backlog <= index || l.bytes > l.backlogBytes && len(l.items) > 1) {
		l.dropped = l.items[0].index
		l.shift()
	}
}

func (l *feedLog) shift() {
	l.bytes -= l.items[0].size
	l.items[0] = feedItem{}
	l.items = l.items[1:]
}

// next returns what a feed has to be given, false if nothing.
func (l *feedLog) next(f *feed) (feedItem, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.pos < l.dropped {
		return feedItem{index: l.dropped, events: []any{Lost{f.pos + 1, l.dropped}}}, true
	}
	if i := l.after(f.pos); i < len(l.items) {
		return l.items[i], true
	}
	return feedItem{}, false
}

// after finds the first item behind pos.
func (l *feedLog) after(pos uint64) int {
	return sort.Search(len(l.items), func(i int) bool { return l.items[i].index > pos })
}

// advance moves a feed on and drops what every feed has taken.
func (l *feedLog) advance(f *feed, to uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.pos = max(f.pos, to)
	l.trim()
}

func (l *feedLog) trim() {
	low := l.applied
	for _, f := range l.feeds {
		low = min(low, f.pos)
	}
	for len(l.items) > 0 && l.items[0].index <= low {
		l.shift()
	}
}

// learn takes the position of the primary's feed from the log.
func (l *feedLog) learn(p position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.get(p.name)
	f.pos = max(f.pos, p.index)
	f.announced = max(f.announced, p.index)
	l.trim()
}

// reset begins anew after a snapshot from another server.
func (l *feedLog) reset(index uint64, positions map[string]uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.items, l.bytes, l.applied, l.dropped = nil, 0, index, index
	for name, pos := range positions {
		f := l.get(name)
		f.pos = max(f.pos, pos)
		f.wake()
	}
}

// reached is how far a feed has come, counting entries without events.
func (l *feedLog) reached(f *feed) uint64 {
	pos := max(f.pos, l.dropped)
	if i := l.after(pos); i < len(l.items) {
		return l.items[i].index - 1
	}
	return max(pos, l.applied)
}

// settled returns how far every feed has come.
func (l *feedLog) settled() []position {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]position, 0, len(l.feeds))
	for _, f := range l.feeds {
		if f.pos < l.dropped { // has yet to be told
			out = append(out, position{name: f.name, index: f.pos})
			continue
		}
		out = append(out, position{name: f.name, index: l.reached(f)})
	}
	return out
}

func (l *feedLog) status() map[string]uint64 {
	out := map[string]uint64{}
	for _, p := range l.settled() {
		out[p.name] = p.index
	}
	return out
}

// floor is the entry after which the events are still needed, limit if no feed
// needs any.
func (l *feedLog) floor(limit uint64) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.feeds {
		limit = min(limit, l.reached(f))
	}
	return limit
}

// unsaved returns the positions that changed since they were last written.
func (l *feedLog) unsaved() []position {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []position
	for _, f := range l.feeds {
		if f.pos != f.saved {
			f.saved = f.pos
			out = append(out, position{name: f.name, index: f.pos})
		}
	}
	return out
}

// unannounced returns the positions that changed since they were last put into
// the log.
func (l *feedLog) unannounced() []position {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []position
	for _, f := range l.feeds {
		if f.pos != f.announced {
			f.announced = f.pos
			out = append(out, position{name: f.name, index: f.pos})
		}
	}
	return out
}

// claim makes the feed of that name run once at a time; a name seen for the
// first time begins behind what is applied now.
func (l *feedLog) claim(name string) (f *feed, fresh, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, known := l.feeds[name]
	f = l.get(name)
	if f.running {
		return f, false, false
	}
	if !known {
		f.pos = l.applied
	}
	f.running = true
	return f, !known, true
}

// end lets all feeds run no more; their positions stay.
func (l *feedLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, f := range l.feeds {
		delete(l.feeds, name)
		close(f.gone)
	}
	l.items, l.bytes = nil, 0
}

func (l *feedLog) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.feeds[name]; f != nil {
		delete(l.feeds, name)
		close(f.gone)
		l.trim()
	}
}

// Bounds of the pause after a feed function failed.
const (
	feedPause    = 50 * time.Millisecond
	feedMaxPause = 10 * time.Second
)

// Feed runs f for the entries with events behind the stored position of that
// name, one at a time in log order, while this server is the group's primary. A
// name seen for the first time begins with the next entry; its position is on
// disk when Feed returns. A position is written some time after f returned nil:
// after a crash the last few entries come again. What a reader has missed beyond
// repair is told by Lost. One running feed per name; kinds of failure: Exists,
// Invalid, Unavailable.
func (g *Group) Feed(name string, f FeedFunc) error {
	const op = "replica.Feed"
	if name == "" || len(name) > 255 {
		return fault.New(fault.Invalid, op, "a feed needs a name of 1 to 255 bytes")
	}
	if err := g.h.usable(op); err != nil {
		return err
	}
	fd, fresh, ok := g.feeds.claim(name)
	if !ok {
		return fault.Newf(fault.Exists, op, "the feed %s of group %d runs already", name, g.id)
	}
	if fresh {
		if err := g.write(op, []position{{name: name, index: fd.pos}}); err != nil {
			return err
		}
	}
	g.h.life.Go("replica.feed "+name, func(ctx context.Context) error { g.runFeed(ctx, fd, f); return nil })
	return nil
}

// Forget ends a feed for good: nothing is kept for it any longer.
func (g *Group) Forget(name string) error {
	g.feeds.forget(name)
	return g.write("replica.Forget", []position{{name: name, gone: true}})
}

// write puts positions on disk and waits for it.
func (g *Group) write(op string, ps []position) error {
	done := make(chan struct{})
	g.h.app.q.push(appendJob{group: g, positions: ps, sync: true, done: done})
	select {
	case <-done:
		return nil
	case <-g.h.store.broken:
		return storeFault(op, g.h.cfg.Dir, g.h.store.failure())
	case <-g.h.Done():
		return g.h.usable(op)
	}
}

func (g *Group) runFeed(ctx context.Context, fd *feed, f FeedFunc) {
	pause := feedPause
	for ctx.Err() == nil {
		wait := (<-chan struct{})(fd.kick)
		if more, err := g.feedOne(ctx, fd, f); err != nil {
			g.h.cfg.Log.Warn("a feed failed and will be repeated", "group", g.id, "feed", fd.name, "pause", pause, "err", err)
			elapsed := make(chan struct{})
			g.h.cfg.Clock.AfterFunc(pause, func() { close(elapsed) })
			wait, pause = elapsed, min(2*pause, feedMaxPause)
		} else if more {
			pause = feedPause
			continue
		}
		select {
		case <-wait:
		case <-fd.gone:
			return
		case <-ctx.Done():
		}
	}
}

// feedOne gives the feed one entry, and reports whether there was one.
func (g *Group) feedOne(ctx context.Context, fd *feed, f FeedFunc) (bool, error) {
	if !g.primary.Load() {
		return false, nil
	}
	it, ok := g.feeds.next(fd)
	if !ok {
		return false, nil
	}
	if err := f(ctx, it.index, it.events); err != nil {
		return false, err
	}
	g.feeds.advance(fd, it.index)
	g.savePositions()
	return true, nil
}

// savePositions has the changed positions written soon, without a flush of their own.
func (g *Group) savePositions() {
	if !g.saving.Swap(true) {
		g.h.app.q.push(appendJob{group: g})
	}
}
