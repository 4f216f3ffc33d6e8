package child

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAwaitSeesLinesInOrderAndEarlierOnes(t *testing.T) {
	p := Start(t, "sh", exec.Command("sh", "-c", "echo one; echo two >&2; cat"))
	p.Await(t, "two", 5*time.Second, func(l string) bool { return l == "two" })
	p.Await(t, "one", 5*time.Second, func(l string) bool { return l == "one" })
	if err := p.Wait(t, 5*time.Second); err != nil {
		t.Errorf("Wait = %v, want nil (its standard input is empty)", err)
	}
	if got := strings.Join(p.Lines(), " "); got != "one two" {
		t.Errorf("Lines = %q, want %q", got, "one two")
	}
}

func TestSignalAndStatus(t *testing.T) {
	p := Start(t, "sleep", exec.Command("sleep", "60"))
	p.Signal(syscall.SIGTERM)
	if err := p.Wait(t, 5*time.Second); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("Wait = %v, want a termination", err)
	}
}
