package httpd

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"trivet/fault"
	"trivet/kit/life"
)

// maxSocketPath is what fits in a Unix address on Linux.
const maxSocketPath = 107

// Local serves h on a Unix socket that only the owner of the folder can open. A
// socket that a dead process left is replaced; one that answers is
// fault.Exists: another server runs in the folder.
func Local(ctx context.Context, g *life.Group, path string, h http.Handler, log *slog.Logger) error {
	const op = "httpd.Local"
	ln, err := listenLocal(ctx, path)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	g.Go("local management", func(context.Context) error {
		if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return fault.Wrap(op, err)
		}
		return nil
	})
	g.Add("local management", 12*time.Second, func(ctx context.Context) error { return shutdown(ctx, s) })
	return nil
}

func listenLocal(ctx context.Context, path string) (net.Listener, error) {
	const op = "httpd.Local"
	short, err := SocketPath(path)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: time.Second}
	if c, err := dialer.DialContext(ctx, "unix", short); err == nil {
		c.Close()
		return nil, fault.Newf(fault.Exists, op, "a server already runs in %s; stop it, or choose another folder with --data", filepath.Dir(path)).About(path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Wrap(op, err)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", short)
	if err != nil {
		return nil, fault.Newf(fault.Unavailable, op, "cannot make the management socket %s", path).Because(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fault.Wrap(op, err), ln.Close())
	}
	return ln, nil
}

// SocketPath returns a name of path that fits in a Unix address: the absolute
// one, else the one relative to the working directory.
func SocketPath(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fault.Wrap("httpd.SocketPath", err)
	}
	if len(abs) <= maxSocketPath {
		return abs, nil
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, abs); err == nil && len(rel) <= maxSocketPath {
			return rel, nil
		}
	}
	return "", fault.Newf(fault.Invalid, "httpd.SocketPath", "the path %s is longer than the %d bytes a socket may have; choose a shorter --data", abs, maxSocketPath)
}
