// Package krb5 runs MIT Kerberos for tests: a realm of its own with a KDC on a
// loopback port and everything else in a temporary folder. It needs the Debian
// packages krb5-kdc, krb5-admin-server and krb5-user.
//
// A Realm may be used from several goroutines once New has returned.
package krb5

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Realm is a running realm.
type Realm struct {
	Name   string // "EXAMPLE.TEST"
	Addr   string // host:port of the KDC, UDP and TCP
	Config string // path of krb5.conf; set KRB5_CONFIG to it

	dir string
	kdc *exec.Cmd
}

// New makes a realm in dir and starts its KDC. It returns when the KDC answers.
// Stop it.
func New(ctx context.Context, dir, name string) (*Realm, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	r := &Realm{Name: name, Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Config: filepath.Join(dir, "krb5.conf"), dir: dir}
	for file, text := range map[string]string{"krb5.conf": r.clientConfig(), "kdc.conf": r.kdcConfig(port)} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	if _, err := r.run(ctx, "", "kdb5_util", "create", "-s", "-r", name, "-P", "master", "-W"); err != nil {
		return nil, err
	}
	if err := r.start(); err != nil {
		return nil, err
	}
	if err := r.await(ctx); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

func (r *Realm) clientConfig() string {
	domain := strings.ToLower(r.Name)
	return fmt.Sprintf(`[libdefaults]
	default_realm = %[1]s
	dns_lookup_kdc = false
	dns_lookup_realm = false
	dns_canonicalize_hostname = false
	rdns = false
	udp_preference_limit = 1
	permitted_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96
	default_tkt_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96
	default_tgs_enctypes = aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96
[realms]
	%[1]s = {
		kdc = %[2]s
	}
[domain_realm]
	.%[3]s = %[1]s
	%[3]s = %[1]s
`, r.Name, r.Addr, domain)
}

func (r *Realm) kdcConfig(port int) string {
	return fmt.Sprintf(`[kdcdefaults]
	kdc_listen = 127.0.0.1:%[1]d
	kdc_tcp_listen = 127.0.0.1:%[1]d
[realms]
	%[2]s = {
		database_name = %[3]s/principal
		key_stash_file = %[3]s/stash
		acl_file = %[3]s/acl
		max_life = 10h 0m 0s
		supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
	}
[logging]
	kdc = FILE:%[3]s/kdc.log
`, port, r.Name, r.dir)
}

// Env is the environment in which MIT programs see this realm.
func (r *Realm) Env() []string {
	return append(os.Environ(), "KRB5_CONFIG="+r.Config, "KRB5_KDC_PROFILE="+filepath.Join(r.dir, "kdc.conf"))
}

// run runs one program of the realm with text on its input.
func (r *Realm) run(ctx context.Context, input, program string, args ...string) (string, error) {
	path, err := find(program)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = r.Env()
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("krb5: %s: %w: %s", program, err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// find also looks where Debian keeps the programs of administrators.
func find(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	path, err := exec.LookPath(filepath.Join("/usr/sbin", program))
	if err != nil {
		return "", fmt.Errorf("krb5: %s is missing; install krb5-kdc, krb5-admin-server and krb5-user: %w", program, err)
	}
	return path, nil
}

// User adds a principal with a password.
func (r *Realm) User(ctx context.Context, name, password string) error {
	_, err := r.run(ctx, "", "kadmin.local", "-r", r.Name, "addprinc", "-pw", password, name)
	return err
}

// Service adds a principal with random keys, "sip/fe1.example.test", and writes
// them to a keytab, whose path it returns.
func (r *Realm) Service(ctx context.Context, name string) (string, error) {
	path := filepath.Join(r.dir, strings.ReplaceAll(name, "/", "_")+".keytab")
	if _, err := r.run(ctx, "", "kadmin.local", "-r", r.Name, "addprinc", "-randkey", name); err != nil {
		return "", err
	}
	_, err := r.run(ctx, "", "kadmin.local", "-r", r.Name, "ktadd", "-k", path, name)
	return path, err
}

// Login runs kinit and returns the path of the ticket cache.
func (r *Realm) Login(ctx context.Context, name, password string) (string, error) {
	path := filepath.Join(r.dir, "cc_"+name)
	_, err := r.run(ctx, password+"\n", "kinit", "-c", path, name+"@"+r.Name)
	return path, err
}

func (r *Realm) start() error {
	path, err := find("krb5kdc")
	if err != nil {
		return err
	}
	r.kdc = exec.Command(path, "-n", "-r", r.Name)
	r.kdc.Env = r.Env()
	r.kdc.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return r.kdc.Start()
}

// Stop ends the KDC.
func (r *Realm) Stop() error {
	if err := r.kdc.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := r.kdc.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

// await dials the KDC until it accepts.
func (r *Realm) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", r.Addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("krb5: the KDC does not answer at %s: %w", r.Addr, err)
		case <-tick.C:
		}
	}
}

func freePort(ctx context.Context) (int, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}
