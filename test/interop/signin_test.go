package interop

import (
	"os"
	"slices"
	"strings"
	"testing"

	"trivet/test/peer/baresip"
	"trivet/test/peer/krb5"
	"trivet/test/peer/linphone"
	"trivet/test/peer/pidgin"
	"trivet/test/peer/sipp"
)

func TestSignInNTLM(t *testing.T) {
	t.Parallel()
	s := Start(t)
	c := s.Pidgin(t, alice)
	if !strings.Contains(c.DebugLog(), "Authorization: NTLM") {
		t.Error("the client did not use NTLM")
	}
	c.Disconnect(t)
	c.SignOn(t) // and once more
}

func TestSignInOverTCP(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a := s.Account(alice)
	a.Transport, a.Server = "tcp", fqdn+":5060"
	pidgin.Start(t, a).SignOn(t)
}

func TestSignInTLSDSK(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a := s.Account(alice)
	a.Scheme = "tls-dsk"
	c := pidgin.Start(t, a).SignOn(t)
	if !strings.Contains(c.DebugLog(), "Authorization: TLS-DSK") {
		t.Error("the client did not use TLS-DSK")
	}
	c.Disconnect(t)
	c.SignOn(t) // with the certificate it has
}

func TestSignInWithTheSchemeTheClientLikesBest(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a := s.Account(alice)
	a.Scheme = "auto"
	pidgin.Start(t, a).SignOn(t)
}

func TestSignInKerberos(t *testing.T) {
	t.Parallel()
	realm := krb5.Start(t, strings.ToUpper(domain))
	keytab := realm.MustService(t, "sip/"+fqdn)
	realm.MustUser(t, "alice", "a-password-of-the-realm")
	s := Start(t, "--kerberos-keytab", keytab)

	a := s.Account(alice)
	a.Scheme, a.Login, a.Password, a.Env = "krb5", "alice@"+realm.Name, "a-password-of-the-realm", realm.Env()
	c := pidgin.Start(t, a).SignOn(t)
	if !strings.Contains(c.DebugLog(), "Authorization: Kerberos") {
		t.Error("the client did not use Kerberos")
	}

	cache, err := realm.Login(t.Context(), "alice", "a-password-of-the-realm")
	if err != nil {
		t.Fatal(err)
	}
	a.SingleSignOn, a.Password, a.Login, a.Machine = true, "", "", "alice-laptop"
	a.Env = append(realm.Env(), "KRB5CCNAME="+cache)
	pidgin.Start(t, a).SignOn(t)

	a.SignIn, a.Machine = mailbox(bob), "bob-desk" // with alice's ticket
	thief := pidgin.Start(t, a)
	thief.Connect(t)
	thief.ConnectionError(t)
	thief.Refute(t, "sign-in as bob with alice's ticket", pidgin.Is("signed-on"))
}

func TestPlainPhoneRegisters(t *testing.T) {
	t.Parallel()
	s := Start(t)
	for _, transport := range []string{"udp", "tcp", "tls"} {
		t.Run(transport, func(t *testing.T) { baresip.Start(t, s.Phone(alice, transport)).Registered(t).Stop(t) })
	}
}

func TestPlainClientRegisters(t *testing.T) {
	t.Parallel()
	s := Start(t)
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			if err := sipp.Register(t, s.SIPp(alice, transport)); err != nil {
				t.Error(err)
			}
		})
	}
}

// linphone knows MD5, too, and is offered both.
func TestPhoneRegistersWithSHA256(t *testing.T) {
	t.Parallel()
	s := Start(t)
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			phone := linphone.Start(t, s.Softphone(alice, transport)).Registered(t)
			if got := phone.Algorithms(); !slices.Equal(got, []string{"SHA-256"}) {
				t.Errorf("credentials with %v, want SHA-256", got)
			}
			phone.Unregister(t)
		})
	}
	wrong := s.Softphone(alice, "tcp")
	wrong.Password = "wrong" + wrong.Password
	linphone.Start(t, wrong).Refused(t)
}

