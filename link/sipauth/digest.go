package sipauth

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"hash"
	"strconv"
	"strings"
	"time"

	"trivet/fault"
	"trivet/uc"
	"trivet/wire/sip"
)

// digestAlgorithm is one hash of RFC 8760 and where an account keeps its HA1.
type digestAlgorithm struct {
	name string
	hash func() hash.Hash
	ha1  func(*Account) *string
}

var digestAlgorithms = [...]digestAlgorithm{
	{"SHA-256", sha256.New, func(a *Account) *string { return &a.HA1SHA256 }},
	{"MD5", md5.New, func(a *Account) *string { return &a.HA1MD5 }},
}

// udpFlow is how long after a checked request ACK and CANCEL pass over UDP.
const udpFlow = 5 * time.Minute

// byDigest checks Digest credentials, RFC 3261 22.4 with qop=auth. The uri
// parameter enters the hash and need not equal the request URI, which proxies
// rewrite: a captured answer is useless anyway, each count is good once.
func (v *visit) byDigest() (uc.UserURI, *sip.Message, error) {
	alg, err := v.digestForm()
	if err != nil {
		return "", nil, err
	}
	if alg == nil {
		return v.again()
	}
	nonce, ours := v.a.nonces.parse(v.cred.value[pNonce], v.addr)
	if !ours { // the password is not even looked at
		return v.offer(true)
	}
	if err := v.a.brakes.Check(v.addr, v.device, v.now); err != nil {
		return "", nil, err
	}
	v.wait()
	login := unescape(v.cred.value[pUser])
	acc, known, err := found(v.a.cfg.Accounts.ByLogin(v.ctx, login))
	if err != nil {
		return "", nil, err
	}
	known = known && *alg.ha1(&acc) != ""
	filled := v.a.decoy.fill(login, acc)
	right := subtle.ConstantTimeCompare(v.digestResponse(alg, *alg.ha1(&filled)), []byte(strings.ToLower(v.cred.value[pResponse]))) == 1
	if !right || !known || acc.User == "" { // an account without an address is nobody here
		v.failed()
		return v.again()
	}
	return v.digestAdmit(acc.User, nonce)
}

// digestForm checks that the parameters are there and picks the algorithm, nil
// when it is not offered.
func (v *visit) digestForm() (*digestAlgorithm, error) {
	c := &v.cred
	for _, p := range [...]param{pUser, pURI, pNonce, pNC, pCNonce, pResponse} {
		if c.value[p] == "" || len(c.value[p]) > 512 {
			return nil, fault.Newf(fault.Invalid, opCheck, "Digest credentials need %s, at most 512 characters", paramNames[p])
		}
	}
	if !strings.EqualFold(c.value[pQop], "auth") {
		return nil, fault.New(fault.Invalid, opCheck, "Digest credentials need qop=auth")
	}
	if len(c.value[pNC]) != 8 {
		return nil, fault.New(fault.Invalid, opCheck, "the nonce count nc needs eight hexadecimal digits")
	}
	name := c.value[pAlgorithm]
	if name == "" {
		name = "MD5"
	}
	for i := range digestAlgorithms {
		alg := &digestAlgorithms[i]
		if strings.EqualFold(name, alg.name) && v.policy.UseDigest && (alg.name != "MD5" || v.policy.DigestMD5) {
			return alg, nil
		}
	}
	return nil, nil
}

// digestResponse is the answer that whoever knows ha1 gives, in lower case hex.
func (v *visit) digestResponse(alg *digestAlgorithm, ha1 string) []byte {
	c := &v.cred
	sum := func(parts ...string) []byte {
		h := alg.hash()
		h.Write([]byte(strings.Join(parts, ":")))
		return hex.AppendEncode(nil, h.Sum(nil))
	}
	ha2 := sum(v.m.Method, c.value[pURI])
	return sum(ha1, c.value[pNonce], c.value[pNC], c.value[pCNonce], c.value[pQop], string(ha2))
}

// digestAdmit lets in who gave the right password, if From, gate and nonce agree.
func (v *visit) digestAdmit(user uc.UserURI, nonce []byte) (uc.UserURI, *sip.Message, error) {
	if err := v.sameUser(user); err != nil {
		return "", nil, err
	}
	count, err := strconv.ParseUint(v.cred.value[pNC], 16, 32)
	if err != nil {
		return "", nil, fault.New(fault.Invalid, opCheck, "the nonce count nc needs eight hexadecimal digits")
	}
	err = v.admit(user, func() error {
		if !v.a.nonces.take(nonce, uint32(count), v.now) {
			return errStale
		}
		return v.keepFlow(user)
	})
	switch {
	case err == nil:
		v.unlist(user) // unless a flow was kept
		return user, nil, nil
	case errors.Is(err, errStale):
		return v.offer(true)
	case fault.Is(err, fault.Unauthenticated):
		v.failed()
		return v.again()
	}
	return "", nil, err
}

var errStale = fault.New(fault.Stale, opCheck, "the nonce is too old or was used")

func (v *visit) keepFlow(user uc.UserURI) error {
	switch {
	case !v.stream:
		return v.remember(user, v.now, udpFlow)
	case v.m.Method == "REGISTER":
		return v.remember(user, v.now, maxLife)
	}
	return nil
}
