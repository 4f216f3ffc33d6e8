package box

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"trivet/kit/clock"
	"trivet/link/peer"
	"trivet/link/pki"
	"trivet/uc"
)

// TestMain is also the program of the servers in these tests: they link to each
// other and are ready while linked to most of the pool.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "server" {
		if err := standIn(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

type document struct {
	Pools []struct {
		FQDN      uc.PoolFQDN `yaml:"fqdn"`
		Ports     struct{ HTTPS, Peer string }
		Computers []struct {
			FQDN    uc.ServerFQDN `yaml:"fqdn"`
			Address string
			Peer    string `yaml:"peer-address"`
			SIP     string `yaml:"sip-address"`
		}
	}
}

func standIn(args []string) error {
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	file, self, data := flags.String("topology", "", ""), flags.String("computer", "", ""), flags.String("data", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	b, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	var doc document
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return err
	}
	pool := doc.Pools[0]
	servers, addr := map[uc.ServerFQDN]string{}, ""
	for _, c := range pool.Computers {
		if servers[c.FQDN] = c.Peer; string(c.FQDN) == *self {
			addr = c.Address
		}
	}
	quiet := slog.New(slog.DiscardHandler)
	keys, err := pki.Open(pki.Config{Dir: *data, Names: pki.Names{Server: uc.ServerFQDN(*self), Pool: pool.FQDN}, Clock: clock.Real{}, Log: quiet})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	links := peer.New(peer.Config{
		Self: uc.ServerFQDN(*self), Servers: func() map[uc.ServerFQDN]string { return servers }, Certificate: keys.GetCertificate, Roots: keys.Roots(),
		Clock: clock.Real{}, Log: quiet, Beat: 50 * time.Millisecond, Quiet: time.Second,
	})
	fmt.Println("starting: waits for the others")
	if _, err := links.Listen(ctx, net.JoinHostPort(addr, pool.Ports.Peer)); err != nil {
		return err
	}
	ln, err := tls.Listen("tcp", net.JoinHostPort(addr, pool.Ports.HTTPS), &tls.Config{GetCertificate: keys.GetCertificate})
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { health(w, links, len(servers)) })}
	context.AfterFunc(ctx, func() { srv.Close() })
	srv.Serve(ln)
	return links.Close(context.Background())
}

func health(w http.ResponseWriter, links *peer.Net, n int) {
	up := 1
	for _, p := range links.Peers() {
		if p.Up {
			up++
		}
	}
	status := map[string]string{"status": "ok"}
	if 2*up <= n {
		w.WriteHeader(http.StatusServiceUnavailable)
		status = map[string]string{"status": "not ready", "reason": fmt.Sprintf("linked to %d of %d", up, n)}
	}
	json.NewEncoder(w).Encode(status)
}
