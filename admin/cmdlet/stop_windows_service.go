package cmdlet

import (
	"context"
	"time"

	"trivet/uc"
)

// StopWindowsService stops the services of a server of a pool.
type StopWindowsService struct {
	ComputerName string `param:"pos=1" help:"The server; without it the one that is asked"`
	Graceful     bool   `help:"Let other servers lead its groups first, which sends Lync clients there, and wait for conferences to end"`
	DrainTime    int    `default:"60" help:"With -Graceful: seconds to wait at most"`
}

var stopWindowsService = Cmdlet{
	Name: "Stop-CsWindowsService", Synopsis: "Stops the services of a server of a pool; its copies of the groups go on voting.",
	Example: `Stop-CsWindowsService fe1.example.test -Graceful`,
	Changes: true, Asks: true, Roles: []string{"CsServerAdministrator"}, New: func() Runner { return &StopWindowsService{} },
}

// Run implements Runner.
func (p *StopWindowsService) Run(ctx context.Context, c *Call) error {
	f, err := c.fabric("cmdlet.StopWindowsService", "")
	if err != nil {
		return err
	}
	name := uc.ServerFQDN(p.ComputerName)
	if name == "" {
		name = c.Deployment.Computer()
	}
	if p.DrainTime < 0 || p.DrainTime > 3600 {
		return wrong("DrainTime", "needs a number of seconds from 0 to 3600, not %d", p.DrainTime)
	}
	if !c.ShouldProcess("Stop the services", string(name)) {
		return nil
	}
	drain := time.Duration(0)
	if p.Graceful {
		drain = time.Duration(p.DrainTime) * time.Second
	}
	return f.StopServices(ctx, name, p.Graceful, drain)
}
