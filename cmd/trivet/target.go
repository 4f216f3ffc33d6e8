package main

import (
	"os"
	"strings"

	"trivet/admin/client"
	"trivet/fault"
	"trivet/kit/conf"
)

// dataFolder is the folder when no flag names one.
func dataFolder() string {
	if d := os.Getenv("TRIVET_DATA"); d != "" {
		return d
	}
	return conf.DefaultData
}

// takeTarget takes --data, --server, --user and --ca out of a cmdlet's
// arguments. They have two hyphens, so that they are never a cmdlet's own.
func takeTarget(args []string) (client.Target, []string, error) {
	t := client.Target{Data: dataFolder(), Password: os.Getenv("TRIVET_PASSWORD")}
	flags := map[string]*string{"--data": &t.Data, "--server": &t.Server, "--user": &t.User, "--ca": &t.CA}
	var rest []string
	for i := 0; i < len(args); i++ {
		name, value, inline := strings.Cut(args[i], "=")
		into := flags[strings.ToLower(name)]
		switch {
		case into == nil:
			rest = append(rest, args[i])
			continue
		case !inline && i+1 == len(args):
			return t, nil, fault.Newf(fault.Invalid, "trivet", "%s needs a value", name).About(name)
		case !inline:
			i++
			value = args[i]
		}
		*into = value
	}
	if user, password, ok := strings.Cut(t.User, ":"); ok && !strings.EqualFold(user, "sip") {
		t.User, t.Password = user, password
	}
	return t, rest, nil
}
