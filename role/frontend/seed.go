package frontend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/google/uuid"

	"trivet/fault"
	"trivet/kit/conf"
	"trivet/link/httpd"
	"trivet/rule/directory"
	"trivet/store/users"
	"trivet/uc"
)

// Newcomer is somebody to be created by Seed.
type Newcomer struct {
	SipAddress uc.UserURI
	Password   string
}

// seedBatch is how many users one transaction creates.
const seedBatch = 1000

// Seed creates many users for a load test in a data folder in which no server
// runs; addresses that exist already keep their users and passwords, and are not
// counted. It leaves out the web's password hash, which takes a tenth of a second
// each by design: these users sign in by NTLM and Digest only.
func Seed(ctx context.Context, set conf.Settings, log *slog.Logger, list []Newcomer) (made int, err error) {
	const op = "frontend.Seed"
	g := newGround(ctx, set, log)
	if path, err := httpd.SocketPath(g.path("admin.sock")); err == nil {
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return 0, fault.Newf(fault.Exists, op, "a server runs in %s; stop it before users are made there", set.Data)
		}
	}
	s := newServer(ctx, g)
	defer func() { err = errors.Join(err, s.stop(ctx), g.close(ctx)) }()
	for _, steps := range [][]step{g.steps(), s.steps()} {
		for _, st := range steps {
			if st.name == "routing groups" || st.name == "agreement with the directory" { // what is needed to create users is open
				break
			}
			if err := st.do(ctx); err != nil {
				return 0, fault.Wrap(op+" "+st.name, err)
			}
		}
	}
	return s.seed(ctx, list)
}

func (s *server) seed(ctx context.Context, list []Newcomer) (made int, err error) {
	var batch []users.New
	for i, n := range list {
		if s.people.ByAddress(n.SipAddress) == nil {
			batch = append(batch, s.newcomer(i, n))
		}
		if len(batch) == seedBatch || i == len(list)-1 && len(batch) > 0 {
			if _, err := s.store.Create(ctx, batch...); err != nil {
				return made, err
			}
			made += len(batch)
			batch = nil
		}
	}
	return made, nil
}

func (s *server) newcomer(n int, x Newcomer) users.New {
	name := x.SipAddress.User()
	u := directory.User{
		GUID: uuid.NewString(), SipAddress: x.SipAddress, UserPrincipalName: x.SipAddress.Bare(), SamAccountName: name,
		DisplayName: strings.ToUpper(name[:1]) + name[1:] + " Load", FirstName: name, LastName: "Load", WindowsEmailAddress: x.SipAddress.Bare(),
		Title: "Simulated User", Company: "Example", Department: fmt.Sprintf("Department %d", n/100), Phone: fmt.Sprintf("+1 555 %07d", n),
		Enabled: true, EnabledForRichPresence: true, RegistrarPool: uc.PoolFQDN(s.fqdn),
	}
	return users.New{User: u, Secrets: s.auth.SIPSecrets(&u, x.Password)}
}
