package cmdlet

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"trivet/fault"
	"trivet/kit/log"
	"trivet/rule/directory"
	"trivet/uc"
)

// NewUser creates an account in the embedded directory, ready to sign in.
type NewUser struct {
	Identity         string     `param:"required,pos=1" help:"Account name, alone or as name@domain"`
	SipAddress       string     `help:"Address to sign in with; without it name@domain"`
	Password         log.Secret `help:"Password; - reads it from standard input; without it a terminal asks"`
	GeneratePassword bool       `help:"Make a password and show it once"`
	DisplayName      string     `help:"Name shown to others; without it first and last name, or the account name"`
	Personal
	UserPrincipalName    string   `help:"Sign-in name; without it name@domain"`
	SamAccountName       string   `help:"Short account name; without it the name"`
	ProxyAddresses       []string `help:"Further addresses, like smtp:al@example.test"`
	HideFromAddressLists bool     `help:"Keep the user out of searches and address books"`
	RegistrarPool        string   `help:"Pool that serves the user; without it the pool of this server"`
	Enabled              bool     `default:"true" help:"-Enabled:$false makes an account without SIP address, for Enable-CsUser later"`
}

var newUser = Cmdlet{
	Name: "New-CsUser", Synopsis: "Creates a user in the embedded directory and enables it.",
	Example: `New-CsUser alice -FirstName Alice -LastName Ames -GeneratePassword`,
	Changes: true, Roles: userManagers, Table: append(userTable, "Password"),
	New: func() Runner { return &NewUser{} },
}

// Run implements Runner.
func (p *NewUser) Run(ctx context.Context, c *Call) error {
	var err error
	if p.Manager, err = c.manager(ctx, p.Manager); err != nil {
		return err
	}
	u, err := p.user(c)
	if err != nil {
		return err
	}
	password := string(p.Password)
	if p.GeneratePassword {
		if password != "" {
			return wrong("GeneratePassword", "and -Password exclude each other; give one of them")
		}
		if password, err = GeneratePassword(); err != nil {
			return err
		}
	}
	if password == "" {
		return wrong("Password", "is missing; give it, or -GeneratePassword")
	}
	directory.Normalize(&u)
	if err := directory.Validate(&u); err != nil {
		return p.blame(err)
	}
	if err := directory.CheckPassword(&u, password); err != nil {
		return err
	}
	if !c.ShouldProcess("New-CsUser", label(u)) {
		return nil
	}
	made, err := c.Deployment.Users().Create(ctx, u, password)
	if err != nil {
		return err
	}
	row := rowOf(made)
	if p.GeneratePassword {
		row.Password = password
	}
	c.Write(row)
	return nil
}

// user puts the account together.
func (p *NewUser) user(c *Call) (directory.User, error) {
	identity := strings.TrimPrefix(strings.TrimSpace(p.Identity), "sip:")
	name, domain, full := strings.Cut(identity, "@")
	if !full {
		domain = c.Deployment.Pool().Domains()[0]
	}
	u := directory.User{
		UserPrincipalName: or(p.UserPrincipalName, name+"@"+domain),
		SamAccountName:    or(p.SamAccountName, shorten(name, 20)),
		ProxyAddresses:    p.ProxyAddresses, HideFromAddressLists: p.HideFromAddressLists,
	}
	p.Personal.apply(&u)
	u.DisplayName = or(p.DisplayName, or(strings.TrimSpace(u.FirstName+" "+u.LastName), name))
	if !p.Enabled && p.SipAddress == "" {
		return u, nil
	}
	a, err := c.sipAddress(or(p.SipAddress, name+"@"+domain))
	if err != nil {
		return u, p.blame(err)
	}
	var pool uc.PoolFQDN
	if pool, err = c.pool(p.RegistrarPool); err != nil {
		return u, err
	}
	c.home(&u, a, pool)
	u.Enabled = p.Enabled
	return u, nil
}

// blame has an error about a property that was made from -Identity name what was
// given.
func (p *NewUser) blame(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	made := map[string]bool{
		"UserPrincipalName": p.UserPrincipalName == "", "SamAccountName": p.SamAccountName == "", "SipAddress": p.SipAddress == "",
		"DisplayName": p.DisplayName == "" && p.FirstName == nil && p.LastName == nil,
	}
	if !made[f.Subject] {
		return err
	}
	return wrong("Identity", "will not do: the %s made from it %s", f.Subject, strings.TrimPrefix(strings.TrimPrefix(f.Text, "-"), f.Subject+" "))
}

func or(s, otherwise string) string {
	if s != "" {
		return s
	}
	return otherwise
}

// shorten cuts s to at most n bytes.
func shorten(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// passwordSigns are letters and digits that are not taken for one another; 32
// of them, so that a random byte selects one evenly.
const passwordSigns = "abcdefghijkmnpqrstuvwxyz23456789"

// GeneratePassword makes a password of 80 random bits, in four groups of four.
func GeneratePassword() (string, error) {
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", fault.New(fault.Internal, "cmdlet.GeneratePassword", "no random numbers").Because(err)
	}
	b := make([]byte, 0, 19)
	for i, r := range random {
		if i > 0 && i%4 == 0 {
			b = append(b, '-')
		}
		b = append(b, passwordSigns[r%32])
	}
	return string(b), nil
}
