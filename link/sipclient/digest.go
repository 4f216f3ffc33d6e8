package sipclient

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"

	"trivet/wire/sip"
)

// digest answers Digest challenges, RFC 3261 22.4 and RFC 8760, with qop=auth
// where it is offered.
type digest struct {
	login, password string
	last            params
	count           uint32
}

var algorithms = map[string]func() hash.Hash{"sha-256": sha256.New, "md5": md5.New}

func knownAlgorithm(name string) bool { return algorithms[algorithm(name)] != nil }

// algorithm is MD5 when a challenge names none.
func algorithm(name string) string {
	if name == "" {
		return "md5"
	}
	return strings.ToLower(name)
}

func (d *digest) scheme() Scheme { return Digest }

// challenge: a new nonce after an answer is worth another try only if the server
// says that the old one was stale, or if nothing was answered yet.
func (d *digest) challenge(p params) (bool, error) {
	again := d.last == nil || strings.EqualFold(p["stale"], "true")
	d.last, d.count = p, 0
	return again, nil
}

func (d *digest) credentials(m *sip.Message) (string, error) {
	d.count++
	p, uri, nc, cnonce := d.last, m.RequestURI, fmt.Sprintf("%08x", d.count), token(8)
	sum := func(parts ...string) string {
		h := algorithms[algorithm(p["algorithm"])]()
		h.Write([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(h.Sum(nil))
	}
	ha1, ha2 := sum(d.login, p["realm"], d.password), sum(m.Method, uri)
	v := "Digest username=" + sip.Quote(d.login) + ", realm=" + sip.Quote(p["realm"]) + ", nonce=" + sip.Quote(p["nonce"]) + ", uri=" + sip.Quote(uri)
	if strings.Contains(p["qop"], "auth") {
		v += ", qop=auth, nc=" + nc + ", cnonce=\"" + cnonce + "\", response=\"" + sum(ha1, p["nonce"], nc, cnonce, "auth", ha2) + `"`
	} else {
		v += ", response=\"" + sum(ha1, p["nonce"], ha2) + `"`
	}
	if a := p["algorithm"]; a != "" {
		v += ", algorithm=" + a
	}
	if o := p["opaque"]; o != "" {
		v += ", opaque=" + sip.Quote(o)
	}
	return v, nil
}

// verify has nothing to check: SIP servers seldom send rspauth with Digest.
func (d *digest) verify(*sip.Message) error { return nil }
