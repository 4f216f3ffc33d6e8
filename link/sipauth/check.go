package sipauth

import (
	"context"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"time"

	"trivet/fault"
	"trivet/uc"
	"trivet/wire/sip"
)

// visit is one request being checked.
type visit struct {
	*peer
	ctx    context.Context
	m      *sip.Message
	now    time.Time
	policy Policy
	from   string // URI in From as sent
	device string // epid, or else the instance
	cred   credentials
	value  string // the header value cred was read from
	wait   func() // called before anything that may take long
}

// check finds out who sent m. The result is a user, or a challenge to be sent
// back, or an error. Credentials that were accepted are removed from m, so that
// they are neither relayed nor logged.
func (p *peer) check(ctx context.Context, m *sip.Message, wait func()) (uc.UserURI, *sip.Message, error) {
	p.checks.Lock()
	defer p.checks.Unlock()
	v := &visit{peer: p, ctx: ctx, m: m, now: p.a.cfg.Clock.Now(), policy: p.a.offers(), wait: wait}
	from := m.Get("From")
	v.from, v.device = between(from), deviceOf(m, from)
	has, err := v.credentials()
	if err != nil {
		return "", nil, err
	}
	user, challenge, err := v.judge(has)
	if user != "" {
		v.strip()
	}
	if challenge != nil && (m.Method == "ACK" || m.Method == "CANCEL") { // these cannot be repeated with credentials, RFC 3261 22.1
		return "", nil, fault.New(fault.Unauthenticated, opCheck, "the request needs the credentials of the one it belongs to")
	}
	return user, challenge, err
}

const opCheck = "sipauth.check"

func (v *visit) judge(has bool) (uc.UserURI, *sip.Message, error) {
	switch {
	case !has:
		return v.byFlow()
	case v.cred.scheme != digestScheme:
		return v.byAssociation()
	case v.m.Method == "ACK" || v.m.Method == "CANCEL":
		return v.byFlow()
	}
	return v.byDigest()
}

// credentials finds the first Authorization of ours. At most four are looked
// at: a request may carry some for others.
func (v *visit) credentials() (bool, error) {
	n := 0
	for _, name := range [...]string{"Authorization", "Proxy-Authorization"} {
		for value := range v.m.All(name) {
			if n++; n > 4 {
				return false, fault.New(fault.Limit, opCheck, "a request may carry four Authorization headers")
			}
			c, ok, err := parseCredentials(value)
			if err != nil {
				return false, err
			}
			if ok && c.value[pRealm] == v.policy.realm() {
				v.cred, v.value = c, value
				return true, nil
			}
		}
	}
	return false, nil
}

func (v *visit) strip() {
	if v.value == "" {
		return
	}
	v.m.Headers = slices.DeleteFunc(v.m.Headers, func(h sip.Header) bool {
		return h.Value == v.value && (strings.EqualFold(h.Name, "Authorization") || strings.EqualFold(h.Name, "Proxy-Authorization"))
	})
}

// byFlow accepts what comes on a stream connection on which the user of From
// signed in with Digest. Over UDP, where an address proves nothing, only ACK and
// CANCEL pass: they have no effect without the branch of a request that was
// checked. REGISTER always needs credentials.
func (v *visit) byFlow() (uc.UserURI, *sip.Message, error) {
	user, err := uc.ParseUserURI(v.from)
	if err != nil {
		return "", nil, fault.New(fault.Invalid, opCheck, "From needs an address of the form sip:user@domain").Because(err)
	}
	late := v.m.Method == "ACK" || v.m.Method == "CANCEL"
	if (v.stream && v.m.Method != "REGISTER" || late) && v.flowing(user, v.now) {
		return user, nil, nil
	}
	if v.m.Method == "REGISTER" {
		v.renew(user, v.device)
	}
	return v.again()
}

