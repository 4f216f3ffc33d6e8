package main

import (
	"github.com/spf13/cobra"

	"trivet/kit/conf"
	"trivet/kit/log"
)

func (p program) runCommand() *cobra.Command {
	var demo bool
	cmd := &cobra.Command{
		Use: "run", GroupID: "server", Args: cobra.NoArgs,
		Short: "Run a Standard Edition server in this process",
		Long: "Runs a Standard Edition server in this process until SIGTERM or Ctrl-C. Settings come from\n" +
			conf.FileName + " in the data folder, if there is one, and from these flags; \"trivet config\" prints them.",
	}
	settings := settingFlags(cmd)
	cmd.Flags().BoolVar(&demo, "demo", false, "create users alice, bob, carol and dave, and print how to sign in")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := settings()
		if err != nil {
			return err
		}
		s.Demo = demo
		level, err := log.ParseLevel(s.Log.Level)
		if err != nil {
			return err
		}
		return p.run(cmd.Context(), s, log.New(p.err, log.Options{JSON: s.Log.JSON, Level: level}), p.out)
	}
	return cmd
}

func (p program) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", GroupID: "server", Args: cobra.NoArgs,
		Short: "Print the effective settings",
		Long: "Checks the settings and prints those that \"trivet run\" would use with the same flags, as a " + conf.FileName + ".\n" +
			"With --example it prints every setting with its default, as comments: a file to start from.",
	}
	settings := settingFlags(cmd)
	example := cmd.Flags().Bool("example", false, "print a file to start from, all of it comments")
	cmd.RunE = func(*cobra.Command, []string) error {
		if *example {
			_, err := p.out.Write(conf.Example())
			return err
		}
		s, err := settings()
		if err != nil {
			return err
		}
		_, err = p.out.Write(conf.Print(s))
		return err
	}
	return cmd
}

// settingFlags gives cmd a flag for every setting that has one, and returns what
// loads the settings.
func settingFlags(cmd *cobra.Command) func() (conf.Settings, error) {
	data := cmd.Flags().String("data", dataFolder(), "folder for everything the server keeps; also $TRIVET_DATA")
	given := map[string]*string{}
	var blank conf.Settings
	for _, f := range conf.Fields(&blank) {
		if f.Flag == "" {
			continue
		}
		// The default is not the flag's: without the flag the file decides.
		help := f.Help
		if f.Default != "" {
			help += " (default " + f.Default + ")"
		}
		given[f.Flag] = cmd.Flags().String(f.Flag, "", help)
		if f.IsBool() {
			cmd.Flags().Lookup(f.Flag).NoOptDefVal = "true"
		}
	}
	return func() (conf.Settings, error) {
		overrides := map[string]string{}
		for name, v := range given {
			if cmd.Flags().Changed(name) {
				overrides[name] = *v
			}
		}
		return conf.Load(*data, overrides)
	}
}
