package cmdlet

import (
	"context"

	"trivet/uc"
)

// StartWindowsService starts the services of a server that were stopped.
type StartWindowsService struct {
	ComputerName string `param:"pos=1" help:"The server; without it the one that is asked"`
}

var startWindowsService = Cmdlet{
	Name: "Start-CsWindowsService", Synopsis: "Starts the services of a server of a pool that Stop-CsWindowsService has stopped.",
	Example: `Start-CsWindowsService fe1.example.test`,
	Changes: true, Roles: []string{"CsServerAdministrator"}, New: func() Runner { return &StartWindowsService{} },
}

// Run implements Runner.
func (p *StartWindowsService) Run(ctx context.Context, c *Call) error {
	f, err := c.fabric("cmdlet.StartWindowsService", "")
	if err != nil {
		return err
	}
	name := uc.ServerFQDN(p.ComputerName)
	if name == "" {
		name = c.Deployment.Computer()
	}
	if !c.ShouldProcess("Start the services", string(name)) {
		return nil
	}
	return f.StartServices(ctx, name)
}
