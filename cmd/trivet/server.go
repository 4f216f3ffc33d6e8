package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"trivet/fault"
	"trivet/kit/conf"
	"trivet/kit/log"
	"trivet/role/frontend"
	"trivet/rule/topology"
	"trivet/uc"
)

// frontEnd serves as a Front End of a pool.
func frontEnd(ctx context.Context, s conf.Settings, at frontend.Place, log *slog.Logger, out io.Writer) error {
	return frontend.RunMember(ctx, s, at, log, out)
}

func (p program) serverCommand() *cobra.Command {
	var file, computer, data string
	var jsonLog bool
	cmd := &cobra.Command{
		Use: "server", GroupID: "server", Args: cobra.NoArgs,
		Short: "Run a server of a pool in this process",
		Long: "Runs the server that the topology has under this name until SIGTERM or Ctrl-C. The data folder has to hold the keys of\n" +
			"the pool, which \"trivet pool-keys\" makes. What the topology does not say comes from " + conf.FileName + " in it.\n\n" +
			"A line that begins \"starting\" says what the server waits for, one that begins \"ready\" that it serves.",
		Example: "trivet server --topology topology.yaml --computer fe1.example.test --data /var/lib/trivet",
	}
	cmd.Flags().StringVar(&file, "topology", "", "file with the topology")
	cmd.Flags().StringVar(&computer, "computer", "", "FQDN of this server in it")
	cmd.Flags().StringVar(&data, "data", dataFolder(), "folder for everything the server keeps; also $TRIVET_DATA")
	cmd.Flags().BoolVar(&jsonLog, "json-log", false, "log JSON objects instead of lines for people")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		const op = "trivet server"
		for flag, v := range map[string]string{"topology": file, "computer": computer} {
			if v == "" {
				return fault.Newf(fault.Invalid, op, "--%s is missing; see trivet help server", flag)
			}
		}
		at, err := readPlace(file, computer)
		if err != nil {
			return err
		}
		at.Version = version()
		over := at.settings()
		if jsonLog {
			over["log.json"] = "true"
		}
		s, err := conf.Load(data, over)
		if err != nil {
			return err
		}
		level, err := log.ParseLevel(s.Log.Level)
		if err != nil {
			return err
		}
		return frontEnd(cmd.Context(), s, frontend.Place(at), log.New(p.err, log.Options{JSON: s.Log.JSON, Level: level}), p.out)
	}
	return cmd
}

// place is a server of a topology.
type place frontend.Place

func readPlace(file, computer string) (at place, err error) {
	const op = "trivet server"
	b, err := os.ReadFile(file)
	if err != nil {
		return at, fault.New(fault.Invalid, op, "the topology cannot be read; name its file with --topology").About(file).Because(err)
	}
	doc, err := topology.Parse(b)
	if err != nil {
		return at, fault.Wrap(op, err)
	}
	at.Document, at.Topology = b, doc
	at.Pool, at.Computer, err = doc.Computer(uc.ServerFQDN(computer))
	return at, err
}

// settings are those that the topology decides.
func (at place) settings() map[string]string {
	return map[string]string{
		"domain": at.Topology.SIPDomains[0], "listen": at.Computer.Address, "fqdn": string(at.Computer.FQDN), "site": at.Pool.Site,
		"sip.tls": strconv.Itoa(int(at.Pool.Ports.SIP)), "https": strconv.Itoa(int(at.Pool.Ports.HTTPS)),
	}
}
