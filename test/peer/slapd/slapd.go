// Package slapd runs OpenLDAP's server for tests: on a free loopback port, with a
// configuration, a database and certificates of its own in a temporary folder. It
// needs the Debian packages slapd and ldap-utils.
//
// A Server may be used from several goroutines; Stop and Start may not.
package slapd

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trivet/test/peer/child"
	"trivet/test/peer/need"
)

// The account that may do everything, below the suffix.
const (
	manager  = "cn=manager,"
	Password = "manager's secret"
)

// Options of New. The zero Options are a directory of dc=example,dc=test.
type Options struct {
	Suffix string  // "dc=example,dc=test"
	Limit  int     // entries that a search may return, and a page of one; 0: no limit
	Refer  string  // URL where what is not below the suffix is referred to
	Copy   *Server // keep a copy of that server's entries, by its changes
	Knows  *Server // let that server's manager read here too
}

// Server is a slapd with its folder. Its entries outlive Stop and Start.
type Server struct {
	Suffix string
	URL    string // ldap://127.0.0.1:PORT, with StartTLS
	TLS    string // ldaps://127.0.0.1:PORT
	CA     string // PEM file of the authority of its certificate
	dir    string
	proc   *child.Process
}

// New starts a server for the length of the test.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	need.Packages(t, "slapd", "ldap-utils")
	if o.Suffix == "" {
		o.Suffix = "dc=example,dc=test"
	}
	s := &Server{
		Suffix: o.Suffix, dir: t.TempDir(),
		URL: "ldap://" + freePort(t), TLS: "ldaps://" + freePort(t),
	}
	s.CA = filepath.Join(s.dir, "ca.pem")
	certify(t, s.dir)
	if err := os.Mkdir(filepath.Join(s.dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"slapd.conf": s.config(o), "account.schema": accountSchema} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Start(t)
	return s
}

// Manager is the name of the account that may do everything.
func (s *Server) Manager() string { return manager + s.Suffix }

func (s *Server) config(o Options) string {
	var b strings.Builder
	for _, schema := range []string{"core", "cosine", "inetorgperson"} {
		fmt.Fprintf(&b, "include /etc/ldap/schema/%s.schema\n", schema)
	}
	fmt.Fprintf(&b, "include %[1]s/account.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\nmoduleload ppolicy\nmoduleload syncprov\n"+
		"allow bind_anon_cred\n"+ // a bind without a password succeeds, as with Active Directory
		"TLSCACertificateFile %[1]s/ca.pem\nTLSCertificateFile %[1]s/server.pem\nTLSCertificateKeyFile %[1]s/server.key\n", s.dir)
	if o.Limit > 0 {
		fmt.Fprintf(&b, "sizelimit size.soft=%[1]d size.hard=%[1]d size.pr=%[1]d size.prtotal=unlimited\n", o.Limit)
	} else {
		b.WriteString("sizelimit unlimited\n")
	}
	if o.Refer != "" {
		fmt.Fprintf(&b, "referral %s\n", o.Refer)
	}
	fmt.Fprintf(&b, "database mdb\nmaxsize 268435456\nsuffix %q\nrootdn %q\nrootpw %q\ndirectory %s/db\nindex objectClass,entryUUID,entryCSN eq\n"+
		"dbnosync\naccess to * by anonymous auth by users read\n", s.Suffix, s.Manager(), Password, s.dir)
	if o.Copy != nil {
		fmt.Fprintf(&b, "syncrepl rid=001 provider=%s type=refreshAndPersist retry=\"1 +\" searchbase=%q bindmethod=simple binddn=%q credentials=%q\n",
			o.Copy.URL, s.Suffix, s.Manager(), Password)
	}
	b.WriteString("overlay ppolicy\noverlay syncprov\n")
	if o.Knows != nil {
		fmt.Fprintf(&b, "database ldif\nsuffix %q\nrootdn %q\nrootpw %q\ndirectory %s\n", o.Knows.Suffix, o.Knows.Manager(), Password, s.dir)
	}
	return b.String()
}

// accountSchema has the attributes of Active Directory that matter, under their
// own numbers ([MS-ADA1] to [MS-ADA3]).
const accountSchema = `attributetype ( 1.2.840.113556.1.4.2 NAME 'objectGUID' EQUALITY octetStringMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.159 NAME 'accountExpires' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 2.16.840.1.113730.3.1.35 NAME 'thumbnailPhoto' SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.146 NAME 'company' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.2.141 NAME 'department' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP top AUXILIARY
	MAY ( objectGUID $ userAccountControl $ accountExpires $ sAMAccountName $ userPrincipalName $ proxyAddresses $ thumbnailPhoto $ company $ department ) )
`

// Start starts the server again, on the same port and with the same entries.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	path, err := exec.LookPath("slapd")
	if err != nil {
		path = "/usr/sbin/slapd" // where Debian keeps programs of administrators
	}
	s.proc = child.Start(t, "slapd", exec.Command(path, "-d", "none", "-h", s.URL+" "+s.TLS, "-f", filepath.Join(s.dir, "slapd.conf")))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(20 * time.Second); ; <-tick.C {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.TLS, "ldaps://"))
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-s.proc.Done():
			t.Fatalf("slapd ends at once: %v\n%s", s.proc.Err(), s.proc.Tail())
		default:
		}
		if time.Now().After(limit) {
			t.Fatalf("slapd does not answer: %v\n%s", err, s.proc.Tail())
		}
	}
}

// Stop kills the server.
func (s *Server) Stop() { s.proc.Kill() }

func freePort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
