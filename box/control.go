package box

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"trivet/fault"
	"trivet/link/httpd"
)

// controlFile is the socket of a running box below its folder.
const controlFile = "lab.sock"

// DownCommand ends the box; only Control takes it.
const DownCommand = "down"

const maxCommand = 1024

// outcome is the answer to a command.
type outcome struct {
	Text  string     `json:"text"`
	Kind  fault.Kind `json:"kind,omitempty"`
	Error string     `json:"error,omitempty"`
	Fails bool       `json:"fails,omitempty"`
}

// Control serves commands of other processes of the same user on a socket in the
// box's folder, until the box ends or somebody says "down", for which down is
// called.
func (b *Box) Control(down func()) error {
	const op = "box.Control"
	path, err := httpd.SocketPath(filepath.Join(b.Plan.Dir, controlFile))
	if err != nil {
		return fault.Wrap(op, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fault.Wrap(op, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fault.New(fault.Unavailable, op, "the socket for commands cannot be made").About(path).Because(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return fault.Wrap(op, err)
	}
	context.AfterFunc(b.group.Context(), func() { l.Close() })
	b.group.Go("commands", func(ctx context.Context) error {
		for {
			c, err := l.Accept()
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			b.group.Go("command", func(ctx context.Context) error { b.command(ctx, c, down); return nil })
		}
	})
	return nil
}

func (b *Box) command(ctx context.Context, c net.Conn, down func()) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	c.SetReadDeadline(time.Now().Add(probeTime))
	line, err := bufio.NewReader(io.LimitReader(c, maxCommand)).ReadString('\n')
	if err != nil {
		return
	}
	if strings.TrimSpace(line) == DownCommand {
		json.NewEncoder(c).Encode(outcome{Text: "going down\n"})
		down()
		return
	}
	var text bytes.Buffer
	var o outcome
	if err := b.Do(ctx, line, &text); err != nil {
		o = outcome{Kind: fault.KindOf(err), Error: err.Error(), Fails: true}
		var f *fault.Error
		if errors.As(err, &f) {
			o.Error = strings.TrimPrefix(o.Error, f.Op+": ")
		}
	}
	o.Text = text.String()
	json.NewEncoder(c).Encode(o)
}

// Tell gives a command to the box that runs in dir and writes its answer to w.
func Tell(ctx context.Context, dir, line string, w io.Writer) error {
	const op = "box.Tell"
	path, err := httpd.SocketPath(filepath.Join(dir, controlFile))
	if err != nil {
		return fault.Wrap(op, err)
	}
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return fault.New(fault.NotFound, op, "no lab runs in this folder; trivet lab up starts one").About(dir)
	}
	if err != nil {
		return fault.Wrap(op, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if _, err := io.WriteString(c, strings.ReplaceAll(line, "\n", " ")+"\n"); err != nil {
		return fault.Wrap(op, err)
	}
	var o outcome
	if err := json.NewDecoder(c).Decode(&o); err != nil {
		return fault.New(fault.Unavailable, op, "the lab ended before it answered").About(dir).Because(err)
	}
	if _, err := io.WriteString(w, o.Text); err != nil {
		return err
	}
	if o.Fails {
		return fault.New(o.Kind, op, o.Error)
	}
	return nil
}
