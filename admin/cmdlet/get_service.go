package cmdlet

import (
	"context"

	"trivet/uc"
)

// GetService lists the services of the pool.
type GetService struct {
	PoolFqdn string `help:"Pool; without it the pool of this server"`
	Role     string `help:"Only services of that role, like Registrar; * and ? stand for any text"`
}

type serviceRow struct {
	Identity string
	Role     string
	PoolFqdn uc.PoolFQDN
	Computer uc.ServerFQDN
	Status   string
	Problem  string
}

var getService = Cmdlet{
	Name: "Get-CsService", Synopsis: "Shows the services of the pool and how they do.",
	Example: `Get-CsService -Role Registrar`,
	Roles:   viewers, Table: []string{"Identity", "Computer", "Status", "Problem"}, New: func() Runner { return &GetService{} },
}

// Run implements Runner.
func (p *GetService) Run(ctx context.Context, c *Call) error {
	if p.PoolFqdn != "" {
		if _, err := c.pool(p.PoolFqdn); err != nil {
			return wrong("PoolFqdn", "needs a pool of this deployment (%s), not %q", c.Deployment.Pool().FQDN(), clip(p.PoolFqdn))
		}
	}
	list, err := c.Deployment.Pool().Services(ctx)
	for _, s := range list {
		if fits(p.Role, s.Role) {
			c.Write(serviceRow{s.Role + ":" + string(s.Pool), s.Role, s.Pool, s.Computer, status(s), s.Problem})
		}
	}
	return err
}

func status(s Service) string {
	switch {
	case !s.Running:
		return "Stopped"
	case s.Problem != "":
		return "Degraded"
	}
	return "Running"
}
