package cmdlet

import "context"

// ImportCertificate takes a certificate from an authority elsewhere.
type ImportCertificate struct {
	Path    string `param:"required,pos=1,file" help:"PEM file with the certificate, those of its issuers, and the key unless -KeyPath has it or this server made the request"`
	KeyPath string `param:"file" help:"PEM file with the private key"`
}

var importCertificate = Cmdlet{
	Name: "Import-CsCertificate", Synopsis: "Brings a server certificate from a file. It is used once Set-CsCertificate puts it in place.",
	Example: `Import-CsCertificate server.pem -KeyPath server.key`,
	Changes: true, Table: certificateTable, New: func() Runner { return &ImportCertificate{} },
}

// Run implements Runner.
func (p *ImportCertificate) Run(_ context.Context, c *Call) error {
	if !c.ShouldProcess("Import-CsCertificate", "this server") {
		return nil
	}
	i, err := c.Deployment.Certificates().Import([]byte(p.Path), []byte(p.KeyPath))
	if err == nil {
		c.Write(rowOfCertificate(i))
	}
	return err
}
