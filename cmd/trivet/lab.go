package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trivet/box"
	"trivet/fault"
	"trivet/kit/log"
	"trivet/load"
	"trivet/uc"
)

// labReady is how long a pool may take from its first process to readiness.
const labReady = 2 * time.Minute

func (p program) labCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lab", GroupID: "server", Args: cobra.ArbitraryArgs,
		Short: "A whole pool on this computer: demonstrations, tests, drills",
		Long: "Runs a pool of Front Ends as processes of this program on loopback addresses, with lines between them that can be cut and\n" +
			"slowed. \"trivet lab up\" starts one and stays in the foreground; from another terminal:\n\n" + indent(box.Commands) +
			"down                   stop everything\n\nTo each, --dir names the folder of the lab.",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fault.Newf(fault.Invalid, "trivet lab", "there is no command %q of a lab; trivet help lab lists them", args[0])
			}
			return c.Help()
		},
	}
	dir := cmd.PersistentFlags().String("dir", "trivet-lab", "folder of the lab")
	cmd.AddCommand(p.labUp(dir), p.labRun(dir), labTell(p, dir, box.DownCommand, "", "Stop the lab"))
	known := map[string]bool{}
	for _, line := range strings.Split(strings.TrimSpace(box.Commands), "\n") {
		use, short := strings.TrimSpace(line[:23]), line[23:]
		verb, args, _ := strings.Cut(use, " ")
		if known[verb] {
			continue // another form of it
		}
		known[verb] = true
		cmd.AddCommand(labTell(p, dir, verb, args, strings.ToUpper(short[:1])+short[1:]))
	}
	return cmd
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n    ") + "\n    "
}

// labTell is a command for the lab that runs.
func labTell(p program, dir *string, verb, args, short string) *cobra.Command {
	return &cobra.Command{
		Use: strings.TrimSpace(verb + " " + args), Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return box.Tell(cmd.Context(), *dir, strings.Join(append([]string{verb}, args...), " "), p.out)
		},
	}
}

// labFlags say what is started.
type labFlags struct {
	spec  box.Spec
	users int
}

func (f *labFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.spec.FrontEnds, "front-ends", 3, "Front Ends of the pool, 1 to 12")
	cmd.Flags().BoolVar(&f.spec.BackEnd, "back-end", false, "with a database server sql1; needs the package postgresql-15")
	cmd.Flags().BoolVar(&f.spec.Mirror, "mirror", false, "with a mirror sql2 of the database server; with --back-end")
	cmd.Flags().StringVar(&f.spec.Domain, "domain", "example.test", "SIP domain")
	cmd.Flags().Uint8Var(&f.spec.Number, "number", 0, "third byte of the loopback addresses; 0 for one that is free")
	cmd.Flags().IntVar(&f.users, "users", 4, "users to make, 0 for none")
}

func (p program) labUp(dir *string) *cobra.Command {
	var f labFlags
	cmd := &cobra.Command{
		Use: "up", Args: cobra.NoArgs, Short: "Start a pool and stay with it until Ctrl-C or trivet lab down",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withLab(cmd.Context(), *dir, f, func(ctx context.Context, b *box.Box) error {
				fmt.Fprintf(p.out, "ready; Ctrl-C or \"trivet lab down --dir %s\" ends it\n", *dir)
				<-ctx.Done()
				return nil
			})
		},
	}
	f.add(cmd)
	return cmd
}

func (p program) labRun(dir *string) *cobra.Command {
	var f labFlags
	cmd := &cobra.Command{
		Use: "run FILE", Args: oneArgument("lab run", "the file with the commands, - for the input"),
		Short: "Start a pool, carry out the commands of a file, and stop",
		RunE: func(cmd *cobra.Command, args []string) error {
			in := p.in
			if args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return fault.New(fault.NotFound, "trivet lab run", "the file with the commands cannot be read").About(args[0]).Because(err)
				}
				defer file.Close()
				in = file
			}
			return p.withLab(cmd.Context(), *dir, f, func(ctx context.Context, b *box.Box) error { return b.Script(ctx, in, p.out) })
		},
	}
	f.add(cmd)
	return cmd
}

// withLab starts a lab, and stops it when do has returned.
func (p program) withLab(ctx context.Context, dir string, f labFlags, do func(context.Context, *box.Box) error) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := box.Tell(ctx, dir, "status", io.Discard); err == nil {
		return fault.New(fault.Exists, "trivet lab", "a lab runs in this folder; end it with trivet lab down, or name another with --dir").About(dir)
	}
	if f.spec.Mirror && !f.spec.BackEnd {
		return fault.New(fault.Invalid, "trivet lab", "--mirror needs --back-end, whose mirror it is")
	}
	f.spec.Dir, f.spec.Log = dir, log.New(p.err, log.Options{})
	b, err := box.Start(context.WithoutCancel(ctx), f.spec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close(context.Background())) }()
	if err := b.Control(cancel); err != nil {
		return err
	}
	waiting, over := context.WithTimeout(ctx, labReady)
	defer over()
	if err := b.AwaitReady(waiting); err != nil {
		if ctx.Err() != nil {
			return nil // somebody did not want to wait
		}
		return err
	}
	if err := b.Table(ctx, p.out); err != nil {
		return err
	}
	if err := p.labUsers(ctx, b, f); err != nil {
		return err
	}
	return do(ctx, b)
}

// labUsers makes users, or finds those of an earlier time, and says how to sign in.
func (p program) labUsers(ctx context.Context, b *box.Box, f labFlags) error {
	file := filepath.Join(b.Plan.Dir, load.UsersFile)
	if f.users > 0 {
		people, err := labPeople(file, b.Plan.Domain, f.users)
		if err != nil {
			return err
		}
		if _, err := load.MakeUsers(ctx, b.Plan.Servers[0].Data, people); err != nil {
			return err
		}
		for _, x := range people[:min(len(people), 4)] {
			fmt.Fprintf(p.out, "  %-28s password %s\n", x.SipAddress.Bare(), x.Password)
		}
		fmt.Fprintf(p.out, "%d users, all in %s\n", len(people), file)
	}
	first := b.Plan.Servers[0]
	fmt.Fprintf(p.out, "sign in at %s:5061 or any other server, trusting %s\n", first.Addr, filepath.Join(b.Plan.Keys(), "ca.pem"))
	fmt.Fprintf(p.out, "names:    %s answers for %s, for example: dig @%s -p %d %s\n", b.Plan.DNS(), b.Plan.Domain, b.Plan.DNS().Addr(), b.Plan.DNS().Port(), b.Plan.Pool)
	fmt.Fprintf(p.out, "cmdlets:  trivet Get-CsUser --data %s\n", first.Data)
	return nil
}

// labNames are the first users of a lab; the others have numbers.
var labNames = [...]string{"alice", "bob", "carol", "dave"}

// labPeople reads the users of a lab from file, and adds to it those that are
// missing, with passwords that nobody knows before.
func labPeople(file, domain string, n int) ([]load.Person, error) {
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		var list []load.Person
		for _, name := range labNames[:min(n, len(labNames))] {
			list = append(list, load.Person{SipAddress: uc.UserURI("sip:" + name + "@" + domain), UserPrincipalName: name + "@" + domain, Password: "Aa1-" + strings.ToLower(rand.Text()[:16])})
		}
		text, err := json.MarshalIndent(list, "", " ")
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return nil, fault.New(fault.Unavailable, "trivet lab", "the file with the users cannot be written").About(file).Because(err)
		}
	}
	return load.Invent(file, domain, n)
}
