package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"trivet/admin/client"
	"trivet/admin/diagnose"
	"trivet/fault"
	"trivet/uc"
)

// question is what "trivet diagnose" was asked, as flags say it.
type question struct {
	data, ca, dns, host, domain, name, login, method string
	json                                             bool
}

// methods that --method names.
var methods = []string{"Ntlm", "Kerberos", "TlsDsk", "Digest"}

func (p program) diagnoseCommand() *cobra.Command {
	q := &question{}
	cmd := &cobra.Command{
		Use: "diagnose", GroupID: "server", Args: unknownSubject,
		Short: "Find out why somebody cannot sign in",
		Long: "Goes a client's way to the server, step by step, and says what is wrong and what mends it.\n\n" +
			"    trivet diagnose user alice@example.test\n    trivet diagnose server sip.example.test:5061\n    trivet diagnose certificate sip.example.test:5061\n\n" +
			"Exit status: 0 nothing is wrong, 1 something is.",
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	all := cmd.PersistentFlags()
	all.StringVar(&q.data, "data", dataFolder(), "data folder on the server itself: its owner is told whether the user exists, and its ca.pem is trusted")
	all.StringVar(&q.ca, "ca", "", "PEM file of further authorities to trust")
	all.StringVar(&q.dns, "dns", "", "name server to ask, host or host:port; without it the system's")
	all.BoolVar(&q.json, "json", false, "print JSON")
	cmd.AddCommand(p.diagnoseUser(q), p.diagnoseServer(q), p.diagnoseCertificate(q))
	return cmd
}

// unknownSubject refuses a word that is no subject of a diagnosis.
func unknownSubject(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fault.Newf(fault.Invalid, "trivet diagnose", "diagnose what? %q is none of user, server, certificate", args[0])
}

func (p program) diagnoseUser(q *question) *cobra.Command {
	cmd := &cobra.Command{
		Use: "user SIP-ADDRESS", Args: cobra.ExactArgs(1),
		Short: "Everything that a user's sign-in needs",
		Long: "Checks everything that a user's sign-in needs: names, port, TLS, certificate, ways to sign in, web services, clocks, autodiscover. " +
			"With a password, from $TRIVET_PASSWORD or the terminal, it signs in and out again.",
	}
	f := cmd.Flags()
	f.StringVar(&q.host, "host", "", "server as it is typed into the client, host or host:port; without it DNS is asked, as a client does")
	f.StringVar(&q.login, "login", "", "user name to sign in with; without it the address")
	f.StringVar(&q.method, "method", "", "the one way to sign in that the client knows: "+strings.Join(methods, ", "))
	if err := cmd.RegisterFlagCompletionFunc("method", cobra.FixedCompletions(methods, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // there is no such flag
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		address := args[0]
		if !strings.HasPrefix(strings.ToLower(address), "sip:") {
			address = "sip:" + address
		}
		user, err := uc.ParseUserURI(address)
		if err != nil {
			return fault.Newf(fault.Invalid, "trivet diagnose", "diagnose user needs an address like alice@example.test, not %q", args[0])
		}
		cfg, err := q.config()
		if err != nil {
			return err
		}
		cfg.User = user
		if cfg.Password, err = p.passwordOf(user); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(q.data, client.SocketName)); err == nil {
			cfg.Account = p.accountAt(q.data)
		}
		return p.tell(q, string(user), diagnose.User(cmd.Context(), cfg))
	}
	return cmd
}

func (p program) diagnoseServer(q *question) *cobra.Command {
	cmd := &cobra.Command{
		Use: "server HOST[:PORT]", Args: cobra.ExactArgs(1),
		Short: "Everything that a client needs of a server",
		Long:  "Checks everything that every client needs of a server: name, port, TLS, certificate, ways to sign in, web services, clocks.",
	}
	cmd.Flags().StringVar(&q.domain, "domain", "", "SIP domain of the users; without it what follows the first dot of HOST")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := q.config()
		if err != nil {
			return err
		}
		cfg.Server, cfg.Domain = args[0], q.domain
		return p.tell(q, args[0], diagnose.Server(cmd.Context(), cfg))
	}
	return cmd
}

func (p program) diagnoseCertificate(q *question) *cobra.Command {
	cmd := &cobra.Command{
		Use: "certificate HOST[:PORT]", Args: cobra.ExactArgs(1),
		Short: "What a server shows to those who connect over TLS",
		Long:  "Checks the certificate of a server, of SIP or of HTTPS: its dates, its name and its issuer. Without a port it asks 5061.",
	}
	cmd.Flags().StringVar(&q.name, "name", "", "name that the certificate has to be for; without it HOST")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := q.config()
		if err != nil {
			return err
		}
		cfg.Server, cfg.Name = args[0], q.name
		return p.tell(q, args[0], diagnose.Certificate(cmd.Context(), cfg))
	}
	return cmd
}

