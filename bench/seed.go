package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"trivet/kit/clock"
	"trivet/kit/log"
	"trivet/link/pki"
	"trivet/rule/directory"
	"trivet/service/auth"
	"trivet/store/users"
	"trivet/uc"
)

// seedBatch is how many users one transaction creates.
const seedBatch = 1000

// seed creates the data folder with n enabled users who have the bench password.
// It works on the stores themselves: the shell would hash each password for the
// web as well, which takes a tenth of a second each by design.
func seed(data string, n int) error {
	ctx := context.Background()
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	ca, err := pki.Open(pki.Config{Dir: data, Clock: clock.Real{}, Log: log.Discard(), Names: pki.Names{Server: "sip." + domain, Pool: "sip." + domain, Domains: []string{domain}}})
	if err != nil {
		return err
	}
	defer ca.Close()
	key, err := ca.Secret("seal", 32)
	if err != nil {
		return err
	}
	store, err := users.OpenSQLite(ctx, filepath.Join(data, "users.db"), users.Options{Groups: 8})
	if err != nil {
		return err
	}
	defer store.Close()
	signIn, err := auth.New(auth.Config{Directory: store, SealKey: key, TicketKey: key, Domains: []string{domain}})
	if err != nil {
		return err
	}
	for i := 0; i < n; i += seedBatch {
		var batch []users.New
		for k := i; k < min(i+seedBatch, n); k++ {
			batch = append(batch, newUser(signIn, k))
		}
		if _, err := store.Create(ctx, batch...); err != nil {
			return fmt.Errorf("users from %d: %w", i, err)
		}
	}
	return nil
}

func newUser(signIn *auth.Service, n int) users.New {
	u := directory.User{
		GUID: uuid.NewString(), SipAddress: uc.UserURI("sip:" + user(n) + "@" + domain), UserPrincipalName: user(n) + "@" + domain,
		SamAccountName: user(n), DisplayName: user(n), Enabled: true, EnabledForRichPresence: true, RegistrarPool: "sip." + domain,
	}
	return users.New{User: u, Secrets: signIn.SIPSecrets(&u, password)}
}
