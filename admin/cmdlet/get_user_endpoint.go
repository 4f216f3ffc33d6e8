package cmdlet

import (
	"context"
	"time"

	"trivet/uc"
)

// GetUserEndpoint lists where a user is signed in.
type GetUserEndpoint struct {
	Identity string `param:"required,pos=1" help:"The user"`
}

type endpointRow struct {
	SipAddress    uc.UserURI
	EndpointId    uc.EndpointID
	UserAgent     string
	Contact       string
	Server        uc.ServerFQDN
	Transport     string
	RemoteAddress string
	Connected     bool
	Registered    time.Time
	Expires       time.Time
}

var getUserEndpoint = Cmdlet{
	Name: "Get-CsUserEndpoint", Synopsis: "Lists the endpoints with which a user is signed in.",
	Example: `Get-CsUserEndpoint alice@example.test -As list`,
	Roles:   viewers, Table: []string{"EndpointId", "UserAgent", "Transport", "RemoteAddress", "Connected", "Expires"},
	New: func() Runner { return &GetUserEndpoint{} },
}

// Run implements Runner.
func (p *GetUserEndpoint) Run(ctx context.Context, c *Call) error {
	u, err := c.Deployment.Users().Find(ctx, p.Identity)
	if err != nil || u.SipAddress == "" {
		return err
	}
	list, err := c.Deployment.Pool().Endpoints(ctx, u.SipAddress)
	for _, e := range list {
		c.Write(endpointRow{
			SipAddress: u.SipAddress, EndpointId: e.ID, UserAgent: e.UserAgent, Contact: e.Contact, Server: e.Server, Transport: e.Transport,
			RemoteAddress: e.Remote, Connected: e.Connected, Registered: e.Registered.UTC(), Expires: e.Expires.UTC(),
		})
	}
	return err
}
