package cmdlet

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"trivet/fault"
	"trivet/wire/absfile"
)

// TestAddressBookService downloads the newest address book file.
type TestAddressBookService struct {
	WebTarget
}

var testAddressBookService = Cmdlet{
	Name: "Test-CsAddressBookService", Synopsis: "Downloads the newest address book file, as a client would.",
	Example: `Test-CsAddressBookService sip.example.test -UserSipAddress alice@example.test`,
	Local:   true, Table: resultTable, New: func() Runner { return &TestAddressBookService{} },
}

// Run implements Runner.
func (p *TestAddressBookService) Run(ctx context.Context, c *Call) error {
	return c.measureWeb(ctx, p.WebTarget, bookFilesPath, func(ctx context.Context, u *webUser) error {
		const op = "cmdlet.TestAddressBookService"
		ticket, err := u.ticket(ctx, bookFilesPath)
		if err != nil {
			return err
		}
		today := c.Clock.Now().Add(24 * time.Hour) // the server may be ahead by time zones
		for back := time.Duration(0); back <= maxAge; back += 24 * time.Hour {
			name := absfile.Name{Full: true, Day: absfile.DayOf(today.Add(-back))}
			res, err := u.send(ctx, bookFilesPath+"/"+name.String(), "", nil, shown(ticket))
			switch {
			case err != nil:
				return err
			case res.status == http.StatusOK:
				_, err := absfile.NewReader(bytes.NewReader(res.body))
				return fault.Wrap(op, err)
			case res.status == http.StatusForbidden:
				return fault.New(fault.Forbidden, op, "the client policy of the user does not allow the download of address book files")
			case res.status != http.StatusNotFound:
				return fault.Newf(fault.Unavailable, op, "the server answered %d to the download of %s", res.status, name)
			}
		}
		return fault.New(fault.NotFound, op, "the server has no full address book file; run Update-CsAddressBook")
	})
}
