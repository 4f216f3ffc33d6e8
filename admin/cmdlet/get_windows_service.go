package cmdlet

import (
	"context"

	"trivet/rule/directory"
	"trivet/uc"
)

// GetWindowsService lists the parts of this computer by the product's service
// names.
type GetWindowsService struct {
	Name         string `param:"pos=1" help:"Only that service, like RTCSRV; * and ? stand for any text"`
	ComputerName string `help:"Only services of that computer; * and ? stand for any text"`
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
	Roles:   viewers, Table: []string{"Status", "Name", "ActivityLevel"}, New: func() Runner { return &GetWindowsService{} },
}

// Run implements Runner.
func (p *GetWindowsService) Run(ctx context.Context, c *Call) error {
	list, err := c.Deployment.Pool().Services(ctx)
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

// fits reports whether value fits a pattern; the empty one fits all.
func fits(pattern, value string) bool { return pattern == "" || directory.Match(pattern, value) }
