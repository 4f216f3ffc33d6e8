package cmdlet

import (
	"strings"
	"time"

	"trivet/link/pki"
)

// certificateRow is a server certificate as Get-CsCertificate shows it.
type certificateRow struct {
	Thumbprint       string
	Use              []pki.Use
	Subject          string
	Issuer           string
	SerialNumber     string
	AlternativeNames []string
	NotBefore        time.Time
	NotAfter         time.Time
	OwnAuthority     bool
	MissingNames     []string
}

var certificateTable = []string{"Use", "Subject", "NotAfter", "Thumbprint"}

func rowOfCertificate(i pki.Info) certificateRow {
	return certificateRow{
		Thumbprint: i.Thumbprint, Use: notNil(i.Uses), Subject: i.Subject, Issuer: i.Issuer, SerialNumber: i.Serial,
		AlternativeNames: notNil(i.Names), NotBefore: i.NotBefore.UTC(), NotAfter: i.NotAfter.UTC(), OwnAuthority: i.Own, MissingNames: notNil(i.Missing),
	}
}

// squeezeThumbprint takes a thumbprint as people copy it: with spaces, colons, any case.
func squeezeThumbprint(s string) string {
	return strings.ToUpper(strings.NewReplacer(" ", "", ":", "").Replace(s))
}

// uses reads a -Type list that the values of the parameter have checked.
func uses(list []string) ([]pki.Use, error) {
	var found []pki.Use
	for _, s := range list {
		u, err := pki.ParseUse(s)
		if err != nil {
			return nil, wrong("Type", "needs a certificate's use, not %q", clip(s))
		}
		found = append(found, u)
	}
	return found, nil
}
