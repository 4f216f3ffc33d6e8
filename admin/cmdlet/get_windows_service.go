package cmdlet

import (
	"context"

	"trivet/rule/directory"
	"trivet/uc"
)

// GetWindowsService lists the parts of the computers of a pool by the product's
// service names.
type GetWindowsService struct {
	Name         string `param:"pos=1" help:"Only that service, like RTCSRV; * and ? stand for any text"`
	ComputerName string `help:"Services of that computer of the pool; * and ? stand for any text. Without it those of the computer that is asked"`
}

type windowsServiceRow struct {
	Status        string
	Name          string
	ActivityLevel string
	ComputerName  uc.ServerFQDN
}

var getWindowsService = Cmdlet{
	Name: "Get-CsWindowsService", Synopsis: "Shows the parts of a server by the names of the product's services, and how busy they are.",
	Example: `Get-CsWindowsService RTCSRV`,
	Roles:   viewers, Table: []string{"Status", "Name", "ActivityLevel", "ComputerName"}, New: func() Runner { return &GetWindowsService{} },
}

// Run implements Runner.
func (p *GetWindowsService) Run(ctx context.Context, c *Call) error {
	list, err := p.services(ctx, c.Deployment)
	seen := map[string]bool{}
	for _, s := range list {
		key := s.Name + " " + string(s.Computer)
		if !seen[key] && fits(p.Name, s.Name) && fits(p.ComputerName, string(s.Computer)) {
			c.Write(windowsServiceRow{status(s), s.Name, s.Activity, s.Computer})
		}
		seen[key] = true
	}
	return err
}

// services are those of all computers if others are asked for.
func (p *GetWindowsService) services(ctx context.Context, d Deployment) ([]Service, error) {
	if f := d.Fabric(); f != nil && p.ComputerName != "" {
		return f.Services(ctx)
	}
	return d.Pool().Services(ctx)
}

// fits reports whether value fits a pattern; the empty one fits all.
func fits(pattern, value string) bool { return pattern == "" || directory.Match(pattern, value) }
