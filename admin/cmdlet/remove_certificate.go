package cmdlet

import "context"

// RemoveCertificate drops a certificate that is not in use.
type RemoveCertificate struct {
	Thumbprint string `param:"required,pos=1" help:"The certificate, as Get-CsCertificate shows it"`
}

var removeCertificate = Cmdlet{
	Name: "Remove-CsCertificate", Synopsis: "Removes a server certificate that is not in use.",
	Example: `Remove-CsCertificate 5A…`,
	Changes: true, Asks: true, New: func() Runner { return &RemoveCertificate{} },
}

// Run implements Runner.
func (p *RemoveCertificate) Run(_ context.Context, c *Call) error {
	thumbprint := squeezeThumbprint(p.Thumbprint)
	if !c.ShouldProcess("Remove-CsCertificate", thumbprint) {
		return nil
	}
	return c.Deployment.Certificates().Remove(thumbprint)
}
