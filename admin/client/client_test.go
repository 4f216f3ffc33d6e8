package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trivet/admin/cmdlet"
	"trivet/kit/clock"
)

// A server that is not there, and one that goes away in the middle, are two things.
func TestConnectionThatEndsInTheMiddle(t *testing.T) {
	t.Parallel()
	call := func(data string) error {
		c, err := dial(Target{Data: data})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.call(context.Background(), "Set-CsUser", cmdlet.Given{}, false)
		return err
	}
	data := t.TempDir()
	if err := call(data); !errors.Is(err, ErrNotReached) || !strings.Contains(err.Error(), "no server runs in "+data) {
		t.Errorf("without a socket: %v", err)
	}
	ln, err := net.Listen("unix", filepath.Join(data, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, partial := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"} {
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 4096))
			c.Write([]byte(partial))
			c.Close()
		}()
		if err := call(data); err == nil || errors.Is(err, ErrNotReached) || !strings.Contains(err.Error(), "not known whether it was done") {
			t.Errorf("after %q: %v", partial, err)
		}
	}
}

// A file is read no further than a call of the cmdlet may be long; nobody is asked.
func TestFileThatIsTooLarge(t *testing.T) {
	t.Parallel()
	large := filepath.Join(t.TempDir(), "large.png")
	if err := os.WriteFile(large, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{large, "/dev/zero"} {
		var errs bytes.Buffer
		s := Session{Target: Target{Data: t.TempDir()}, In: strings.NewReader(""), Out: io.Discard, Err: &errs, Clock: clock.Real{}}
		status := s.Run(t.Context(), "Set-CsUserPhoto", []string{"alice@x.test", "-PictureData", path})
		if status != WrongUse || !strings.Contains(errs.String(), "-PictureData needs a file of at most 786432 bytes") {
			t.Fatalf("%s: status %d, %s", path, status, errs.String())
		}
	}
}
