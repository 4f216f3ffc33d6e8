package cmdlet

import (
	"context"
	"time"

	"trivet/uc"
)

// GetClientCertificate lists the certificates of a user's devices.
type GetClientCertificate struct {
	Identity string `param:"required,pos=1" help:"The user"`
}

type clientCertificateRow struct {
	Identity     uc.UserURI
	DeviceId     string
	SerialNumber string
	Issued       time.Time
	ExpiryTime   time.Time
}

var getClientCertificate = Cmdlet{
	Name: "Get-CsClientCertificate", Synopsis: "Lists the valid certificates that a user's devices sign in with.",
	Example: `Get-CsClientCertificate alice@example.test`,
	Roles:   viewers, Table: []string{"Identity", "DeviceId", "Issued", "ExpiryTime"}, New: func() Runner { return &GetClientCertificate{} },
}

// Run implements Runner.
func (p *GetClientCertificate) Run(ctx context.Context, c *Call) error {
	u, err := c.Deployment.Users().Find(ctx, p.Identity)
	if err != nil || u.SipAddress == "" {
		return err
	}
	list, err := c.Deployment.Certificates().Clients(ctx, u.SipAddress)
	for _, k := range list {
		c.Write(clientCertificateRow{k.User, k.Device, k.Serial, k.Issued.UTC(), k.Expires.UTC()})
	}
	return err
}
