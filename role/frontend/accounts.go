package frontend

import (
	"context"

	"github.com/google/uuid"

	"trivet/admin/cmdlet"
	"trivet/rule/directory"
	"trivet/store/users"
)

// directoryUsers are the users with their credentials.
type directoryUsers struct{ *server }

func (d directoryUsers) Find(ctx context.Context, identity string) (directory.User, error) {
	return d.store.Find(ctx, identity)
}

func (d directoryUsers) List(ctx context.Context, pattern string, filter directory.Filter, limit int) ([]directory.User, error) {
	return d.store.List(ctx, users.Query{Pattern: pattern, Filter: filter, Limit: limit})
}

func (d directoryUsers) Create(ctx context.Context, u directory.User, password string) (directory.User, error) {
	if u.GUID == "" {
		u.GUID = uuid.NewString()
	}
	secrets, err := d.auth.MakeSecrets(ctx, &u, password)
	if err != nil {
		return u, err
	}
	made, err := d.store.Create(ctx, users.New{User: u, Secrets: secrets})
	if err != nil {
		return u, err
	}
	return made[0], d.followed(ctx)
}

func (d directoryUsers) Update(ctx context.Context, guid string, change func(*directory.User) error) (directory.User, error) {
	u, err := d.update(ctx, guid, change)
	if err != nil {
		return u, err
	}
	return u, d.followed(ctx)
}

func (d directoryUsers) SetPassword(ctx context.Context, guid, password string) error {
	u, err := d.store.ByGUID(ctx, guid)
	if err != nil {
		return err
	}
	secrets, err := d.auth.MakeSecrets(ctx, &u, password)
	if err != nil {
		return err
	}
	if err := d.store.SetSecrets(ctx, guid, secrets); err != nil {
		return err
	}
	return d.followed(ctx)
}

func (d directoryUsers) Delete(ctx context.Context, guid string) error {
	if err := d.remove(ctx, guid); err != nil {
		return err
	}
	return d.followed(ctx)
}

// importModes are the modes of an import as the store calls them.
var importModes = map[cmdlet.ImportMode]users.BatchMode{
	cmdlet.AllOrNothing: users.AllOrNothing, cmdlet.SkipRefused: users.SkipRefused, cmdlet.Trial: users.Trial,
}

// Import makes many changes at once. Passwords get no slow hash, which would take
// a tenth of a second and more for each.
func (d directoryUsers) Import(ctx context.Context, mode cmdlet.ImportMode, list []cmdlet.Import) ([]cmdlet.Imported, error) {
	writes := make([]users.Write, len(list))
	for i, x := range list {
		w := users.Write{GUID: x.GUID, Change: x.Change}
		switch {
		case x.GUID == "":
			x.User.GUID = uuid.NewString()
			w.New = &users.New{User: x.User, Secrets: d.auth.SIPSecrets(&x.User, x.Password)}
		case x.Password != "":
			u, err := d.store.ByGUID(ctx, x.GUID)
			if err != nil {
				return nil, err
			}
			if err := x.Change(&u); err != nil {
				return nil, err
			}
			secrets := d.auth.SIPSecrets(&u, x.Password)
			w.Secrets = &secrets
		}
		writes[i] = w
	}
	outcomes, err := d.batch(ctx, importModes[mode], writes)
	if err != nil {
		return nil, err
	}
	made := make([]cmdlet.Imported, len(outcomes))
	for i, o := range outcomes {
		made[i] = cmdlet.Imported{User: o.User, Refused: o.Refused}
	}
	return made, d.followed(ctx)
}
