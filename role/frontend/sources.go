package frontend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"trivet/admin/cmdlet"
	"trivet/rule/directory"
	"trivet/service/auth"
	"trivet/service/dirsync"
	"trivet/store/syncstate"
	"trivet/store/users"
)

// openSources makes the synchronisation with LDAP directories. It does not run yet.
func (s *server) openSources(ctx context.Context) error {
	state, err := syncstate.Open(ctx, s.path("dirsync.db"))
	if err != nil {
		return err
	}
	s.life.Add("state of the synchronisation", 5*time.Second, func(context.Context) error { return state.Close() })
	s.sync, err = dirsync.New(ctx, dirsync.Config{
		Sources: s.set.Directory.Sources, Folder: s.set.Data, Domains: []string{s.set.Domain},
		Users: s.store, State: state, Home: s.give, Settled: s.followed, Turn: s.leadsDirectory,
		Life: s.life, Clock: s.clock, Log: s.log, Metrics: s.metrics,
	})
	return err
}

// startSources begins the schedule, once everything follows the directory.
func (s *server) startSources(context.Context) error {
	s.sync.Start()
	return nil
}

// external checks the passwords that are not kept here; nil when all are.
func (s *server) external() auth.External {
	if !s.sync.SignsIn() {
		return nil
	}
	return s.sync
}

// give homes a user of a directory on this pool, as New-CsUser does.
func (s *server) give(u *directory.User) {
	u.RegistrarPool, u.HomeServer = pool{s}.FQDN(), pool{s}.HomeServer()
	u.Enabled, u.EnabledForRichPresence, u.EnabledForInternet, u.EnabledForFederation = true, true, true, true
}

// degraded says what is not well, by part, and does not keep the server from
// serving.
func (s *server) degraded(context.Context) map[string]string {
	problems := s.sync.Problems()
	if s.fabric == nil {
		return problems
	}
	if problems == nil {
		problems = map[string]string{}
	}
	for _, x := range s.routing {
		if s.fabric.leader(x.id) == "" {
			problems[fmt.Sprintf("routing group %d", x.id)] = "The routing group has no primary: its users are not served."
		}
	}
	if s.copies != nil {
		if since, away := s.copies.Unavailable(); away {
			problems["Back End"] = "The Back End has not been reached since " + since.UTC().Format(time.RFC3339) + "."
		}
	}
	return problems
}

func (d deployment) DirectorySync() cmdlet.DirectorySync { return d.sync }

// update is an administrator's change of a user. The synchronisation is told when
// it says whether the user may sign in.
func (s *server) update(ctx context.Context, guid string, change func(*directory.User) error) (made directory.User, err error) {
	err = s.sync.Decide(ctx, func() (about []directory.User, err error) {
		decided := false
		made, err = s.store.Update(ctx, guid, func(u *directory.User) (err error) {
			decided, err = says(u, change)
			return err
		})
		if decided {
			about = append(about, made)
		}
		return about, err
	})
	return made, err
}

// batch is update for many users.
func (s *server) batch(ctx context.Context, mode users.BatchMode, list []users.Write) (out []users.Outcome, err error) {
	decided := make([]bool, len(list))
	for i := range list {
		if change := list[i].Change; change != nil {
			list[i].Change = func(u *directory.User) (err error) {
				decided[i], err = says(u, change)
				return err
			}
		}
	}
	err = s.sync.Decide(ctx, func() (about []directory.User, err error) {
		out, err = s.store.Batch(ctx, mode, list)
		refused := slices.ContainsFunc(out, func(o users.Outcome) bool { return o.Refused != nil })
		for i := 0; i < len(out) && mode != users.Trial && !(refused && mode == users.AllOrNothing); i++ {
			if decided[i] && out[i].Refused == nil {
				about = append(about, out[i].User)
			}
		}
		return about, err
	})
	return out, err
}

// says makes a change and reports whether it says itself that the user may, or may
// not, sign in: then it comes to the same from whatever was before.
func says(u *directory.User, change func(*directory.User) error) (bool, error) {
	other := *u
	other.Enabled, other.AdminRoles, other.ProxyAddresses = !u.Enabled, slices.Clone(u.AdminRoles), slices.Clone(u.ProxyAddresses)
	if err := change(u); err != nil {
		return false, err
	}
	return change(&other) == nil && other.Enabled == u.Enabled, nil
}

// remove is an administrator's removal of a user.
func (s *server) remove(ctx context.Context, guid string) error {
	u, err := s.store.ByGUID(ctx, guid)
	if err == nil {
		err = s.sync.Deleted(ctx, u)
	}
	if err != nil {
		return err
	}
	return s.store.Delete(ctx, guid)
}

// synchronised adds what is wrong with the synchronisation to the service that
// keeps the directory.
func (s *server) synchronised(x cmdlet.Service) cmdlet.Service {
	problems := s.sync.Problems()
	for _, source := range slices.Sorted(maps.Keys(problems)) {
		if x.Problem == "" {
			x.Problem = source + ": " + problems[source]
		}
	}
	return x
}

// webNTLM reports whether the web services offer NTLM: where the policy has it, and
// no directory checks passwords. Clients take NTLM before Basic, and with it nobody
// can sign in whose password is the directory's.
func (s *server) webNTLM() bool { return s.policies.webNTLM() && !s.sync.SignsIn() }
