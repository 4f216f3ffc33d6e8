package cmdlet

import (
	"context"
	"encoding/base64"
)

// GetUserPhoto shows the photo of a user.
type GetUserPhoto struct {
	Identity string `param:"required,pos=1" help:"The user"`
	Output   string `param:"output=PictureData,binary" help:"File that gets the picture"`
}

var getUserPhoto = Cmdlet{
	Name: "Get-CsUserPhoto", Synopsis: "Shows what photo a user has and stores it in a file.",
	Example: `Get-CsUserPhoto alice@example.test -Output alice.jpg`,
	Roles:   viewers, Table: photoTable, New: func() Runner { return &GetUserPhoto{} },
}

// Run implements Runner.
func (p *GetUserPhoto) Run(ctx context.Context, c *Call) error {
	u, err := c.Deployment.Users().Find(ctx, p.Identity)
	if err != nil {
		return err
	}
	photo, err := c.Deployment.Photos().Photo(ctx, u.GUID)
	if err != nil {
		return err
	}
	row := photoRowOf(u, photo)
	row.PictureData = base64.StdEncoding.EncodeToString(photo.Data)
	c.Write(row)
	return nil
}
