package cmdlet

import "context"

// RevokeClientCertificate ends certificates of a user's devices.
type RevokeClientCertificate struct {
	Identity string `param:"required,pos=1" help:"The user"`
	DeviceId string `help:"Only that device, as Get-CsClientCertificate shows it; without it all devices"`
}

type revokedRow struct {
	Identity string
	DeviceId string
	Revoked  int
}

var revokeClientCertificate = Cmdlet{
	Name: "Revoke-CsClientCertificate", Synopsis: "Ends the certificates that a user's devices sign in with; they need the password again.",
	Example: `Revoke-CsClientCertificate alice@example.test`,
	Changes: true, Roles: []string{"CsUserAdministrator", "CsHelpDesk"}, Table: []string{"Identity", "Revoked"},
	New: func() Runner { return &RevokeClientCertificate{} },
}

// Run implements Runner.
func (p *RevokeClientCertificate) Run(ctx context.Context, c *Call) error {
	u, err := c.subject(ctx, p.Identity)
	if err != nil || u.SipAddress == "" || !c.ShouldProcess("Revoke-CsClientCertificate", label(u)) {
		return err
	}
	n, err := c.Deployment.Certificates().Revoke(ctx, u.SipAddress, p.DeviceId)
	if err != nil {
		return err
	}
	c.Write(revokedRow{label(u), p.DeviceId, n})
	return nil
}
