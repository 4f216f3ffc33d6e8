package cmdlet

import (
	"context"
	"slices"
)

// GetCertificate lists the server's certificates.
type GetCertificate struct {
	Type []string `values:"Default|WebServicesInternal|WebServicesExternal|TlsDsk" help:"Only certificates of these uses"`
}

var getCertificate = Cmdlet{
	Name: "Get-CsCertificate", Synopsis: "Shows the certificates of this server and what they are used for.",
	Example: `Get-CsCertificate -Type Default -As list`,
	Roles:   []string{"CsViewOnlyAdministrator", "CsHelpDesk"}, Table: certificateTable, New: func() Runner { return &GetCertificate{} },
}

// Run implements Runner.
func (p *GetCertificate) Run(_ context.Context, c *Call) error {
	wanted, err := uses(p.Type)
	if err != nil {
		return err
	}
	for _, i := range c.Deployment.Certificates().List() {
		fits := len(wanted) == 0
		for _, u := range i.Uses {
			fits = fits || slices.Contains(wanted, u)
		}
		if fits {
			c.Write(rowOfCertificate(i))
		}
	}
	return nil
}
