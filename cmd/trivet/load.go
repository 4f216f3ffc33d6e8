package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"trivet/fault"
	"trivet/kit/conf"
	"trivet/kit/log"
	"trivet/load"
	"trivet/role/frontend"
	"trivet/uc"
)

// loadFlags are the flags of "trivet load".
type loadFlags struct {
	model, server, ca, transport, auth, usersFile, report, data string
	users, make, contacts                                       int
	endpoints, speed, maxErrors                                 float64
	ramp, duration, maxP99                                      time.Duration
	seed                                                        uint64
	plan, quiet, fill, resume, missing                          bool
}

func (p program) loadCommand() *cobra.Command {
	var f loadFlags
	cmd := &cobra.Command{
		Use: "load", GroupID: "server", Args: cobra.NoArgs,
		Short: "Put the load of a published user model on a server",
		Long: "Plays a published user model against a server over real connections: users sign in with all their\n" +
			"endpoints, subscribe, publish, search and talk at the rates of the model, whatever the answers. Prints a\n" +
			"line each second and tables at the end. Exit status 1 when more failed, or answers took longer, than\n" +
			"--max-errors and --max-p99 allow. \"--plan\" shows the model and its totals.",
	}
	fl := cmd.Flags()
	fl.StringVar(&f.model, "model", "lync2013", "the user model")
	fl.IntVar(&f.users, "users", 0, "how many of the users in the users' file take part (default all)")
	fl.StringVar(&f.server, "server", "", "host:port of the server (default 127.0.0.1:5061, with TCP 5060)")
	fl.StringVar(&f.ca, "ca", "", "authority of the server's certificate, a PEM file (default DATA/ca.pem)")
	fl.StringVar(&f.transport, "transport", "tls", "tls or tcp")
	fl.StringVar(&f.auth, "auth", load.NTLM, "sign-in by ntlm or digest")
	fl.StringVar(&f.usersFile, "users-file", "", "JSON list of objects with SipAddress, UserPrincipalName and Password (default DATA/"+load.UsersFile+")")
	fl.StringVar(&f.data, "data", dataFolder(), "data folder of a server on this computer, whose use of the machine is watched")
	fl.IntVar(&f.make, "make-users", 0, "make so many users in the data folder, quickly when no server runs there, and end")
	fl.Float64Var(&f.endpoints, "endpoints", 0, "endpoints per user (default the model's)")
	fl.IntVar(&f.contacts, "contacts", 0, "contacts of each user (default the model's)")
	fl.BoolVar(&f.fill, "fill-contacts", false, "put the contacts on the contact lists of the server, once")
	fl.DurationVar(&f.ramp, "ramp", 0, "time in which everybody signs in (default the model's 120 min, divided by --speed)")
	fl.DurationVar(&f.duration, "duration", 5*time.Minute, "time to go on after that")
	fl.Float64Var(&f.speed, "speed", 1, "divides all times of the model, so that 24 puts a day into an hour")
	fl.Uint64Var(&f.seed, "seed", 1, "the run with the same seed does the same")
	fl.BoolVar(&f.resume, "resume", true, "resume TLS sessions when reconnecting")
	fl.StringVar(&f.report, "report", "", "write everything, with histograms and samples, into this JSON file")
	fl.Float64Var(&f.maxErrors, "max-errors", 1, "per cent of what was sent that may fail")
	fl.DurationVar(&f.maxP99, "max-p99", 5*time.Second, "the 99th percentile of the time to an answer may be so long, 0 for no limit")
	fl.BoolVar(&f.missing, "allow-missing", false, "succeed against a server that has no directory search or no conferences")
	fl.BoolVar(&f.plan, "plan", false, "show the model and what it makes of --users and --duration, and end")
	fl.BoolVar(&f.quiet, "quiet", false, "no line each second")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return p.load(cmd.Context(), f) }
	return cmd
}

