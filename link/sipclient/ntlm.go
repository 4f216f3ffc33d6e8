package sipclient

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
	"trivet/link/sipauth"
	"trivet/wire/ntlm"
	"trivet/wire/sip"
)

// ntlmAuth signs in with NTLMv2 in its connectionless form and signs every
// request after it, [MS-SIPAE] 3.2.
type ntlmAuth struct {
	login, password string
	now             func() time.Time
	last            params
	token           []byte // AUTHENTICATE to send, nil before and after
	sent            bool   // AUTHENTICATE has been sent
	session         *ntlm.Session
	count           uint64
	realm, target   string
	opaque          string
	version         int
}

func (n *ntlmAuth) scheme() Scheme { return NTLM }

func (n *ntlmAuth) challenge(p params) (bool, error) {
	if n.sent { // the proof was refused, or the association has ended
		return false, nil
	}
	first := n.last == nil
	n.last, n.realm, n.target, n.version = p, p["realm"], p["targetname"], 2
	if v, err := strconv.Atoi(p["version"]); err == nil {
		n.version = v
	}
	if p["gssapi-data"] == "" {
		return first, nil
	}
	const op = "sipclient.ntlm"
	raw, err := base64.StdEncoding.DecodeString(p["gssapi-data"])
	if err != nil {
		return false, fault.New(fault.Invalid, op, "the server's NTLM challenge is not base64")
	}
	n.opaque = p["opaque"]
	client := ntlm.Client{Hash: ntlm.NewHash(n.password), Time: ntlm.FileTime(n.now().UnixNano()), Workstation: "SYNTHETIC"}
	client.User, client.Domain = ntlm.SplitLogin(n.login)
	rand.Read(client.Nonce[:])
	rand.Read(client.Key[:])
	n.token, n.session, err = client.Respond(raw)
	return err == nil, err
}

func (n *ntlmAuth) credentials(m *sip.Message) (string, error) {
	v := `NTLM qop="auth", realm=` + sip.Quote(n.realm) + `, targetname=` + sip.Quote(n.target)
	if n.session == nil {
		return v + `, gssapi-data="", version=` + strconv.Itoa(n.version), nil
	}
	n.count++
	crand, cnum := token(4), strconv.FormatUint(n.count, 10)
	sig := n.session.Sign(sipauth.AppendText(nil, sipauth.Seal{Scheme: "NTLM", Rand: crand, Num: cnum, Realm: n.realm, Target: n.target, Version: n.version}, m))
	v += `, opaque=` + sip.Quote(n.opaque) + `, crand="` + crand + `", cnum="` + cnum + `", response="` + strings.ToUpper(hex.EncodeToString(sig[:])) + `"`
	if n.token != nil {
		v += `, gssapi-data="` + base64.StdEncoding.EncodeToString(n.token) + `"`
		n.token, n.sent = nil, true
	}
	return v + `, version=` + strconv.Itoa(n.version), nil
}

// verify insists on the server's signature once there is an association; a 401
// has none.
func (n *ntlmAuth) verify(m *sip.Message) error {
	const op = "sipclient.verify"
	if !n.sent || m.Status == 401 || m.Status > 0 && m.Status < 200 {
		return nil
	}
	info := m.Get("Authentication-Info")
	_, method, _ := m.CSeq()
	if info == "" {
		if m.Status > 299 && method == "REGISTER" { // refused before the association stood
			return nil
		}
		return fault.New(fault.Unauthenticated, op, "the server sent a message without a signature")
	}
	_, p := parseChallenge(info)
	sig, err := hex.DecodeString(p["rspauth"])
	text := sipauth.AppendText(nil, sipauth.Seal{Scheme: "NTLM", Rand: p["srand"], Num: p["snum"], Realm: p["realm"], Target: p["targetname"], Version: n.version}, m)
	if err != nil || !n.session.Verify(text, sig) {
		return fault.New(fault.Unauthenticated, op, "the server sent a message with a wrong signature")
	}
	return nil
}
