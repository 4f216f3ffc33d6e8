package cmdlet

import (
	"context"
	"encoding/base64"

	"trivet/rule/directory"
)

// SetUserPhoto stores the photo of a user.
type SetUserPhoto struct {
	Identity    string `param:"required,pos=1" help:"The user"`
	PictureData string `param:"required,pos=2,file,binary" help:"JPEG or PNG file of at most 100 KB"`
	PassThru    bool   `help:"Describe the photo afterwards"`
}

var setUserPhoto = Cmdlet{
	Name: "Set-CsUserPhoto", Synopsis: "Gives a user a photo, which contacts see.",
	Example: `Set-CsUserPhoto alice@example.test -PictureData alice.jpg`,
	Changes: true, Roles: userManagers, Table: photoTable, New: func() Runner { return &SetUserPhoto{} },
}

// Run implements Runner.
func (p *SetUserPhoto) Run(ctx context.Context, c *Call) error {
	u, err := c.subject(ctx, p.Identity)
	if err != nil {
		return err
	}
	data, err := base64.StdEncoding.DecodeString(p.PictureData)
	if err != nil {
		return wrong("PictureData", "needs the picture in base64")
	}
	if _, err := directory.ReadPhoto(data); err != nil {
		return err
	}
	if !c.ShouldProcess("Set-CsUserPhoto", label(u)) {
		return nil
	}
	photo, err := c.Deployment.Photos().SetPhoto(ctx, u.GUID, data)
	if err == nil && p.PassThru {
		c.Write(photoRowOf(u, photo))
	}
	return err
}
