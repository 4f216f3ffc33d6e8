package auth

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/gssapi"
	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/iana/nametype"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/spnego"
	"github.com/jcmturner/gokrb5/v8/types"

	"trivet/wire/ntlm"
	"trivet/wire/soap"
)

// request is a ticket request that needs only a login.
func (c *lyncClient) request(authorization string) reply {
	body := soap.AppendRequest(nil, soap.Headers{MessageID: "uuid:1"}, soap.TicketRequest{AppliesTo: "https://fe1.contoso.test" + ProvPath}.Append(nil))
	return c.do("POST", c.TicketURL(), http.Header{"Authorization": {authorization}}, body)
}

func offered(r reply, scheme string) string {
	for _, v := range r.header.Values("WWW-Authenticate") {
		if name, rest, _ := strings.Cut(v, " "); name == scheme {
			return "yes " + rest
		}
	}
	return ""
}

func TestNTLMOverHTTP(t *testing.T) {
	h := open(t)
	h.add("alice", true)
	h.add("dora", false)
	for _, x := range []struct {
		name, user, domain, password string
		status                       int
	}{
		{"address", "alice@contoso.test", "", password, 200},
		{"account", "alice.sam", "CONTOSO", password, 200},
		{"wrong password", "alice@contoso.test", "", "wrong", 401},
		{"nobody", "nobody", "CONTOSO", password, 401},
		{"disabled", "dora@contoso.test", "", password, 403},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := h.client(x.name)
			first := c.request("NTLM " + base64.StdEncoding.EncodeToString([]byte("NTLMSSP\x00\x01\x00\x00\x00\x05\x82\x88\xa2")))
			challenge, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(offered(first, "NTLM"), "yes "))
			if first.status != 401 || err != nil || len(challenge) == 0 {
				t.Fatalf("%d %v", first.status, first.header)
			}
			n := ntlm.Client{User: x.user, Domain: x.domain, Hash: ntlm.NewHash(x.password), Time: ntlm.FileTime(time.Now().UnixNano())}
			rand.Read(n.Nonce[:])
			rand.Read(n.Key[:])
			msg, _, err := n.Respond(challenge)
			if err != nil {
				t.Fatal(err)
			}
			msg[flagsAt] &^= byte(ntlm.Sign) // as clients do over HTTP
			h.clock.forward(challengeSlot / 2)
			answer := "NTLM " + base64.StdEncoding.EncodeToString(msg)
			if r := c.request(answer); r.status != x.status {
				t.Errorf("%d %s", r.status, r.body)
			}
			h.clock.forward(2 * challengeSlot)
			if r := c.request(answer); r.status != 401 {
				t.Errorf("an old answer: %d", r.status)
			}
		})
	}
	for _, rubbish := range []string{"!", "TlRMTVNTUAAD", base64.StdEncoding.EncodeToString([]byte("NTLMSSP\x00\x03\x00\x00\x00")), strings.Repeat("A", 20000)} {
		if r := h.client("x").request("NTLM " + rubbish); r.status != 401 {
			t.Errorf("%.20q: %d", rubbish, r.status)
		}
	}
}

