package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"trivet/admin/client"
	"trivet/admin/cmdlet"
	"trivet/fault"
	"trivet/kit/clock"
	"trivet/kit/conf"
)

// program is one invocation, as a value that a test can run.
type program struct {
	in       io.Reader
	out, err io.Writer
	// run serves until ctx ends: log for the log, out for what the person who
	// started it is to read.
	run func(ctx context.Context, s conf.Settings, log *slog.Logger, out io.Writer) error
}

// status is an error that is an exit status and nothing more to say.
type status int

func (status) Error() string { return "" }

// main runs the command that args name and returns the exit status.
func (p program) main(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(canonical(args))
	err := root.ExecuteContext(ctx)
	var s status
	switch {
	case err == nil:
		return client.Done
	case errors.As(err, &s):
		return int(s)
	}
	fmt.Fprintln(p.err, client.Sentence(err))
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind == fault.Invalid { // cobra's own errors are about flags and arguments
		return client.WrongUse
	}
	return client.Failed
}

// canonical spells the name of a cmdlet as the catalogue does.
func canonical(args []string) []string {
	for i, a := range args {
		if c, err := cmdlet.Lookup(a); err == nil {
			args = append([]string(nil), args...)
			args[i] = c.Name
		}
		if !strings.HasPrefix(a, "-") && a != "help" {
			break
		}
	}
	return args
}

func (p program) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "trivet",
		Short:         "A unified communications server: instant messages, presence, contacts",
		Long:          "Trivet is a unified communications server and its management shell.\n\nStart a server with \"trivet run\"; manage it with the cmdlets, for example\n\"trivet Get-CsUser\". \"trivet help CMDLET\" explains one.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          unknown,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.AddGroup(&cobra.Group{ID: "server", Title: "Server"}, &cobra.Group{ID: "cmdlet", Title: "Cmdlets"})
	root.AddCommand(p.runCommand(), p.serverCommand(), p.labCommand(), p.configCommand(), p.diagnoseCommand(), p.versionCommand(), p.manCommand(), p.loadCommand(), p.simCommand(), p.poolKeysCommand(), p.backupCommand(), p.restoreCommand())
	for _, c := range cmdlet.All() {
		root.AddCommand(p.cmdletCommand(c))
	}
	return root
}

// unknown refuses a first word that is no command.
func unknown(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if strings.Contains(args[0], "-") {
		_, err := cmdlet.Lookup(args[0])
		return fault.Newf(fault.Invalid, "trivet", "%s", err.(*fault.Error).Text)
	}
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	if near := cmdlet.Nearest(args[0], names); near != "" {
		return fault.Newf(fault.Invalid, "trivet", "there is no command %q; did you mean %s?", args[0], near)
	}
	return fault.Newf(fault.Invalid, "trivet", "there is no command %q; trivet help lists them", args[0])
}

func (p program) cmdletCommand(c cmdlet.Cmdlet) *cobra.Command {
	cmd := &cobra.Command{
		Use: c.Name, Short: c.Synopsis, GroupID: "cmdlet", DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := takeTarget(args)
			if err != nil {
				return err
			}
			if n := p.session(target).Run(cmd.Context(), c.Name, rest); n != client.Done {
				return status(n)
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			return complete(c, args, typed)
		},
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprint(p.out, c.Help(), "\nServer\n    --data DIR     folder of a server on this computer (default $TRIVET_DATA or "+conf.DefaultData+")\n"+
			"    --server URL   another server, with --user NAME and the password from $TRIVET_PASSWORD or the terminal\n"+
			"    --ca FILE      authority that the other server's certificate is of\n")
	})
	return cmd
}

// session is a management session with this program's streams.
func (p program) session(t client.Target) *client.Session {
	s := &client.Session{Target: t, In: p.in, Out: p.out, Err: p.err, Clock: clock.Real{}}
	in, fromFile := p.in.(*os.File)
	out, toFile := p.out.(*os.File)
	s.Terminal = fromFile && toFile && term.IsTerminal(int(in.Fd())) && term.IsTerminal(int(out.Fd()))
	s.AskSecret = func(prompt string) (string, error) {
		fmt.Fprint(p.err, prompt)
		b, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(p.err)
		return string(b), err
	}
	return s
}

// complete proposes parameters and their values, "-Name value" and "-Name:value".
func complete(c cmdlet.Cmdlet, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	var list []string
	for _, p := range c.AllParams() {
		if len(args) > 0 && strings.EqualFold(strings.TrimLeft(args[len(args)-1], "-"), p.Name) && !p.Switch {
			if p.File || p.Output != "" {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return p.Choices(), cobra.ShellCompDirectiveNoFileComp
		}
		if name, _, inline := strings.Cut(typed, ":"); inline && strings.EqualFold(strings.TrimLeft(name, "-"), p.Name) {
			for _, v := range p.Choices() {
				list = append(list, name+":"+v)
			}
			return list, cobra.ShellCompDirectiveNoFileComp
		}
		if name := "-" + p.Name; strings.HasPrefix(strings.ToLower(name), strings.ToLower(typed)) {
			list = append(list, name+"\t"+p.Help)
		}
	}
	return list, cobra.ShellCompDirectiveNoFileComp
}