// byAssociation takes a message with NTLM, Kerberos or TLS-DSK credentials.
func (v *visit) byAssociation() (uc.UserURI, *sip.Message, error) {
	c := &v.cred
	if t := c.value[pTarget]; t != "" && !strings.EqualFold(strings.TrimPrefix(t, "sip/"), v.a.cfg.FQDN) {
		return v.again()
	}
	opaque := c.value[pOpaque]
	s := v.find(opaque)
	switch {
	case s != nil && s.scheme != c.scheme:
		return v.again()
	case s != nil && s.expired(v.now):
		v.forget(s)
		return v.again()
	case s != nil && s.live:
		return v.bySignature(s)
	case s == nil && opaque != "":
		return v.again() // of another connection, or from before our restart
	case s == nil:
		if s = v.start(); s == nil {
			return v.again()
		}
	}
	return v.handshake(s)
}

// start makes the association of a first handshake message, nil when the
// scheme is not offered.
func (v *visit) start() *association {
	c := &v.cred
	s := &association{
		scheme: c.scheme, opaque: hex.EncodeToString(randomBytes(8)), version: 2, began: v.now,
		realm: strings.Clone(c.value[pRealm]), target: strings.Clone(c.value[pTarget]), device: strings.Clone(v.device),
	}
	switch {
	case c.scheme == ntlmScheme && v.policy.UseNtlm:
		s.hs = &ntlmHandshake{a: v.a}
	case c.scheme == kerberosScheme && v.policy.UseKerberos:
		s.hs = &kerberosHandshake{a: v.a, addr: v.addr}
	case c.scheme == tlsdskScheme && v.policy.UseCertificate:
		s.hs = newTLSDSK(v.a)
	default:
		return nil
	}
	v.begin(s)
	return s
}

// maxToken bounds gssapi-data by scheme, in bytes. Kerberos tokens carry the
// group memberships of a directory.
var maxToken = [...]int{ntlmScheme: 4 << 10, kerberosScheme: 48 << 10, tlsdskScheme: 24 << 10}

// handshake takes the next message of a handshake.
func (v *visit) handshake(s *association) (uc.UserURI, *sip.Message, error) {
	if err := v.a.brakes.Check(v.addr, v.device, v.now); err != nil {
		v.forget(s)
		return "", nil, err
	}
	if n, ok := v.cred.number(pVersion); ok {
		s.version = int(min(n, sipVersion4))
	}
	if s.keys != nil { // TLS-DSK: the message after the last token
		return v.confirm(s)
	}
	token, err := v.cred.token(maxToken[s.scheme])
	if err != nil {
		return v.refuse(s, err)
	}
	v.wait()
	reply, k, err := s.hs.step(v.ctx, token)
	if err != nil {
		return v.refuse(s, err)
	}
	s.keys = k
	if k == nil && len(reply) == 0 {
		return v.refuse(s, fault.New(fault.Invalid, opHandshake, "gssapi-data is not what comes next in the handshake"))
	}
	if len(reply) > 0 {
		return "", v.proceed(s, reply), nil
	}
	return v.confirm(s)
}

// confirm lets the owner of fresh keys in, when the message is signed with
// them, From is the owner and the gate is open.
func (v *visit) confirm(s *association) (uc.UserURI, *sip.Message, error) {
	if !v.signed(s) {
		return v.refuse(s, fault.New(fault.Unauthenticated, opHandshake, "the signature of the handshake is wrong"))
	}
	if s.user == "" {
		return v.refuse(s, fault.New(fault.Unauthenticated, opHandshake, "the account has no address to sign in with"))
	}
	if err := v.sameUser(s.user); err != nil {
		v.forget(s)
		return "", nil, err
	}
	if err := v.admit(s.user, func() error { return v.establish(s, v.now) }); err != nil {
		return v.refuse(s, err)
	}
	v.a.cfg.Log.LogAttrs(v.ctx, slog.LevelInfo, "signed in", slog.String("user", string(s.user)), slog.String("by", s.scheme.String()))
	return s.user, nil, nil
}

