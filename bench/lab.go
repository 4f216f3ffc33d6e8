package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	domain   = "example.test"
	password = "bench-Pa55word"
)

// lab is where duels happen: a folder, and how long to measure.
type lab struct {
	dir    string
	length time.Duration
}

// machine prints what the figures were measured on.
func (l lab) machine() {
	model := "unknown processor"
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		if rest, ok := bytes.CutPrefix(line, []byte("model name\t: ")); ok {
			model = string(rest)
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("machine: %d × %s, Linux %s, %s, load %s, %.0f fsync/s\n", runtime.NumCPU(), model,
		strings.TrimSpace(string(kernel)), runtime.Version(), strings.Fields(string(load))[0], l.fsyncs())
}

// fsyncs measures how many 4 KiB appends per second the disk makes durable.
func (l lab) fsyncs() float64 {
	f, err := os.Create(filepath.Join(l.dir, "fsync"))
	if err != nil {
		return 0
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block, n, begin := make([]byte, 4096), 0, time.Now()
	for ; time.Since(begin) < time.Second; n++ {
		f.Write(block)
		f.Sync()
	}
	return float64(n) / time.Since(begin).Seconds()
}

// spareFiles are the files a server has open beside connections.
const spareFiles = 150

func user(n int) string { return fmt.Sprintf("user%05d", n) }

// kamailioWorkers is kamailio's default number of TCP workers (children=8 in the
// configuration it ships with).
const kamailioWorkers = 8

// relayDuel relays between the same users on both servers. The ratio is against
// kamailio as it comes; what it does with a single TCP worker, which has nobody to
// hand connections to or to share locks with but can use one processor only, is
// measured and printed beside it.
func (l lab) relayDuel(secure bool) (float64, []side, error) {
	one, err := l.relayKamailio(secure, 1)
	if err != nil {
		return 0, nil, err
	}
	fmt.Printf("kamailio, 1 worker:  %v\n", one)
	usual, err := l.relayKamailio(secure, kamailioWorkers)
	if err != nil {
		return 0, nil, err
	}
	fmt.Printf("kamailio, %d workers: %v\n", kamailioWorkers, usual)
	ours, err := l.relayTrivet(secure)
	if err != nil {
		return 0, nil, err
	}
	fmt.Printf("trivet:              %v\n", ours)
	against, err := ratio(ours, one, "kamailio with 1 worker")
	if err != nil {
		return 0, nil, err
	}
	fmt.Printf("against kamailio with 1 worker: %.2f\n", against)
	against, err = ratio(ours, usual, "kamailio")
	return against, nil, err
}

func (l lab) relayKamailio(secure bool, workers int) (relayResult, error) {
	addr := freeAddr()
	t := target{addr: addr, domain: domain, user: user, secret: password, atOnce: workers}
	cert, key := "", ""
	if secure {
		// One sign-in at a time: kamailio 5.6 with OpenSSL 3 crashes in simultaneous
		// TLS handshakes. They are over before anything is measured.
		t.atOnce = 1
		var err error
		if cert, key, err = l.certificate(); err != nil {
			return relayResult{}, err
		}
		t.tls = &tls.Config{InsecureSkipVerify: true}
	}
	s, err := kamailio{kamailioRelay, l.dir, addr, workers, cert, key}.start()
	if err != nil {
		return relayResult{}, err
	}
	defer s.stop()
	return relay(s, t, l.length)
}

func (l lab) relayTrivet(secure bool) (relayResult, error) {
	s, t, err := l.startTrivet(relayConnections, secure)
	if err != nil {
		return relayResult{}, err
	}
	defer s.stop()
	return relay(s, t, l.length)
}

// idleDuel opens n connections, or as many as this system's limit of open files
// allows a process.
func (l lab) idleDuel(n int) (float64, []side, error) {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return 0, nil, err
	}
	if most := int(files.Cur) - spareFiles; n > most {
		fmt.Printf("the limit of %d open files allows %d connections instead of %d\n", files.Cur, most, n)
		n = most
	}
	s, t, err := l.startTrivet(n, true)
	if err != nil {
		return 0, nil, err
	}
	defer s.stop()
	kb, report, err := idle(s, t, n, 30*time.Second)
	fmt.Println("trivet:", report)
	return kb, nil, err
}

// startTrivet creates n users in an empty data folder and starts the server.
func (l lab) startTrivet(n int, secure bool) (*server, target, error) {
	data := filepath.Join(l.dir, "data")
	if err := os.RemoveAll(data); err != nil {
		return nil, target{}, err
	}
	bin, err := filepath.Abs("trivet")
	if err != nil {
		return nil, target{}, err
	}
	if err := seed(data, n); err != nil {
		return nil, target{}, err
	}
	plain, secured := freeAddr(), freeAddr()
	cmd := exec.Command(bin, "run", "--data", data, "--domain", domain, "--sip-tcp", plain, "--sip-tls", secured, "--https", freeAddr())
	t := target{addr: plain, domain: domain, user: user, secret: password, atOnce: 8}
	if secure {
		t.addr, t.tls = secured, &tls.Config{InsecureSkipVerify: true}
	}
	s, err := start("trivet", cmd, l.dir, t.addr)
	return s, t, err
}

// certificate writes a self-signed certificate for the peer.
func (l lab) certificate() (cert, key string, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		return "", "", err
	}
	raw, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(l.dir, "peer.pem"), filepath.Join(l.dir, "peer.key")
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return "", "", err
	}
	return cert, key, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}), 0o600)
}

// freeAddr returns a loopback address nobody listens on.
func freeAddr() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
