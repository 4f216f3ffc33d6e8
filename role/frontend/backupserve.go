package frontend

import (
	"context"
	"net/http"
	"time"

	"trivet/fault"
	"trivet/link/httpd"
)

// streamPatience is how long who asked for a backup may take for a part of it. A
// backup that nobody takes would hold its space on the disk.
const streamPatience = time.Minute

// mountBackup lets the owner of the data folder have a backup. It is mounted on the
// socket only: there is no way to it over the network.
// The returned function ends a backup under way.
func (s *server) mountBackup(mux *http.ServeMux) (stop func()) {
	stopping, stop := context.WithCancel(context.Background())
	mux.HandleFunc("POST /backup", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(stopping, cancel)()
		s.serveBackup(ctx, w)
	})
	return stop
}

func (s *server) serveBackup(ctx context.Context, w http.ResponseWriter) {
	const op = "frontend.serveBackup"
	if s.fabric != nil {
		httpd.Problem(w, fault.New(fault.Unsupported, op, "a server of a pool is not backed up by itself, since it would come back with what it has promised forgotten: the other servers and the Back End have its data"))
		return
	}
	if !s.backing.TryLock() {
		httpd.Problem(w, fault.New(fault.Exists, op, "another backup is being made; wait until it has ended"))
		return
	}
	defer s.backing.Unlock()
	f := &folder{set: s.set, host: s.host, still: s.authority.Still, clock: s.clock}
	defer func() {
		if err := f.clear(); err != nil {
			s.log.Warn("what a backup has left cannot be removed; the next start tries again", "folder", f.copy(""), "err", err)
		}
	}()
	begin := s.clock.Now()
	m, err := f.take(ctx)
	if err == nil {
		err = s.desk.Note("backup")
	}
	if err != nil {
		s.log.Error("no backup could be made", "err", err)
		httpd.Problem(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/gzip")
	out := patient{ctx, w, http.NewResponseController(w)}
	defer context.AfterFunc(ctx, out.wake)()
	if err := f.write(ctx, out, m); err != nil {
		s.log.Error("a backup ended before it was whole", "err", err)
		panic(http.ErrAbortHandler) // whoever reads it must not take it for whole
	}
	s.log.Info("a backup was made", "of", m.Made, "bytes", m.Bytes(), "took", s.clock.Now().Sub(begin), "held", f.held)
}

// patient is an answer that may take as long as it likes, if only it moves, and ends
// with its context.
type patient struct {
	ctx context.Context
	http.ResponseWriter
	control *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(streamPatience)); err != nil {
		return 0, err
	}
	if err := context.Cause(p.ctx); err != nil { // wake may have been before the deadline
		return 0, err
	}
	return p.ResponseWriter.Write(b)
}

// wake ends a Write that waits.
func (p patient) wake() { _ = p.control.SetWriteDeadline(time.Unix(1, 0)) }
