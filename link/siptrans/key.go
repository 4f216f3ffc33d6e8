package siptrans

import (
	"hash/maphash"
	"strconv"
	"strings"

	"trivet/wire/sip"
)

// cookie begins every branch of RFC 3261.
const cookie = "z9hG4bK"

// txKey names a server transaction within its connection: two independent hashes
// with random seeds, so that nobody can make two keys meet.
type txKey struct{ a, b uint64 }

type seeds struct{ a, b maphash.Seed }

func newSeeds() seeds { return seeds{maphash.MakeSeed(), maphash.MakeSeed()} }

func (s *seeds) sum(parts ...string) txKey {
	var k txKey
	for _, p := range parts {
		k.a = k.a*0x9e3779b97f4a7c15 + maphash.String(s.a, p)
		k.b = k.b*0xc2b2ae3d27d4eb4f + maphash.String(s.b, p)
	}
	return k
}

// keyOf names the server transaction of req, RFC 3261 17.2.3. An ACK or CANCEL
// has the key of its INVITE. Without a branch (Lync clients) Call-ID, CSeq number
// and From tag stand for it: the connection makes them unique.
func (s *seeds) keyOf(req *sip.Message, via topVia) txKey {
	method := req.Method
	if method == "ACK" || method == "CANCEL" {
		method = "INVITE"
	}
	if strings.HasPrefix(via.branch, cookie) {
		return s.sum(via.branch, via.sentBy, method)
	}
	num, _, _ := strings.Cut(req.Get("CSeq"), " ")
	return s.sum(req.CallID(), strings.TrimLeft(num, "0"), tagOf(req.Get("From")), method)
}

// topVia is what the layer needs of the topmost Via, as slices of it.
type topVia struct {
	sentBy, branch string
	rport          bool
}

// readVia looks at the topmost Via value, which has been checked, without allocating.
func readVia(v string) (t topVia) {
	if i := strings.IndexByte(v, ','); i >= 0 && strings.IndexByte(v[:i], '"') < 0 {
		v = v[:i]
	}
	head, params, _ := strings.Cut(v, ";")
	slash := strings.LastIndexByte(head, '/')
	if slash < 0 {
		return t
	}
	rest := strings.Trim(head[slash+1:], " \t")
	sp := strings.IndexAny(rest, " \t")
	if sp < 0 {
		return t
	}
	t.sentBy = strings.TrimLeft(rest[sp:], " \t")
	for params != "" {
		var p string
		p, params, _ = strings.Cut(params, ";")
		name, value, _ := strings.Cut(p, "=")
		switch name = strings.Trim(name, " \t"); {
		case strings.EqualFold(name, "branch"):
			t.branch = strings.Trim(value, " \t")
		case strings.EqualFold(name, "rport"):
			t.rport = true
		}
	}
	return t
}

// tagOf finds the tag parameter of a From or To value, "" if absent.
func tagOf(v string) string {
	if i := strings.LastIndexByte(v, '>'); i >= 0 {
		v = v[i:]
	}
	_, params, _ := strings.Cut(v, ";")
	for params != "" {
		var p string
		p, params, _ = strings.Cut(params, ";")
		name, value, ok := strings.Cut(p, "=")
		if ok && strings.EqualFold(strings.Trim(name, " \t"), "tag") {
			return strings.Trim(value, " \t")
		}
	}
	return ""
}

// uriOf is the URI of a From or To value as spelt.
func uriOf(v string) string {
	if i := strings.LastIndexByte(v, '<'); i >= 0 {
		v = v[i+1:]
		if end := strings.IndexByte(v, '>'); end >= 0 {
			return v[:end]
		}
		return v
	}
	u, _, _ := strings.Cut(v, ";")
	return strings.Trim(u, " \t")
}

// branch text behind the cookie: "t", connection id, transaction id and a random
// number, in hex, so that an answer finds its way and cannot be guessed.
func appendBranch(b []byte, conn uint64, tx, salt uint32) []byte {
	b = strconv.AppendUint(append(b, 't'), conn, 16)
	b = strconv.AppendUint(append(b, '.'), uint64(tx), 16)
	return strconv.AppendUint(append(b, '.'), uint64(salt), 16)
}

// parseBranch undoes appendBranch.
func parseBranch(s string) (conn uint64, tx, salt uint32, ok bool) {
	s, ok = strings.CutPrefix(s, cookie+"t")
	if !ok {
		return
	}
	a, rest, ok1 := strings.Cut(s, ".")
	b, c, ok2 := strings.Cut(rest, ".")
	conn, e1 := strconv.ParseUint(a, 16, 64)
	t, e2 := strconv.ParseUint(b, 16, 32)
	r, e3 := strconv.ParseUint(c, 16, 32)
	return conn, uint32(t), uint32(r), ok1 && ok2 && e1 == nil && e2 == nil && e3 == nil
}
