package cmdlet

import (
	"time"

	"trivet/rule/directory"
	"trivet/uc"
)

// photoRow is the photo of a user.
type photoRow struct {
	Identity    string
	SipAddress  uc.UserURI
	Type        string
	Size        int    // bytes
	Hash        string // SHA-1
	WhenChanged time.Time
	PictureData string `json:",omitempty"` // base64
}

var photoTable = []string{"Identity", "Type", "Size", "WhenChanged", "Output"}

func photoRowOf(u directory.User, p directory.Photo) photoRow {
	return photoRow{Identity: u.UserPrincipalName, SipAddress: u.SipAddress, Type: p.Type, Size: len(p.Data), Hash: p.Hash, WhenChanged: p.WhenChanged}
}
