package cmdlet

import "context"

// UpdateAddressBook makes the address book files at once.
type UpdateAddressBook struct{}

var updateAddressBook = Cmdlet{
	Name: "Update-CsAddressBook", Synopsis: "Makes the address book files at once, which otherwise happens each night.",
	Example: `Update-CsAddressBook`,
	Changes: true, Table: []string{"File", "Contacts", "Bytes", "Deltas"}, New: func() Runner { return &UpdateAddressBook{} },
}

// Run implements Runner.
func (p *UpdateAddressBook) Run(ctx context.Context, c *Call) error {
	if !c.ShouldProcess("Update-CsAddressBook", "address book files") {
		return nil
	}
	made, err := c.Deployment.AddressBook().Update(ctx)
	if err != nil {
		return err
	}
	for _, w := range made.Warnings {
		c.Warn("%s", w)
	}
	c.Write(made)
	return nil
}