func (p program) load(ctx context.Context, f loadFlags) error {
	if f.model != "lync2013" {
		return fault.Newf(fault.Invalid, "trivet load", "--model knows lync2013 only, not %q", f.model)
	}
	m := load.Lync2013()
	switch {
	case f.plan:
		users := max(f.users, 1)
		m.PrintPlan(p.out, load.Scale{Users: users, Endpoints: m.EndpointCount(users), Length: f.duration})
		return nil
	case f.make > 0:
		return p.makeUsers(ctx, f)
	}
	cfg, err := f.config(m)
	if err != nil {
		return err
	}
	if !f.quiet {
		cfg.Progress = p.out
	}
	run, err := load.New(cfg)
	if err != nil {
		return err
	}
	rep, err := run.Play(ctx)
	if err != nil {
		return err
	}
	rep.Print(p.out)
	if f.report != "" {
		if err := rep.WriteFile(f.report); err != nil {
			return fault.Newf(fault.Unavailable, "trivet load", "the report %s cannot be written", f.report).Because(err)
		}
	}
	if rep.Failed {
		return status(1)
	}
	return nil
}

// config makes the run's settings of the flags.
func (f loadFlags) config(m *load.Model) (load.Config, error) {
	const op = "trivet load"
	cfg := load.Config{
		Model: m, Server: f.server, Scheme: f.auth, Seed: f.seed, Ramp: f.ramp, Length: f.duration, Speed: f.speed, Endpoints: f.endpoints,
		Contacts: f.contacts, Fill: f.fill, Session: m.Session, Away: m.Day - m.Session, Data: f.data, MaxErrors: f.maxErrors / 100, MaxP99: f.maxP99,
		AllowMissing: f.missing,
	}
	if f.usersFile == "" {
		f.usersFile = filepath.Join(f.data, load.UsersFile)
	}
	var err error
	if cfg.People, err = load.ReadPeople(f.usersFile); err != nil {
		return cfg, err
	}
	if f.users > len(cfg.People) {
		return cfg, fault.Newf(fault.Invalid, op, "--users asks for %d and %s has %d; --make-users makes more", f.users, f.usersFile, len(cfg.People))
	}
	if f.users > 0 {
		cfg.People = cfg.People[:f.users]
	}
	switch f.transport {
	case "tcp":
		cfg.Server = orElse(f.server, "127.0.0.1:5060")
	case "tls":
		cfg.Server = orElse(f.server, "127.0.0.1:5061")
		cfg.TLS, err = f.trust(cfg.Server)
	default:
		return cfg, fault.Newf(fault.Invalid, op, "--transport is tls or tcp, not %q", f.transport)
	}
	return cfg, err
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// trust is the TLS configuration of the clients.
func (f loadFlags) trust(server string) (*tls.Config, error) {
	const op = "trivet load"
	file := orElse(f.ca, filepath.Join(f.data, "ca.pem"))
	pem, err := os.ReadFile(file)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		return nil, fault.Newf(fault.Invalid, op, "--ca needs a PEM file with certificates, and %s is none", file).Because(err)
	}
	host, _, _ := net.SplitHostPort(server)
	t := &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}
	if f.resume {
		t.ClientSessionCache = tls.NewLRUClientSessionCache(64)
	}
	return t, nil
}

// makeUsers creates users for a load test.
func (p program) makeUsers(ctx context.Context, f loadFlags) error {
	set, err := conf.Load(f.data, nil)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.data, 0o700); err != nil {
		return fault.Newf(fault.Unavailable, "trivet load", "the data folder %s cannot be made", f.data).Because(err)
	}
	file := filepath.Join(f.data, load.UsersFile)
	people, err := load.Invent(file, set.Domain, f.make)
	if err != nil {
		return err
	}
	list := make([]frontend.Newcomer, len(people))
	for i, x := range people {
		list[i] = frontend.Newcomer{SipAddress: uc.UserURI(x.SipAddress), Password: x.Password}
	}
	made, err := frontend.Seed(ctx, set, log.Discard(), list)
	if fault.Is(err, fault.Exists) {
		made, err = load.MakeUsers(ctx, f.data, people)
	}
	if err == nil {
		fmt.Fprintf(p.out, "%d users made; all %d with passwords in %s\n", made, len(people), file)
	}
	return err
}
