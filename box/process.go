package box

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"trivet/fault"
)

const maxLine = 4096 // bytes of a line of a server that are looked at

// process is one server of the box.
type process struct {
	Server
	box *Box

	mu     sync.Mutex // guards the fields below
	cmd    *exec.Cmd  // nil before the first start
	ended  chan struct{}
	exit   string // how it ended
	paused bool
	said   string // last line that begins with starting or ready
	wrong  string // last line of its errors and log
}

func newProcess(b *Box, s Server) *process {
	ended := make(chan struct{})
	close(ended)
	return &process{Server: s, box: b, ended: ended, exit: "never started"}
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// start begins the process, which the kernel kills should this one die.
func (p *process) start(context.Context) error {
	const op = "box.start"
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return fault.New(fault.Exists, op, "the server runs already").About(p.Name)
	}
	p.wrong = ""
	file, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fault.Wrap(op, err)
	}
	prog := p.box.spec.Program
	cmd := exec.Command(prog[0], append(append([]string{}, prog[1:]...), "--topology", p.Topology, "--computer", string(p.FQDN), "--data", p.Data)...)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(file, &lines{take: p.hear}), io.MultiWriter(file, &lines{take: p.complain})
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL} // Ctrl-C is for the box
	cmd.WaitDelay = time.Second                                                       // for output that a child of the server holds open
	began, ended := make(chan error, 1), make(chan struct{})
	if !p.box.group.Go("server "+p.Name, func(context.Context) error {
		defer file.Close()
		runtime.LockOSThread() // Pdeathsig is of the thread that starts
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		began <- err
		if err == nil {
			cmd.Wait()
			p.over(cmd, ended)
		}
		return nil
	}) {
		file.Close()
		return fault.New(fault.Gone, op, "the box is closed").About(p.Name)
	}
	if err := <-began; err != nil {
		return fault.New(fault.Unavailable, op, "the server cannot be started").About(p.Name).Because(err)
	}
	p.cmd, p.ended, p.exit, p.paused, p.said = cmd, ended, "", false, ""
	return nil
}

func (p *process) over(cmd *exec.Cmd, ended chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exit = cmd.ProcessState.String(); p.wrong != "" && cmd.ProcessState.Exited() && !cmd.ProcessState.Success() {
		p.exit += ": " + p.wrong
	}
	close(ended)
}

// hear keeps what the server says of its state.
func (p *process) hear(line []byte) {
	if bytes.HasPrefix(line, []byte("ready")) || bytes.HasPrefix(line, []byte("starting")) {
		p.mu.Lock()
		p.said = string(line)
		p.mu.Unlock()
	}
}

// complain keeps the last line, which for a server that does not start says why.
func (p *process) complain(line []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = string(line)
}

// signal sends a signal to the running process.
func (p *process) signal(s syscall.Signal, paused bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return fault.New(fault.Gone, "box.signal", "the server does not run").About(p.Name)
	}
	p.paused = paused
	if err := p.cmd.Process.Signal(s); err != nil {
		return fault.New(fault.Unavailable, "box.signal", "the signal cannot be sent").About(p.Name).Because(err)
	}
	return nil
}

func (p *process) pause() error  { return p.signal(syscall.SIGSTOP, true) }
func (p *process) resume() error { return p.signal(syscall.SIGCONT, false) }

func (p *process) kill(ctx context.Context) error {
	if err := p.signal(syscall.SIGKILL, false); err != nil {
		return err
	}
	return p.wait(ctx)
}

// stop asks the process to end; one that has ended is fine.
func (p *process) stop(ctx context.Context) error {
	if err := p.signal(syscall.SIGTERM, false); err != nil {
		if fault.Is(err, fault.Gone) {
			return nil
		}
		return err
	}
	p.signal(syscall.SIGCONT, false) // a paused one hears it now
	return p.wait(ctx)
}

func (p *process) wait(ctx context.Context) error {
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fault.New(fault.Timeout, "box.stop", "the server does not end; its log says more").About(p.Log).Because(ctx.Err())
	}
}

// lines hands over whole lines, cut at maxLine.
type lines struct {
	take func(line []byte)
	part []byte
}

func (l *lines) Write(b []byte) (int, error) {
	n := len(b)
	for {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		l.part = append(l.part, line[:min(len(line), maxLine-len(l.part))]...)
		if !whole {
			return n, nil
		}
		l.take(bytes.TrimRight(l.part, "\r"))
		l.part, b = l.part[:0], rest
	}
}
