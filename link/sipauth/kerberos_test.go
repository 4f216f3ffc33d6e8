package sipauth

import (
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	krbcred "github.com/jcmturner/gokrb5/v8/credentials"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/keyusage"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"trivet/fault"
	"trivet/test/peer/krb5"
)

const realm = "CONTOSO.TEST"

// kerberosSite is a site of a realm with alice, bob and mallory, whom the
// directory does not know.
func kerberosSite(t *testing.T, r *krb5.Realm, kt *keytab.Keytab) *site {
	s := newSite(t)
	s.auth.cfg.Keytab = func() *keytab.Keytab { return kt }
	s.acc.byName["alice@"+realm] = Account{User: alice}
	s.acc.byName["bob@"+realm] = Account{User: bob}
	return s
}

// ticket holds what a client got from the KDC for one service.
type ticket struct {
	messages.Ticket
	key   types.EncryptionKey
	cname types.PrincipalName
}

// getTicket signs in with kinit and asks for a ticket of the service.
func getTicket(t *testing.T, r *krb5.Realm, user, service string) ticket {
	t.Helper()
	path, err := r.Login(t.Context(), user, "secret")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := krbcred.LoadCCache(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(r.Config)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.NewFromCCache(cache, cfg, client.DisablePAFXFAST(true))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Destroy()
	tkt, key, err := c.GetServiceTicket(service)
	if err != nil {
		t.Fatal(err)
	}
	return ticket{tkt, key, c.Credentials.CName()}
}

// token makes an initial token and the client that signs with its keys.
func (tk ticket) token(t *testing.T, subkey bool, edit func(*types.Authenticator)) ([]byte, *lyncClient, types.EncryptionKey) {
	t.Helper()
	auth, err := types.NewAuthenticator(realm, tk.cname)
	if err != nil {
		t.Fatal(err)
	}
	auth.SeqNumber = 4711
	key := tk.key
	if subkey {
		et, err := crypto.GetEtype(tk.key.KeyType)
		if err != nil {
			t.Fatal(err)
		}
		if err := auth.GenerateSeqNumberAndSubKey(tk.key.KeyType, et.GetKeyByteSize()); err != nil {
			t.Fatal(err)
		}
		key = auth.SubKey
	}
	if edit != nil {
		edit(&auth)
	}
	req, err := messages.NewAPReq(tk.Ticket, tk.key, auth)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	c := &lyncClient{scheme: "Kerberos", target: "sip/" + fqdn, user: alice, version: 4}
	c.sign = func(text []byte) []byte {
		mic, err := gssapi.NewInitiatorMICToken(text, key)
		if err != nil {
			t.Fatal(err)
		}
		b, err := mic.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return frame(t, raw), c, key
}

func frame(t *testing.T, apreq []byte) []byte {
	t.Helper()
	oid, err := asn1.Marshal(gssapi.OIDKRB5.OID())
	if err != nil {
		t.Fatal(err)
	}
	body := append(append(oid, 1, 0), apreq...)
	b, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassApplication, IsCompound: true, Bytes: body})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func micOK(t *testing.T, key types.EncryptionKey) func(text, sig []byte) bool {
	return func(text, sig []byte) bool {
		var m gssapi.MICToken
		if err := m.Unmarshal(sig, true); err != nil {
			t.Error(err)
			return false
		}
		m.Payload = text
		ok, err := m.Verify(key, keyusage.GSSAPI_ACCEPTOR_SIGN)
		return ok && err == nil
	}
}

func TestKerberos(t *testing.T) {
	r := krb5.Start(t, realm)
	for _, u := range []string{"alice", "bob", "mallory"} {
		r.MustUser(t, u, "secret")
	}
	r.MustService(t, "http/"+fqdn)
	kt, err := keytab.Load(r.MustService(t, "sip/"+fqdn))
	if err != nil {
		t.Fatal(err)
	}
	tk := getTicket(t, r, "alice", "sip/"+fqdn)

	for _, subkey := range []bool{false, true} {
		s := kerberosSite(t, r, kt)
		token, c, key := tk.token(t, subkey, nil)
		s.accept(c.seal(request("REGISTER", alice, ""), token), alice)
		first := s.peer.live
		for _, a := range first {
			c.opaque = a.opaque
		}
		s.accept(c.seal(request("SUBSCRIBE", alice, ""), nil), alice)
		c.target = fqdn // clients take over the form of our answers
		s.accept(c.seal(request("SUBSCRIBE", alice, ""), nil), alice)
		checkSigned(t, s.peer, c, micOK(t, key))
		bad := c.seal(request("SUBSCRIBE", alice, ""), nil)
		bad.Set("Call-ID", "other")
		s.challenge(bad)
		t.Run("replay", func(t *testing.T) {
			s.T = t
			s.peer = s.connect("192.0.2.30", true)
			c.opaque = ""
			s.challenge(c.seal(request("REGISTER", alice, ""), token))
		})
	}
	kerberosRefusals(t, r, kt, tk)
	t.Run("truncated", func(t *testing.T) { kerberosTruncated(t, r, kt, tk) })
}

func kerberosRefusals(t *testing.T, r *krb5.Realm, kt *keytab.Keytab, tk ticket) {
	for _, tc := range []struct {
		name string
		tk   ticket
		edit func(*types.Authenticator)
		prep func(*site)
		kind fault.Kind // Internal: a challenge
	}{
		{name: "not in the directory", tk: getTicket(t, r, "mallory", "sip/"+fqdn)},
		{name: "other user", tk: getTicket(t, r, "bob", "sip/"+fqdn), kind: fault.Forbidden},
		{name: "other service", tk: getTicket(t, r, "alice", "http/"+fqdn)},
		{name: "disabled", tk: tk, prep: func(s *site) { s.acc.disable(alice) }},
		{name: "wrong clock", tk: tk, edit: func(a *types.Authenticator) { a.CTime = a.CTime.Add(-time.Hour) }},
		{name: "borrowed name", tk: tk, edit: func(a *types.Authenticator) { a.CName.NameString = []string{"bob"} }},
		{name: "borrowed realm", tk: tk, edit: func(a *types.Authenticator) { a.CRealm = "EVIL.TEST" }},
		{name: "keys replaced", tk: tk, prep: func(s *site) { s.auth.cfg.Keytab = func() *keytab.Keytab { return keytab.New() } }},
		{name: "switched off", tk: tk, prep: func(s *site) { s.policy.UseKerberos = false }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := kerberosSite(t, r, kt)
			if tc.prep != nil {
				tc.prep(s)
			}
			token, c, _ := tc.tk.token(t, true, tc.edit)
			m := c.seal(request("REGISTER", alice, ""), token)
			if tc.kind == fault.Internal {
				s.challenge(m)
			} else {
				s.refuse(m, tc.kind)
			}
			if len(s.peer.live) != 0 || len(s.auth.users) != 0 {
				t.Error("somebody is signed in")
			}
		})
	}
}

// kerberosTruncated cuts tokens, and changes a byte of those parts that are
// encrypted; the frame around them is not protected by Kerberos.
func kerberosTruncated(t *testing.T, r *krb5.Realm, kt *keytab.Keytab, tk ticket) {
	s := kerberosSite(t, r, kt)
	for n := 0; n < 600; n += 7 {
		token, c, _ := tk.token(t, true, nil)
		if n >= len(token) {
			break
		}
		s.clock.advance(time.Hour)
		cut := c.seal(request("REGISTER", alice, ""), token[:n])
		if user, _, _ := s.check(s.peer, cut); user != "" {
			t.Fatalf("let in with %d bytes", n)
		}
		s.clock.advance(time.Hour)
		at := len(token) - 1 - n
		token[at] ^= 0x11
		if user, _, _ := s.check(s.peer, c.seal(request("REGISTER", alice, ""), token)); user != "" && n < 100 {
			t.Errorf("let in with byte %d of %d changed", at, len(token))
		}
	}
}
