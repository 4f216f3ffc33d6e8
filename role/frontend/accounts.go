package frontend

import (
	"context"

	"github.com/google/uuid"

	"trivet/admin/cmdlet"
	"trivet/store/users"
)

func (d deployment) Groups() cmdlet.Groups { return d.store }
func (d deployment) Photos() cmdlet.Photos { return d.store }

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
	outcomes, err := d.store.Batch(ctx, importModes[mode], writes)
	if err != nil {
		return nil, err
	}
	made := make([]cmdlet.Imported, len(outcomes))
	for i, o := range outcomes {
		made[i] = cmdlet.Imported{User: o.User, Refused: o.Refused}
	}
	return made, d.followed(ctx)
}
