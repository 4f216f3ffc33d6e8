package cmdlet

import "context"

// SetCertificate puts a certificate in place.
type SetCertificate struct {
	Type       []string `param:"required,pos=1" values:"Default|WebServicesInternal|WebServicesExternal|TlsDsk" help:"What to use it for"`
	Thumbprint string   `param:"required" help:"The certificate, as Get-CsCertificate shows it"`
}

var setCertificate = Cmdlet{
	Name: "Set-CsCertificate", Synopsis: "Puts a certificate in place, for new connections at once and without touching standing ones.",
	Example: `Set-CsCertificate -Type Default,WebServicesInternal -Thumbprint 5A…`,
	Changes: true, New: func() Runner { return &SetCertificate{} },
}

// Run implements Runner.
func (p *SetCertificate) Run(_ context.Context, c *Call) error {
	list, err := uses(p.Type)
	if err != nil {
		return err
	}
	thumbprint := squeezeThumbprint(p.Thumbprint)
	for _, u := range list {
		if !c.ShouldProcess("Set-CsCertificate "+string(u), thumbprint) {
			continue
		}
		if err := c.Deployment.Certificates().Use(u, thumbprint); err != nil {
			return err
		}
	}
	return nil
}
