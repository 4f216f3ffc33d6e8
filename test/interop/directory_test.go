package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trivet/test/peer/pidgin"
	"trivet/test/peer/slapd"
)

// TestSignInWithThePasswordOfADirectory: a client gets its certificate with the
// password that only an LDAP directory knows, and signs in with that; when the
// directory disables the user, the session ends.
func TestSignInWithThePasswordOfADirectory(t *testing.T) {
	t.Parallel()
	ldap := slapd.New(t, slapd.Options{})
	ldap.Root(t, "people")
	ldap.Apply(t, ldap.Person("zoe", "title: Boss", "objectClass: user", "userAccountControl: 512")+ldap.Person("yves"))
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(slapd.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	s := StartWith(t, fmt.Sprintf(`directory:
  sources:
    - name: corp
      kind: inetorgperson
      servers: [%q]
      ca: %q
      bind-dn: %q
      password-file: %q
      users: {bases: [%q]}
      every: 0s
`, ldap.URL, ldap.CA, ldap.Manager(), password, "ou=people,"+ldap.Suffix))
	s.Cmdlet(t, "Update-CsUserDatabase")

	const zoe = "sip:zoe@" + domain
	s.passwords[zoe] = "secret of zoe"
	a := s.Account(zoe)
	a.Scheme = "tls-dsk"
	c := pidgin.Start(t, a).SignOn(t)
	if !strings.Contains(c.DebugLog(), "Authorization: TLS-DSK") {
		t.Error("the client did not use TLS-DSK")
	}
	b := a
	b.SignIn, b.Password, b.Machine = "yves@"+domain, "secret of zoe", "yves-desk"
	thief := pidgin.Start(t, b)
	thief.Connect(t)
	thief.ConnectionError(t)

	ldap.Apply(t, "dn: uid=zoe,ou=people,"+ldap.Suffix+"\nchangetype: modify\nreplace: userAccountControl\nuserAccountControl: 514\n\n")
	if out := s.Cmdlet(t, "Update-CsUserDatabase", "-As", "json"); !strings.Contains(out, `"Disabled": 1`) {
		t.Errorf("the directory disables zoe: %s", out)
	}
	c.ConnectionError(t)
}
