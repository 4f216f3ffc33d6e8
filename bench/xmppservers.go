package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	account "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// xmppPeer is an XMPP server to measure against.
type xmppPeer struct {
	name  string
	start func(l lab, addr string, users int) (*server, error)
}

var xmppPeers = []xmppPeer{{"prosody", lab.startProsody}, {"ejabberd", lab.startEjabberd}}

// prosodyConfig has what signing in and one-to-one messages need and nothing else.
const prosodyConfig = `
run_as_root = true
daemonize = false
data_path = "%DIR%/prosody"
pidfile = "%DIR%/prosody.pid"
certificates = "%DIR%"
log = { warn = "%DIR%/prosody-warn.log" }
interfaces = { "127.0.0.1" }
c2s_ports = { %PORT% }
modules_enabled = { "roster", "saslauth", "tls", "disco" }
modules_disabled = { "s2s", "offline", "posix" }
authentication = "internal_plain"
storage = "internal"
network_backend = "epoll"
VirtualHost "%DOMAIN%"
	ssl = { certificate = "%DIR%/peer.pem"; key = "%DIR%/peer.key" }
`

func (l lab) startProsody(addr string, users int) (*server, error) {
	bin, err := exec.LookPath("prosody")
	if err != nil {
		return nil, fmt.Errorf("prosody is missing: apt-get install prosody")
	}
	accounts := filepath.Join(l.dir, "prosody", strings.ReplaceAll(domain, ".", "%2e"), "accounts")
	if err := os.MkdirAll(accounts, 0o700); err != nil {
		return nil, err
	}
	for n := range users {
		text := fmt.Sprintf("return {\n\t[\"password\"] = %q;\n};\n", password)
		if err := os.WriteFile(filepath.Join(accounts, user(n)+".dat"), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	file, err := l.configure("prosody.cfg.lua", prosodyConfig, addr)
	if err != nil {
		return nil, err
	}
	return start("prosody", exec.Command(bin, "--config", file, "-F"), l.dir, addr)
}

// ejabberdConfig is the same for ejabberd: passwords as they are, so that neither
// side hashes for longer than the other.
const ejabberdConfig = `
hosts: ["%DOMAIN%"]
loglevel: warning
certfiles: ["%DIR%/both.pem"]
auth_method: internal
auth_password_format: plain
listen:
  - {port: %PORT%, ip: "127.0.0.1", module: ejabberd_c2s, starttls: true, max_stanza_size: 262144}
acl: {}
access_rules: {c2s: {allow: all}}
modules: {mod_roster: {}, mod_disco: {}}
`

func (l lab) startEjabberd(addr string, users int) (*server, error) {
	bin, err := exec.LookPath("ejabberdctl")
	if err != nil {
		return nil, fmt.Errorf("ejabberd is missing: apt-get install ejabberd")
	}
	if err := l.joinCertificate(); err != nil {
		return nil, err
	}
	file, err := l.configure("ejabberd.yml", ejabberdConfig, addr)
	if err != nil {
		return nil, err
	}
	home := filepath.Join(l.dir, "ejabberd")
	who, err := l.giveTo("ejabberd", home)
	if err != nil {
		return nil, err
	}
	ctl := func(args ...string) *exec.Cmd {
		cmd := exec.Command(bin, append([]string{"--config-dir", l.dir, "--config", file, "--spool", home, "--logs", home, "--node", "bench@localhost"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+home, "EJABBERD_CONFIG_PATH="+file, "ERL_EPMD_ADDRESS=127.0.0.1", "INET_DIST_INTERFACE=127.0.0.1")
		return cmd
	}
	s, err := startAs("ejabberd", ctl("foreground"), l.dir, addr, who)
	if err != nil {
		return nil, err
	}
	dump := filepath.Join(home, "users.txt")
	if err := os.WriteFile(dump, ejabberdUsers(users), 0o644); err != nil {
		s.stop()
		return nil, err
	}
	load := ctl("load", dump)
	load.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	if out, err := load.CombinedOutput(); err != nil {
		s.stop()
		return nil, fmt.Errorf("ejabberdctl load: %w: %s", err, out)
	}
	return s, nil
}

// ejabberdUsers is a text dump of its table of passwords.
func ejabberdUsers(users int) []byte {
	b := []byte("{tables, [{passwd, [{record_name, passwd}, {attributes, [us, password]}]}]}.\n")
	for n := range users {
		b = fmt.Appendf(b, "{passwd, {<<%q>>, <<%q>>}, <<%q>>}.\n", user(n), domain, password)
	}
	return b
}

// configure writes a peer's settings with our folder, port and domain in them, and
// the certificate beside it.
func (l lab) configure(name, text, addr string) (string, error) {
	if _, _, err := l.certificate(); err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	file := filepath.Join(l.dir, name)
	return file, os.WriteFile(file, []byte(strings.NewReplacer("%DIR%", l.dir, "%PORT%", port, "%DOMAIN%", domain).Replace(text)), 0o644)
}

// joinCertificate puts the peer's certificate and key into one file.
func (l lab) joinCertificate() error {
	cert, key, err := l.certificate()
	if err != nil {
		return err
	}
	var both []byte
	for _, name := range []string{cert, key} {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		both = append(both, b...)
	}
	return os.WriteFile(filepath.Join(l.dir, "both.pem"), both, 0o644)
}

// giveTo makes an empty folder for a server that wants to run as a user of its own,
// and opens the way to it. Who is not root stays who he is.
func (l lab) giveTo(name, folder string) (*syscall.Credential, error) {
	if err := os.RemoveAll(folder); err != nil {
		return nil, err
	}
	if err := os.Mkdir(folder, 0o700); err != nil || os.Getuid() != 0 {
		return nil, err
	}
	u, err := account.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chmod(l.dir, 0o711); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(folder, uid, gid)
}

// xmppTarget is where a peer listens.
func xmppTarget() target {
	return target{addr: freeAddr(), tls: &tls.Config{InsecureSkipVerify: true}, domain: domain, user: user, secret: password, atOnce: 8}
}