// config is what all questions share.
func (q *question) config() (diagnose.Config, error) {
	cfg := diagnose.Config{Server: q.host, Login: q.login, Method: q.method}
	if q.method != "" && !slices.ContainsFunc(methods, func(m string) bool { return strings.EqualFold(m, q.method) }) {
		return cfg, fault.Newf(fault.Invalid, "trivet diagnose", "--method needs one of %s, not %q", strings.Join(methods, ", "), q.method)
	}
	var err error
	if cfg.Roots, err = client.Trusted(client.Target{Data: q.data, CA: q.ca}); err != nil {
		return cfg, err
	}
	if q.dns != "" {
		at := q.dns
		if _, _, err := net.SplitHostPort(at); err != nil {
			at = net.JoinHostPort(at, "53")
		}
		cfg.Lookup = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at)
		}}
	}
	return cfg, nil
}

// passwordOf is the user's, from the environment or the terminal; "" where nobody
// gives one.
func (p program) passwordOf(user uc.UserURI) (string, error) {
	if s := os.Getenv("TRIVET_PASSWORD"); s != "" {
		return s, nil
	}
	in, isFile := p.in.(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) {
		return "", nil
	}
	fmt.Fprintf(p.err, "Password of %s (Enter for none): ", user.Bare())
	b, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(p.err)
	return string(b), err
}

// accountAt asks the server of a data folder, as its owner.
func (p program) accountAt(data string) func(context.Context, uc.UserURI) (diagnose.Account, error) {
	ask := func(ctx context.Context, cmdlet string, user uc.UserURI, rows any) error {
		var out, errs bytes.Buffer
		s := p.session(client.Target{Data: data})
		s.Out, s.Err, s.Terminal = &out, &errs, false
		if n := s.Run(ctx, cmdlet, []string{string(user), "-As", "json"}); n != client.Done {
			return fault.New(fault.Unavailable, "trivet diagnose", strings.TrimSpace(errs.String()))
		}
		return json.Unmarshal(out.Bytes(), rows)
	}
	return func(ctx context.Context, user uc.UserURI) (diagnose.Account, error) {
		var people []struct {
			Enabled    bool
			SipAddress string
		}
		err := ask(ctx, "Get-CsUser", user, &people)
		if err != nil && strings.Contains(strings.ToLower(err.Error()), "no user") {
			return diagnose.Account{}, nil
		}
		if err != nil || len(people) == 0 {
			return diagnose.Account{}, err
		}
		a := diagnose.Account{Known: true, Enabled: people[0].Enabled, HasSIP: people[0].SipAddress != ""}
		var endpoints []json.RawMessage
		if a.Enabled && ask(ctx, "Get-CsUserEndpoint", user, &endpoints) == nil {
			a.Endpoints = len(endpoints)
		}
		return a, nil
	}
}

// marks of the results, for a terminal and for files.
var marks = map[diagnose.Result][2]string{
	diagnose.OK: {"✓", "ok  "}, diagnose.Failed: {"✗", "FAIL"}, diagnose.Warning: {"!", "warn"}, diagnose.Skipped: {"-", "skip"},
}

// tell prints the findings; the exit status is 1 when something failed.
func (p program) tell(q *question, subject string, found []diagnose.Finding) error {
	failed := diagnose.Failures(found)
	if q.json {
		enc := json.NewEncoder(p.out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(map[string]any{"Subject": subject, "Failed": failed, "Checks": found}); err != nil {
			return err
		}
	} else {
		p.show(subject, found, failed)
	}
	if failed > 0 {
		return status(client.Failed)
	}
	return nil
}

func (p program) show(subject string, found []diagnose.Finding, failed int) {
	kind := 1
	if f, ok := p.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		kind = 0
	}
	first := ""
	for _, f := range found {
		fmt.Fprintf(p.out, "%s %-18s %s\n", marks[f.Result][kind], f.Check, client.Tame(f.Evidence))
		if f.Mend != "" {
			fmt.Fprintf(p.out, "%s %-18s -> %s\n", strings.Repeat(" ", len([]rune(marks[f.Result][kind]))), "", client.Tame(f.Mend))
		}
		if f.Result == diagnose.Failed {
			first = cmp.Or(first, f.Check)
		}
	}
	if failed == 0 {
		io.WriteString(p.out, "Nothing is wrong with "+subject+" as far as could be seen.\n")
	} else {
		fmt.Fprintf(p.out, "%d of %d checks failed; begin with the first: %s.\n", failed, len(found), first)
	}
}