// refusal is what a client is told when it signs in with the account.
func refusal(t *testing.T, a pidgin.Account) string {
	t.Helper()
	c := pidgin.Start(t, a)
	c.Connect(t)
	e := c.ConnectionError(t)
	c.Refute(t, "sign-in", pidgin.Is("signed-on"))
	return outcome(e)
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	s := Start(t)
	for _, scheme := range []string{"ntlm", "tls-dsk"} {
		a := s.Account(alice)
		a.Scheme, a.Password = scheme, "wrong"+a.Password
		if got := refusal(t, a); !strings.HasPrefix(got, "authentication-failed (fatal: yes)") {
			t.Errorf("%s with a wrong password: %s, want authentication-failed", scheme, got)
		}
	}
	phone := s.Phone(alice, "tcp")
	phone.Password = "wrong" + phone.Password
	baresip.Start(t, phone).Refused(t)
	plain := s.SIPp(alice, "udp")
	plain.Password = "wrong" + plain.Password
	if sipp.Register(t, plain) == nil {
		t.Error("SIPp registers with a wrong password")
	}
	s.Pidgin(t, alice) // whose account took no harm
}

func TestUnknownAndDisabledUsersLookLikeAWrongPassword(t *testing.T) {
	t.Parallel()
	s := Start(t)
	s.Cmdlet(t, "Set-CsUser", mailbox(dave), "-Enabled", "$false")
	wrong, unknown, disabled := s.Account(alice), s.Account("sip:nobody@"+domain), s.Account(dave)
	wrong.Password, unknown.Password = "wrong", "wrong"
	want := refusal(t, wrong)
	for name, a := range map[string]pidgin.Account{"unknown": unknown, "disabled": disabled} {
		if got := refusal(t, a); got != want {
			t.Errorf("%s user: %s, want as with a wrong password: %s", name, got, want)
		}
	}
	phone := s.Phone(alice, "tcp")
	phone.Password = "wrong"
	told := baresip.Start(t, phone).Refused(t)
	phone.User = "nobody"
	if got := strings.ReplaceAll(baresip.Start(t, phone).Refused(t), "nobody", "alice"); got != told {
		t.Errorf("phone of an unknown user: %q, want as with a wrong password: %q", got, told)
	}
}

func TestDisablingEndsTheSession(t *testing.T) {
	t.Parallel()
	s := Start(t)
	c, b := friends(t, s)
	s.Cmdlet(t, "Set-CsUser", mailbox(alice), "-Enabled", "$false")
	c.ConnectionError(t)
	b.AwaitStatus(t, alice, pidgin.Offline)
	c.Connect(t)
	c.ConnectionError(t)
	s.Cmdlet(t, "Set-CsUser", mailbox(alice), "-Enabled", "$true")
	c.SignOn(t)
	b.AwaitStatus(t, alice, pidgin.Available)
}

func TestAutodiscover(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a := s.Account(alice)
	a.Server, a.Transport = "", "auto"
	a.Names["lyncdiscoverinternal."+domain] = s.addr.String()
	a.Routes = map[string]string{s.at(443): s.at(8443)}
	c := pidgin.Start(t, a).SignOn(t)
	if !strings.Contains(c.DebugLog(), "AutodiscoverResponse") {
		t.Error("the client found the server without autodiscover")
	}
}

func TestDiscoveryBySRV(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a := s.Account(alice)
	a.Server, a.Transport = "", "auto"
	a.Services = map[string]string{"_sipinternaltls._tcp." + domain: fqdn + ":5061"}
	pidgin.Start(t, a).SignOn(t)
}

func TestCertificateMustBeTrusted(t *testing.T) {
	t.Parallel()
	s := Start(t)
	a := s.Account(alice)
	a.CA = ""
	c := pidgin.Start(t, a)
	c.Connect(t)
	c.ConnectionError(t)
	c.Refute(t, "sign-in without trust", pidgin.Is("signed-on"))
	a.TrustAny = true
	pidgin.Start(t, a).SignOn(t)
	if text, err := os.ReadFile(s.ca()); err != nil || !strings.Contains(string(text), "BEGIN CERTIFICATE") {
		t.Errorf("ca.pem: %v, %q", err, text)
	}
}
