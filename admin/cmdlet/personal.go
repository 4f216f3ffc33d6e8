package cmdlet

import "trivet/rule/directory"

// Personal are the properties of a person that New-CsUser and Set-CsUser take
// alike; nil was not given.
type Personal struct {
	FirstName           *string `help:"First name"`
	LastName            *string `help:"Last name"`
	WindowsEmailAddress *string `help:"E-mail address"`
	Title               *string `help:"Title"`
	Company             *string `help:"Company"`
	Department          *string `help:"Department"`
	Office              *string `help:"Office"`
	Phone               *string `help:"Work phone"`
	MobilePhone         *string `help:"Mobile phone"`
	HomePhone           *string `help:"Home phone"`
	OtherPhone          *string `help:"Other phone"`
	IPPhone             *string `help:"IP phone"`
	LineURI             *string `help:"Phone line, tel:+14255550100;ext=100; $null for none"`
	MailNickname        *string `help:"Alias by which the user is found"`
	Country             *string `help:"Country"`
	City                *string `help:"City"`
	State               *string `help:"State or province"`
	Description         *string `help:"Description"`
	Manager             *string `help:"The manager, a user of the directory"`
}

// apply sets what was given.
func (p *Personal) apply(u *directory.User) {
	set([]text{
		{p.FirstName, &u.FirstName}, {p.LastName, &u.LastName}, {p.WindowsEmailAddress, &u.WindowsEmailAddress},
		{p.Title, &u.Title}, {p.Company, &u.Company}, {p.Department, &u.Department}, {p.Office, &u.Office},
		{p.Phone, &u.Phone}, {p.MobilePhone, &u.MobilePhone}, {p.HomePhone, &u.HomePhone}, {p.OtherPhone, &u.OtherPhone},
		{p.IPPhone, &u.IPPhone}, {p.LineURI, &u.LineURI}, {p.MailNickname, &u.MailNickname},
		{p.Country, &u.Country}, {p.City, &u.City}, {p.State, &u.State}, {p.Description, &u.Description}, {p.Manager, &u.Manager},
	})
}

// text is a text property that is set when it was given.
type text struct{ given, at *string }

func set(list []text) {
	for _, t := range list {
		if t.given != nil {
			*t.at = *t.given
		}
	}
}
