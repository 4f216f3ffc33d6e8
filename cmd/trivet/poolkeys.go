package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"trivet/fault"
	"trivet/kit/clock"
	"trivet/link/pki"
	"trivet/uc"
)

func (p program) poolKeysCommand() *cobra.Command {
	var pool, out string
	var computers []string
	cmd := &cobra.Command{
		Use: "pool-keys", GroupID: "server", Args: cobra.NoArgs,
		Short: "Make the keys that the servers of a pool have in common",
		Long: "Makes a folder with the authority and the secrets of a pool, and in it the beginning of a data folder for each server.\n" +
			"Copy each to its server, as the data folder of \"trivet server\"; the server issues its own certificates at its first start.\n\n" +
			"Run again with more servers, it makes what is missing and changes nothing else. The folder holds the keys of the\n" +
			"authority: who has one of these folders can be any server of the pool. Keep it where backups are, and nowhere else.",
		Example: "trivet pool-keys --pool pool1.example.test --computer fe1.example.test,fe2.example.test,fe3.example.test --out keys",
	}
	cmd.Flags().StringVar(&pool, "pool", "", "FQDN of the pool")
	cmd.Flags().StringSliceVar(&computers, "computer", nil, "FQDNs of its servers, with commas between or the flag given again")
	cmd.Flags().StringVar(&out, "out", "", "the folder to make")
	cmd.RunE = func(*cobra.Command, []string) error {
		const op = "trivet pool-keys"
		for flag, v := range map[string]string{"pool": pool, "computer": strings.Join(computers, ""), "out": out} {
			if v == "" {
				return fault.Newf(fault.Invalid, op, "--%s is missing; see trivet help pool-keys", flag)
			}
		}
		for _, name := range append([]string{pool}, computers...) {
			if err := checkFQDN(name); err != nil {
				return err
			}
		}
		if err := pki.NewPool(filepath.Join(out, "authority"), uc.PoolFQDN(strings.ToLower(pool)), clock.Real{}); err != nil {
			return err
		}
		for _, name := range computers {
			dir := filepath.Join(out, strings.ToLower(name))
			if err := pki.Share(filepath.Join(out, "authority"), dir); err != nil {
				return err
			}
			fmt.Fprintf(p.out, "%s for %s\n", dir, name)
		}
		return nil
	}
	return cmd
}

// checkFQDN refuses what is no full name of a computer, and could be a path.
func checkFQDN(name string) error {
	for _, label := range strings.Split(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return fault.New(fault.Invalid, "trivet pool-keys", "a server or pool needs a full name like fe1.example.test").About(name)
		}
	}
	if !strings.Contains(name, ".") || len(name) > 253 {
		return fault.New(fault.Invalid, "trivet pool-keys", "a server or pool needs a full name like fe1.example.test").About(name)
	}
	return nil
}
