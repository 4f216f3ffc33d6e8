package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"trivet/admin/cmdlet"
	"trivet/admin/manual"
	"trivet/fault"
)

// manCommand writes the manual pages; packages are made with it.
func (p program) manCommand() *cobra.Command {
	date := ""
	cmd := &cobra.Command{
		Use: "man DIR", Hidden: true, Args: cobra.ExactArgs(1),
		Short: "Write the manual pages into a folder",
		Long:  "Writes a manual page for the program, each command, each cmdlet and the settings file into a folder.",
	}
	cmd.Flags().StringVar(&date, "date", builtOn(), "date in the pages, YYYY-MM-DD")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		day, err := time.Parse(time.DateOnly, date)
		if err != nil {
			return fault.Newf(fault.Invalid, "trivet man", "--date needs a day like 2026-01-31, not %q", date)
		}
		if err := os.MkdirAll(args[0], 0o755); err != nil {
			return fault.Newf(fault.Unavailable, "trivet man", "the folder %s cannot be made", args[0]).Because(err)
		}
		for _, page := range pages(cmd.Root(), day) {
			if err := os.WriteFile(filepath.Join(args[0], page.File()), page.Text, 0o644); err != nil {
				return fault.Newf(fault.Unavailable, "trivet man", "the page %s cannot be written", page.File()).Because(err)
			}
		}
		return nil
	}
	return cmd
}

// builtOn is the day of the commit that the program was built from: the same
// program writes the same pages.
func builtOn() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" && len(s.Value) >= len(time.DateOnly) {
				return s.Value[:len(time.DateOnly)]
			}
		}
	}
	return "2026-01-01"
}

// pages are all manual pages.
func pages(root *cobra.Command, day time.Time) []manual.Page {
	var list []manual.Page
	var commands []manual.Command
	for _, c := range described(root, nil) {
		commands = append(commands, c)
		list = append(list, manual.Subcommand(c, day))
	}
	for _, c := range cmdlet.All() {
		list = append(list, manual.Cmdlet(c, day))
	}
	return append(list, manual.Program(commands, cmdlet.All(), day), manual.Settings(day))
}

// described are the commands below c that are neither hidden nor cmdlets, by name.
func described(c *cobra.Command, under []string) []manual.Command {
	var list []manual.Command
	for _, sub := range c.Commands() {
		if !sub.IsAvailableCommand() || sub.GroupID == "cmdlet" {
			continue
		}
		words := append(slices.Clone(under), sub.Name())
		_, args, _ := strings.Cut(sub.Use, " ")
		m := manual.Command{Name: strings.Join(words, " "), Args: args, Short: sub.Short, Long: sub.Long}
		sub.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !f.Hidden {
				m.Flags = append(m.Flags, manual.Flag{Name: f.Name, Takes: takes(f), Help: f.Usage})
			}
		})
		if sub.Runnable() {
			list = append(list, m)
		}
		list = append(list, described(sub, words)...)
	}
	return list
}

// takes names the value of a flag, "" for a switch.
func takes(f *pflag.Flag) string {
	if f.NoOptDefVal != "" {
		return ""
	}
	name, _ := pflag.UnquoteUsage(f)
	return name
}
