package dirsync

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"trivet/fault"
	"trivet/kit/conf"
	"trivet/rule/dirsync"
)

// paging answers each search with one page: an entry with that DN, "" for none, and
// that cookie. With silent it answers nothing.
type paging struct {
	entry, cookie string
	silent        bool
}

func (p paging) start(t *testing.T) (url string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			p.serve(c)
		}
	}()
	return "ldap://" + ln.Addr().String()
}

func (p paging) serve(c net.Conn) {
	defer c.Close()
	for r := bufio.NewReader(c); ; {
		_, message, err := element(r)
		if err != nil {
			return
		}
		m := bufio.NewReader(strings.NewReader(string(message)))
		_, id, _ := element(m)
		if op, _, err := element(m); err != nil || op != 0x63 {
			return
		}
		if p.silent {
			continue
		}
		number := string([]byte{2, byte(len(id))}) + string(id)
		out := ""
		if p.entry != "" {
			out = tlv(0x30, number, tlv(0x64, tlv(4, p.entry), tlv(0x30)))
		}
		control := tlv(0x30, tlv(4, "1.2.840.113556.1.4.319"), tlv(4, tlv(0x30, tlv(2, "\x00"), tlv(4, p.cookie))))
		out += tlv(0x30, number, tlv(0x65, tlv(0x0a, "\x00"), tlv(4), tlv(4)), tlv(0xa0, control))
		if _, err := io.WriteString(c, out); err != nil {
			return
		}
	}
}

func endless(t *testing.T, name, url string) conf.DirectorySource {
	return load(t, map[string]any{
		"name": name, "servers": []string{url}, "tls": "plain", "every": "0s", "timeout": "30s", "users": map[string]any{"bases": []string{"DC=example"}},
	})[0]
}

// TestAnswersThatDoNotEnd: pages without end make the run fail.
func TestAnswersThatDoNotEnd(t *testing.T) {
	for name, c := range map[string]struct {
		server paging
		want   string
	}{
		"empty pages": {paging{cookie: "x"}, "do not end"}, "the same page": {paging{entry: "CN=a", cookie: "x"}, "do not end"},
		"no answer": {paging{silent: true}, "did not give the whole answer within"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &site{T: t, clock: &hand{}, dir: t.TempDir(), list: []conf.DirectorySource{endless(t, "corp", c.server.start(t))}}
			s.start()
			if c.server.silent {
				s.sources[0].longest = 50 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if _, err := s.Update(ctx, "corp", dirsync.Options{}); err == nil || !strings.Contains(err.Error(), c.want) || s.States()[0].Phase != dirsync.Failed {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestSourcesDoNotWait: a source that does not answer keeps no other one waiting.
func TestSourcesDoNotWait(t *testing.T) {
	s := &site{T: t, clock: &hand{}, dir: t.TempDir(), list: []conf.DirectorySource{
		endless(t, "stuck", paging{silent: true}.start(t)), endless(t, "corp", paging{entry: "CN=a"}.start(t)),
	}}
	s.start()
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := s.Update(short, "stuck", dirsync.Options{}); !fault.Is(err, fault.Timeout) {
		t.Fatal(err)
	}
	long, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := s.Update(long, "corp", dirsync.Options{}); err != nil {
		t.Errorf("it waits for the other one: %v", err)
	}
}
