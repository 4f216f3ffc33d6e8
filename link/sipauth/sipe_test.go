package sipauth

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jcmturner/gokrb5/v8/keytab"

	"trivet/link/sipmux"
	"trivet/test/peer/krb5"
	"trivet/test/peer/pidgin"
	"trivet/uc"
	"trivet/wire/sip"
)

// seen collects who sent what.
type seen struct {
	mu  sync.Mutex
	who map[string]uc.UserURI
}

// routes are just enough of a server for a client to sign in.
func (s *seen) routes() (out []sipmux.Route) {
	answers := map[string]func(r *sipmux.Request, res *sip.Message){
		"REGISTER": func(r *sipmux.Request, res *sip.Message) {
			res.Add("Expires", "3600")
			res.Add("Supported", "msrtc-event-categories")
			res.Add("Allow-Events", "vnd-microsoft-roaming-contacts")
			res.Add("Contact", r.Get("Contact")+`;gruu="`+string(r.User)+`;opaque=user:epid:x;gruu"`)
		},
		"SUBSCRIBE": func(r *sipmux.Request, res *sip.Message) {
			res.Add("Event", r.Get("Event"))
			res.Add("Expires", "600")
			res.Add("Contact", "<sip:"+fqdn+">")
			res.Add("ms-piggyback-cseq", "1")
			res.Add("Content-Type", "application/vnd-microsoft-roaming-contacts+xml")
			res.Body = []byte(`<contactList deltaNum="1" ucsmode="none"><group id="1" name="~" externalURI=""/></contactList>`)
		},
		"SERVICE": func(*sipmux.Request, *sip.Message) {},
	}
	for method, answer := range answers {
		out = append(out, sipmux.Route{Method: method, Who: sipmux.User, Doc: "test", Serve: func(_ context.Context, r *sipmux.Request) (*sip.Message, error) {
			s.mu.Lock()
			s.who[method] = r.User
			s.mu.Unlock()
			res := r.Reply(200, "")
			answer(r, res)
			return res, nil
		}})
	}
	return out
}

// TestRealClient signs the real pidgin-sipe in. That it takes our contact list
// shows that it takes our signatures; the user of SUBSCRIBE, that we take its.
func TestRealClient(t *testing.T) {
	realm := krb5.Start(t, realm)
	realm.MustUser(t, "alice", "secret")
	kt, err := keytab.Load(realm.MustService(t, "sip/"+fqdn))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := realm.Login(t.Context(), "alice", "secret")
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"KRB5_CONFIG=" + realm.Config, "KRB5CCNAME=FILE:" + cache}
	for _, tc := range []struct {
		name string
		a    pidgin.Account
		fail string
	}{
		{"NTLM with the address", pidgin.Account{Password: "secret"}, ""},
		{"NTLM with a domain", pidgin.Account{Login: `CONTOSO\alice`, Password: "secret"}, ""},
		{"NTLM with a wrong password", pidgin.Account{Password: "guess"}, "Authentication failed"},
		{"Kerberos with a ticket", pidgin.Account{Scheme: "krb5", SingleSignOn: true, Env: env}, ""},
		{"Kerberos with a password", pidgin.Account{Scheme: "krb5", Login: "alice@CONTOSO.TEST", Password: "secret", Env: env}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := kerberosSite(t, realm, kt)
			who := &seen{who: map[string]uc.UserURI{}}
			tc.a.SignIn, tc.a.Transport, tc.a.Server = alice.Bare(), "tcp", listen(t, s, who.routes())
			c := pidgin.Start(t, tc.a)
			c.Connect(t)
			if tc.fail != "" {
				if e := c.ConnectionError(t); !strings.Contains(e["message"]+e["text"], tc.fail) {
					t.Errorf("error %s, want %s", e, tc.fail)
				}
				return
			}
			c.SignedOn(t)
			who.mu.Lock()
			got := who.who["SUBSCRIBE"]
			who.mu.Unlock()
			if got != alice {
				t.Errorf("SUBSCRIBE came from %q", got)
			}
			c.Quit(t)
		})
	}
}