// kerberosToken makes what a client sends that got a ticket for the service from
// the key distribution centre whose key of the service is kt.
func kerberosToken(t *testing.T, kt *keytab.Keytab, user, realm, service string, wrap bool) string {
	t.Helper()
	cname := types.NewPrincipalName(nametype.KRB_NT_PRINCIPAL, user)
	sname := types.NewPrincipalName(nametype.KRB_NT_SRV_INST, service)
	now := time.Now().UTC()
	tkt, key, err := messages.NewTicket(cname, realm, sname, realm, types.NewKrbFlags(), kt, etypeID.AES256_CTS_HMAC_SHA1_96, 1, now, now, now.Add(time.Hour), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	cl := client.NewWithPassword(user, realm, "unused", config.New())
	inner, err := spnego.NewKRB5TokenAPREQ(cl, tkt, key, []int{gssapi.ContextFlagInteg}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := inner.Marshal()
	if err == nil && wrap {
		outer := spnego.SPNEGOToken{Init: true, NegTokenInit: spnego.NegTokenInit{MechTypes: []asn1.ObjectIdentifier{gssapi.OIDKRB5.OID()}, MechTokenBytes: b}}
		b, err = outer.Marshal()
	}
	if err != nil {
		t.Fatal(err)
	}
	return "Negotiate " + base64.StdEncoding.EncodeToString(b)
}

func newKeytab(t *testing.T, password string) *keytab.Keytab {
	t.Helper()
	kt := keytab.New()
	if err := kt.AddEntry("HTTP/fe1.contoso.test", "CORP.TEST", password, time.Now(), 1, etypeID.AES256_CTS_HMAC_SHA1_96); err != nil {
		t.Fatal(err)
	}
	return kt
}

func TestNegotiate(t *testing.T) {
	h := open(t)
	h.add("alice", true)
	h.add("dora", false)
	c := h.client("alice")
	if r := c.request("x"); offered(r, "Negotiate") != "" {
		t.Error("offered without a keytab")
	}
	kt := newKeytab(t, "service key")
	h.cfg.Keytab = func() *keytab.Keytab { return kt }
	if r := c.request("x"); r.status != 401 || offered(r, "Negotiate") == "" || offered(r, "NTLM") == "" || offered(r, "Basic") == "" {
		t.Errorf("%d %v", r.status, r.header)
	}
	const service = "HTTP/fe1.contoso.test"
	bare := kerberosToken(t, kt, "alice", "CORP.TEST", service, false)
	for _, x := range []struct {
		name, token string
		status      int
	}{
		{"SPNEGO", kerberosToken(t, kt, "alice", "CORP.TEST", service, true), 200},
		{"bare", bare, 200},
		{"replay", bare, 401},
		{"nobody", kerberosToken(t, kt, "nobody", "CORP.TEST", service, true), 401},
		{"disabled", kerberosToken(t, kt, "dora", "CORP.TEST", service, true), 403},
		{"another key", kerberosToken(t, newKeytab(t, "another"), "alice", "CORP.TEST", service, true), 401},
		{"rubbish", "Negotiate AAAA", 401},
		{"not base64", "Negotiate !", 401},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := c.request(x.token)
			if r.status != x.status {
				t.Errorf("%d %s", r.status, r.body)
			}
			if x.status == 200 && !strings.HasPrefix(offered(r, "Negotiate"), "yes o") {
				t.Errorf("no accept-completed: %v", r.header)
			}
		})
	}
	h.hosts = map[string]bool{"127.0.0.1": true}
	if r := c.request(kerberosToken(t, kt, "alice", "CORP.TEST", service, true)); r.status != 401 {
		t.Errorf("a ticket for another host: %d", r.status)
	}
}

// The client's Host header never has the port; URLs need it all the same.
func TestURLsWhenHostLacksThePort(t *testing.T) {
	h := open(t)
	for web, want := range map[string]string{"web.contoso.test:8443": "https://fe1.contoso.test:8443", "web.contoso.test": "https://fe1.contoso.test", "web.contoso.test:443": "https://fe1.contoso.test"} {
		h.cfg.WebHost = web
		r, err := http.NewRequest("GET", "https://FE1.contoso.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host, r.TLS = "fe1.contoso.test", new(tls.ConnectionState)
		if got := h.base(r); got != want {
			t.Errorf("%s: %s", web, got)
		}
	}
}

func FuzzAPReq(f *testing.F) {
	f.Add([]byte("\x60\x0b\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"))
	f.Fuzz(func(t *testing.T, token []byte) {
		kt := keytab.New()
		s := &Service{hosts: map[string]bool{"fe1.contoso.test": true}}
		if who, err := s.openKerberos(kt, token); err == nil {
			t.Errorf("%q was let in", who)
		}
	})
}