// admit asks the gate and lets user in. The user is listed before the gate is
// asked: whoever closes the gate and then drops the user misses nobody.
func (v *visit) admit(user uc.UserURI, in func() error) error {
	v.a.enter(user, v.peer)
	if err := v.a.cfg.Accounts.Gate(v.ctx, user); err != nil {
		v.unlist(user)
		if k := fault.KindOf(err); k == fault.Unavailable || k == fault.Internal || k == fault.Timeout {
			return err
		}
		return fault.New(fault.Unauthenticated, opHandshake, "the user may not sign in").About(string(user)).Because(err)
	}
	if err := in(); err != nil {
		v.unlist(user)
		return err
	}
	if !v.a.lists(user, v.peer) {
		v.drop(user)
		return errPassword() // dropped meanwhile
	}
	v.a.brakes.Succeeded(v.addr, v.device)
	return nil
}

// unlist takes user off the list unless an earlier sign-in on this connection
// still counts.
func (v *visit) unlist(user uc.UserURI) {
	v.mu.Lock()
	_, still := v.flows[user]
	for _, s := range v.live {
		still = still || s.user == user
	}
	v.mu.Unlock()
	if !still {
		v.a.leave(user, v.peer)
	}
}

// refuse ends a handshake that failed with err. What the client can mend is
// said; who exists and who may sign in is not.
func (v *visit) refuse(s *association, err error) (uc.UserURI, *sip.Message, error) {
	v.forget(s)
	v.a.cfg.Log.LogAttrs(v.ctx, slog.LevelInfo, "sign-in refused", slog.String("by", s.scheme.String()), slog.String("from", v.from),
		slog.String("source", v.addr.String()), slog.Any("err", err))
	switch fault.KindOf(err) {
	case fault.Unauthenticated:
		v.failed()
		return v.again()
	case fault.Unsupported:
		v.failed()
		return "", nil, &fault.Error{Op: opHandshake, Kind: fault.Forbidden, Text: text(err), Err: err}
	case fault.Invalid:
		v.failed()
	}
	return "", nil, err
}

func text(err error) string {
	if e, ok := err.(*fault.Error); ok {
		return e.Text
	}
	return ""
}

func (v *visit) failed() { v.a.brakes.Failed(v.addr, v.device, v.now) }

// bySignature checks a message of an established association.
func (v *visit) bySignature(s *association) (uc.UserURI, *sip.Message, error) {
	if !v.signed(s) {
		v.failed()
		return v.again()
	}
	if v.from != s.from {
		if err := v.sameUser(s.user); err != nil {
			return "", nil, err
		}
		s.from = strings.Clone(v.from)
	}
	v.mu.Lock()
	s.renewing = false
	v.mu.Unlock()
	return s.user, nil, nil
}

// signed verifies the signature of m under the keys of s and takes its number,
// so that a second message with it is refused.
func (v *visit) signed(s *association) bool {
	c := &v.cred
	num, ok := c.number(pNum)
	if !ok || len(c.value[pResponse]) > 2*maxSignature {
		return false
	}
	x := v.a.scratch()
	defer v.a.spare.Put(x)
	x.line = append(x.line[:0], c.value[pResponse]...)
	n, err := hex.Decode(x.line, x.line)
	if err != nil || n == 0 {
		return false
	}
	target := c.value[pTarget]
	if target == "" {
		target = s.target
	}
	x.text = AppendText(x.text[:0], Seal{
		Scheme: s.scheme.String(), Rand: c.value[pRand], Num: c.value[pNum], Realm: c.value[pRealm], Target: target, Version: s.version,
	}, v.m)
	return s.mac.verify(x.text, x.line[:n]) && s.received.take(num)
}

const maxSignature = 64 // bytes; a Kerberos MIC with SHA-384 has 40

// sameUser refuses requests whose From is not the one who signed in,
// [MS-SIPREGE] 3.3 and diagnostics 4004.
func (v *visit) sameUser(user uc.UserURI) error {
	if from, err := uc.ParseUserURI(v.from); err != nil || from != user {
		return fault.New(fault.Forbidden, opCheck, "the credentials do not belong to the address in From").Diagnosed(4004)
	}
	return nil
}

// deviceOf names the device a request comes from: epid, or else +sip.instance.
func deviceOf(m *sip.Message, from string) string {
	if epid := headerParam(from, "epid"); epid != "" {
		return epid
	}
	return headerParam(m.Get("Contact"), "+sip.instance")
}
