package dirsync

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// tlv is an element of BER with a definite length below 64 KiB.
func tlv(tag byte, parts ...string) string {
	body := strings.Join(parts, "")
	return string([]byte{tag, 0x82, byte(len(body) >> 8), byte(len(body))}) + body
}

// element reads one element.
func element(r *bufio.Reader) (tag byte, body []byte, err error) {
	if tag, err = r.ReadByte(); err != nil {
		return 0, nil, err
	}
	n, err := r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	size := int(n)
	if n&0x80 != 0 {
		size = 0
		for range n & 0x7f {
			b, err := r.ReadByte()
			if err != nil {
				return 0, nil, err
			}
			size = size<<8 | int(b)
		}
	}
	body = make([]byte, size)
	_, err = io.ReadFull(r, body)
	return tag, body, err
}

// activeDirectory answers searches as Active Directory does with a group of many:
// two members at once.
func activeDirectory(t *testing.T) (url string) {
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
			serve(c)
		}
	}()
	return "ldap://" + ln.Addr().String()
}

func serve(c net.Conn) {
	defer c.Close()
	attribute := func(name string, values ...string) string {
		all := ""
		for _, v := range values {
			all += tlv(4, v)
		}
		return tlv(0x30, tlv(4, name), tlv(0x31, all))
	}
	dn := func(name string) string { return "CN=" + name + ",DC=example" }
	for r := bufio.NewReader(c); ; {
		_, message, err := element(r)
		if err != nil {
			return
		}
		m := bufio.NewReader(strings.NewReader(string(message)))
		_, id, _ := element(m)
		op, request, err := element(m)
		if err != nil || op != 0x63 { // no search: the end
			return
		}
		entry := ""
		switch text := string(request); {
		case strings.Contains(text, "range=2-*"):
			entry = tlv(0x64, tlv(4, dn("all")), tlv(0x30, attribute("member;range=2-3", dn("c"), dn("d"))))
		case strings.Contains(text, "range=4-*"):
			entry = tlv(0x64, tlv(4, dn("all")), tlv(0x30, attribute("member;range=4-*", dn("e"))))
		case strings.Contains(text, "group"):
			entry = tlv(0x64, tlv(4, dn("all")), tlv(0x30, attribute("objectGUID", "0123456789abcdef"), attribute("cn", "all"), attribute("mail", "all@example.test"),
				attribute("member"), attribute("member;range=0-1", dn("a"), dn("b"))))
		}
		number := string([]byte{2, byte(len(id))}) + string(id)
		out := tlv(0x30, number, tlv(0x65, tlv(0x0a, "\x00"), tlv(4), tlv(4)))
		if entry != "" {
			out = tlv(0x30, number, entry) + out
		}
		if _, err := io.WriteString(c, out); err != nil {
			return
		}
	}
}

func TestMembersInRanges(t *testing.T) {
	s := &site{T: t, clock: &hand{}, dir: t.TempDir(), list: load(t, map[string]any{
		"name": "corp", "servers": []string{activeDirectory(t)}, "tls": "plain", "every": "0s", "timeout": "5s",
		"users": map[string]any{"bases": []string{"DC=example"}}, "groups": map[string]any{"bases": []string{"DC=example"}},
	})}
	s.start()
	f, err := s.sources[0].fetch(t.Context(), time.Now(), logless)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.teams) != 1 || strings.Join(f.teams[0].Members, " ") != "cn=a,dc=example cn=b,dc=example cn=c,dc=example cn=d,dc=example cn=e,dc=example" {
		t.Errorf("got %+v %+v", f.teams, f.broken)
	}
}

func TestRanged(t *testing.T) {
	t.Parallel()
	for option, want := range map[string]int{"": 0, "lang-en": 0, "range=0-1499": 1500, "range=1500-*": 0, "range=0-": -1, "range=x-y": -1, "range=5--9": -1} {
		next, more, err := ranged(option)
		if err != nil {
			next = -1
		}
		if next != want || more != (want > 0) {
			t.Errorf("%q: %d %v %v", option, next, more, err)
		}
	}
}
