// Package child runs a foreign program for the length of a test: its output is
// kept line by line and can be awaited, it is killed when the test ends or the
// test program dies, and what it last said is printed when the test fails.
//
// A Process may be used by several goroutines.
package child

import (
	"bufio"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tail is how many of the last lines a failed test prints.
const tail = 40

// Process is a running, or ended, foreign program.
type Process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended and its output is read

	mu    sync.Mutex // guards the fields below
	lines []string
	news  chan struct{} // closed and replaced when a line arrives
	err   error         // how the program ended, set before done is closed
}

// Start starts cmd, whose Stdout and Stderr are taken over. name stands in front
// of its lines in the test's log.
func Start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{name: name, cmd: cmd, done: make(chan struct{}), news: make(chan struct{})}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 2 * time.Second // its own children may keep the output open
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s does not start: %v", name, err)
	}
	go p.read(r)
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		w.Close()
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s said last:\n%s", name, p.Tail())
		}
	})
	return p
}

func (p *Process) read(r io.Reader) {
	defer close(p.done)
	for b := bufio.NewReader(r); ; {
		line, err := b.ReadString('\n')
		if line != "" {
			p.mu.Lock()
			p.lines = append(p.lines, strings.TrimRight(line, "\r\n"))
			close(p.news)
			p.news = make(chan struct{})
			p.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// Await returns the first line, from the beginning of the output, that match
// accepts. The test ends when none comes in time or the program ends first.
func (p *Process) Await(t testing.TB, what string, timeout time.Duration, match func(line string) bool) string {
	t.Helper()
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	for seen, ended := 0, false; ; {
		p.mu.Lock()
		fresh, news := p.lines[seen:], p.news
		seen = len(p.lines)
		p.mu.Unlock()
		if i := slices.IndexFunc(fresh, match); i >= 0 {
			return fresh[i]
		}
		if ended {
			t.Fatalf("%s ended without %s: %v", p.name, what, p.Err())
		}
		select {
		case <-news:
		case <-p.done:
			ended = true
		case <-limit.C:
			t.Fatalf("%s: no %s in %v", p.name, what, timeout)
		}
	}
}

// Wait returns how the program ended, nil for exit status 0. The test ends when
// it is still running after the timeout.
func (p *Process) Wait(t testing.TB, timeout time.Duration) error {
	t.Helper()
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	select {
	case <-p.done:
	case <-limit.C:
		t.Fatalf("%s still runs after %v", p.name, timeout)
	}
	return p.Err()
}

// Kill ends the program at once (SIGKILL) and returns when it is gone.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Signal sends a signal; a program that has ended does not mind.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the program ended, nil while it runs or after status 0.
func (p *Process) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Lines returns what the program has said so far.
func (p *Process) Lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines)
}

// Tail returns the last lines the program said.
func (p *Process) Tail() string {
	lines := p.Lines()
	return strings.Join(lines[max(0, len(lines)-tail):], "\n")
}
