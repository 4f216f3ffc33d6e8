package cmdlet

import (
	"context"
	"strings"

	"trivet/fault"
	"trivet/rule/directory"
	"trivet/rule/groupstate"
	"trivet/rule/userdata"
	"trivet/uc"
)

// UserData is what users keep in their routing groups: contacts, access, prompts,
// lasting publications and conferences.
type UserData interface {
	// Record is the data of a user of this pool, nil for one who has none yet.
	Record(ctx context.Context, user uc.UserURI) (*groupstate.Record, error)
	// ImportRecord replaces a user's data. Whether the user may sign in stays as the
	// directory has it. One who is not of this pool is fault.NotFound.
	ImportRecord(ctx context.Context, r *groupstate.Record) error
}

// userDataTable is what a table of exported or imported data shows.
var userDataTable = []string{"Identity", "Contacts", "Conferences"}

// chosen are the users that -UserFilter names, by address; all when it is empty.
func (c *Call) chosen(ctx context.Context, filter []string) (map[uc.UserURI]directory.User, error) {
	known := map[uc.UserURI]directory.User{}
	if len(filter) == 0 {
		all, err := c.Deployment.Users().List(ctx, "", directory.Filter{}, 0)
		for _, u := range all {
			if u.SipAddress != "" {
				known[u.SipAddress] = u
			}
		}
		return known, err
	}
	for _, name := range filter {
		u, err := c.Deployment.Users().Find(ctx, name)
		if fault.Is(err, fault.NotFound) || err == nil && u.SipAddress == "" {
			return nil, wrong("UserFilter", "needs users with a SIP address, not %q", clip(name))
		}
		if err != nil {
			return nil, err
		}
		known[u.SipAddress] = u
	}
	return known, nil
}

// ownPool checks a -PoolFqdn.
func (c *Call) ownPool(text string) error {
	if own := c.Deployment.Pool().FQDN(); !strings.EqualFold(text, string(own)) {
		return wrong("PoolFqdn", "needs a pool of this deployment (%s), not %q", own, clip(text))
	}
	return nil
}

// userDataRow is what became of a user's data.
type userDataRow struct {
	Identity    uc.UserURI
	Contacts    int
	Conferences int
}

func userDataRowOf(r *groupstate.Record) userDataRow {
	return userDataRow{r.User, userdata.Contacts(r), len(r.Conferences)}
}
