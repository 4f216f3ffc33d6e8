package load

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"
	"time"

	"trivet/link/sipauth"
	"trivet/wire/ntlm"
	"trivet/wire/sip"
)

// Schemes of signing in.
const (
	NTLM   = "ntlm"
	Digest = "digest"
)

// association is the security association of an NTLM endpoint, [MS-SIPAE]. It
// signs every request; of the server's signatures one in checkOneIn is checked.
type association struct {
	realm, target, opaque string
	session               *ntlm.Session
	token                 []byte // AUTHENTICATE that goes with the next signature
	count                 uint64
	seen                  int
}

// checkOneIn is how many messages of the server come for one whose signature is
// checked. Those that answer a sign-in are always checked.
const checkOneIn = 16

// answer makes what the next REGISTER carries after a 401: header lines, or an
// association. It is empty when the server refused what was sent before.
func (e *endpoint) answer(m *message) (lines string, ok bool) {
	if e.run.cfg.Scheme == Digest {
		return e.answerDigest(m)
	}
	return e.answerNTLM(m)
}

func (e *endpoint) answerNTLM(m *message) (lines string, ok bool) {
	var v []byte
	m.all("WWW-Authenticate", func(line []byte) {
		if strings.HasPrefix(string(line), "NTLM ") {
			v = line
		}
	})
	realm, target := quoted(v, "realm"), quoted(v, "targetname")
	data := quoted(v, "gssapi-data")
	switch {
	case v == nil, e.proof != nil:
		e.proof = nil
		return "", false
	case data == "" && e.asked:
		return "", false
	case data == "":
		e.asked = true
		return `Authorization: NTLM qop="auth", realm="` + realm + `", targetname="` + target + `", gssapi-data="", version=4` + "\r\n", true
	}
	raw, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return "", false
	}
	c := ntlm.Client{User: e.user.login, Workstation: "LOAD", Hash: ntlm.NewHash(e.user.password), Time: ntlm.FileTime(time.Now().UnixNano())}
	c.User, c.Domain = ntlm.SplitLogin(e.user.login)
	rand.Read(c.Nonce[:])
	rand.Read(c.Key[:])
	token, session, err := c.Respond(raw)
	if err != nil {
		return "", false
	}
	e.proof = &association{realm: realm, target: target, opaque: quoted(v, "opaque"), session: session, token: token}
	return "", true
}

// digests are the hashes of RFC 8760 in the order of preference.
var digests = [...]struct {
	name string
	hash func() hash.Hash
}{{"SHA-256", sha256.New}, {"MD5", md5.New}}

func (e *endpoint) answerDigest(m *message) (lines string, ok bool) {
	for _, d := range digests {
		var v []byte
		m.all("WWW-Authenticate", func(line []byte) {
			s := string(line)
			if strings.HasPrefix(s, "Digest ") && (strings.Contains(s, "algorithm="+d.name) || d.name == "MD5" && !strings.Contains(s, "algorithm=")) {
				v = line
			}
		})
		if v == nil {
			continue
		}
		if e.asked && !strings.Contains(strings.ToLower(string(v)), "stale=true") {
			return "", false
		}
		e.asked = true
		return e.digest(d.name, d.hash, v), true
	}
	return "", false
}

func (e *endpoint) digest(name string, algorithm func() hash.Hash, v []byte) string {
	sum := func(parts ...string) string {
		h := algorithm()
		h.Write([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(h.Sum(nil))
	}
	realm, nonce, uri, cnonce := quoted(v, "realm"), quoted(v, "nonce"), "sip:"+e.user.domain(), rand.Text()[:8]
	response := sum(sum(e.user.login, realm, e.user.password), nonce, "00000001", cnonce, "auth", sum("REGISTER", uri))
	line := `Authorization: Digest username="` + e.user.login + `", realm="` + realm + `", nonce="` + nonce + `", uri="` + uri +
		`", response="` + response + `", algorithm=` + name + `, qop=auth, nc=00000001, cnonce="` + cnonce + `"`
	if o := quoted(v, "opaque"); o != "" {
		line += `, opaque="` + o + `"`
	}
	return line + "\r\n"
}

// verify checks the server's signature on a message that is due for it, and
// reports whether the message may be believed.
func (e *endpoint) verify(m *message, always bool) bool {
	p := e.proof
	if p == nil || m.status == 401 {
		return true
	}
	if p.seen++; !always && p.seen%checkOneIn != 0 {
		return true
	}
	info := m.get("Authentication-Info")
	e.run.count.checked.Add(1)
	sig, err := hex.DecodeString(quoted(info, "rspauth"))
	parsed, perr := sip.Parse(m.raw)
	if err != nil || perr != nil || info == nil {
		e.run.count.forged.Add(1)
		return false
	}
	text := sipauth.AppendText(nil, sipauth.Seal{
		Scheme: "NTLM", Rand: quoted(info, "srand"), Num: quoted(info, "snum"), Realm: quoted(info, "realm"), Target: quoted(info, "targetname"), Version: 4,
	}, parsed)
	if !p.session.Verify(text, sig) {
		e.run.count.forged.Add(1)
		return false
	}
	return true
}
