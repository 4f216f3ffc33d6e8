package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"trivet/admin/client"
	"trivet/fault"
	"trivet/kit/backup"
	"trivet/kit/conf"
	"trivet/kit/log"
	"trivet/role/frontend"
)

func (p program) backupCommand() *cobra.Command {
	var data string
	var replace bool
	cmd := &cobra.Command{
		Use: "backup FILE", GroupID: "server", Args: oneArgument("backup", "the file to write"),
		Short: "Write everything that the server keeps into one file",
		Long: "Writes everything that is needed to be the same server again into one file (tar, gzip), while the server runs or not:\n" +
			"users, groups, contact lists, presence, policies, certificates, settings. It is of one moment: what was acknowledged before\n" +
			"the command was begun is in it. Users can go on working.\n\n" +
			"The file holds the keys of the authority and what passwords are checked with. Its mode is 0600; keep it like the server itself.\n" +
			"It gets its name when it was read back and found whole. Exit status: 0 the backup is good, 1 there is none.",
	}
	cmd.Flags().StringVar(&data, "data", dataFolder(), "folder of the server; also $TRIVET_DATA")
	cmd.Flags().BoolVar(&replace, "replace", false, "replace FILE if it exists, once the new backup is whole")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		m, err := backup.Save(ctx, args[0], replace, func(w io.Writer) error { return produce(ctx, data, w) })
		if err != nil {
			return p.failed(err)
		}
		p.tellBackup(args[0], m)
		return nil
	}
	return cmd
}

// produce asks the server, and does without one where none runs.
func produce(ctx context.Context, data string, w io.Writer) error {
	err := client.Backup(ctx, data, w)
	if !errors.Is(err, client.ErrNotReached) {
		return err
	}
	set, err := conf.Load(data, nil)
	if err != nil {
		return err
	}
	return frontend.BackupStopped(ctx, set, w)
}

func (p program) tellBackup(file string, m backup.Manifest) {
	var entries uint64
	for _, g := range m.Groups {
		entries += g.Index
	}
	fmt.Fprintf(p.out, "%s holds %s of %s as of %s:\n", file, m.FQDN, m.Domain, m.Made.Local().Format(time.RFC3339))
	fmt.Fprintf(p.out, "%d files, %.1f MiB; %d routing groups with %d changes; verified.\n", len(m.Files), float64(m.Bytes())/(1<<20), len(m.Groups), entries)
	if len(m.LeftOut) > 0 {
		fmt.Fprintf(p.out, "Not in it: %s.\n", client.Tame(strings.Join(m.LeftOut, ", ")))
	}
	fmt.Fprintln(p.out, "It holds keys and secrets: whoever has it can be this server. Its mode is 0600.")
}

func (p program) restoreCommand() *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use: "restore FILE", GroupID: "server", Args: oneArgument("restore", "the file that trivet backup wrote"),
		Short: "Make a data folder of a backup",
		Long: "Makes a data folder of a file that \"trivet backup\" wrote. The folder must not exist, or be empty. Everything is verified and\n" +
			"opened before the folder gets its name; a damaged file leaves nothing behind. Users sign in again, everything else is as it\n" +
			"was at the moment of the backup. Run by root, an empty folder keeps its owner.",
	}
	cmd.Flags().StringVar(&data, "data", "", "the new folder")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if data == "" {
			return fault.New(fault.Invalid, "trivet restore", "--data needs the folder that is to be made")
		}
		m, err := frontend.Restore(cmd.Context(), args[0], data, log.Discard())
		if err != nil {
			return p.failed(err)
		}
		return p.tellRestored(data, m)
	}
	return cmd
}

func (p program) tellRestored(data string, m backup.Manifest) error {
	fmt.Fprintf(p.out, "%s is %s of %s as of %s: %d files verified.\n", data, m.FQDN, m.Domain, m.Made.Local().Format(time.RFC3339), len(m.Files))
	if len(m.LeftOut) > 0 {
		fmt.Fprintf(p.out, "The backup was made without: %s.\n", client.Tame(strings.Join(m.LeftOut, ", ")))
	}
	next := "trivet run --data " + data
	if set, err := conf.Load(data, nil); err != nil {
		fmt.Fprintf(p.out, "Its settings need mending first: %s\n", client.Sentence(err))
	} else { // what the former server was told by flags
		if set.Domain != m.Domain {
			next += " --domain " + m.Domain
		}
		if set.FQDN != m.FQDN && !(set.Domain != m.Domain && m.FQDN == "sip."+m.Domain) {
			next += " --fqdn " + m.FQDN
		}
	}
	fmt.Fprintf(p.out, "Next: make sure that the former server does not run under this name, then\n    %s\n", next)
	if abs, err := filepath.Abs(data); err == nil && abs != data {
		fmt.Fprintf(p.out, "The folder is %s.\n", abs)
	}
	return nil
}

// failed says why, and is the exit status of what failed: a damaged file is no wrong
// use.
func (p program) failed(err error) error {
	fmt.Fprintln(p.err, client.Sentence(err))
	return status(client.Failed)
}

// oneArgument refuses a command line without its argument, and says what it is.
func oneArgument(command, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return fault.Newf(fault.Invalid, "trivet "+command, "trivet %s needs one argument, %s", command, what)
	}
}
