package diagnose

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// soon is how long before its end a certificate is minded.
const soon = 14 * 24 * time.Hour

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

func (w *walk) leaf() *x509.Certificate { return w.tls.PeerCertificates[0] }

func (w *walk) dates(context.Context) Finding {
	c, now := w.leaf(), w.Now()
	switch {
	case now.Before(c.NotBefore):
		return bad(fmt.Sprintf("the certificate is valid from %s, and the clock here says %s", day(c.NotBefore), day(now)),
			"Set the clock of this machine (timedatectl set-ntp true). If it is right, the server's clock, or that of who made the certificate, is ahead.")
	case !now.Before(c.NotAfter):
		return bad(fmt.Sprintf("the certificate ended on %s, and the clock here says %s", day(c.NotAfter), day(now)),
			"Bring a newer one (Import-CsCertificate, then Set-CsCertificate), or have the server make one: Request-CsCertificate -Type Default. See that this machine's clock is right.")
	case now.Add(soon).After(c.NotAfter):
		return doubt("the certificate ends on "+day(c.NotAfter), "Bring a newer one before that; those of the server's own authority are renewed by the server.")
	}
	return good("valid until %s", day(c.NotAfter))
}

func (w *walk) names(context.Context) Finding {
	c, want := w.leaf(), w.Name
	if want == "" {
		want = w.host
	}
	if err := c.VerifyHostname(want); err != nil {
		return bad(fmt.Sprintf("the certificate is for %s, not for %s", forWhom(c), want),
			fmt.Sprintf("Let clients, and the SRV record, use a name that is in it, or give the server a certificate with this one: Request-CsCertificate -Type Default -DomainName %s, then Set-CsCertificate.", want))
	}
	return good("it is for %s", want)
}

func forWhom(c *x509.Certificate) string {
	names := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "nobody (no subject alternative name)"
	}
	return strings.Join(names, ", ")
}

// issuer judges the chain at a moment when the certificate itself is valid: its
// dates have a check of their own.
func (w *walk) issuer(context.Context) Finding {
	c := w.leaf()
	opts := x509.VerifyOptions{Roots: w.Roots, Intermediates: x509.NewCertPool(), CurrentTime: w.Now()}
	for _, other := range w.tls.PeerCertificates[1:] {
		opts.Intermediates.AddCert(other)
	}
	if opts.CurrentTime.Before(c.NotBefore) {
		opts.CurrentTime = c.NotBefore
	} else if opts.CurrentTime.After(c.NotAfter) {
		opts.CurrentTime = c.NotAfter
	}
	_, err := c.Verify(opts)
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return good("issued by %s, who is trusted here", issuerOf(c))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return bad("the certificate of an issuer is not valid now ("+err.Error()+")", "Bring a chain whose issuers are valid: Import-CsCertificate.")
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return bad("the certificate is not made for servers", "It needs the extended key usage server authentication: have it issued anew.")
	}
	mend := "Trust the authority on this machine: copy the server's ca.pem to /usr/local/share/ca-certificates/trivet.crt and run update-ca-certificates; or here, name it with --ca. Or give the server a certificate of an authority that clients trust."
	if len(w.tls.PeerCertificates) == 1 && c.CheckSignatureFrom(c) != nil {
		mend += " If the authority is a public one, the server does not send the certificate between: import it with its chain."
	}
	return bad(fmt.Sprintf("issued by %s, who is not trusted here", issuerOf(c)), mend)
}

func issuerOf(c *x509.Certificate) string {
	if c.Issuer.CommonName != "" {
		return c.Issuer.CommonName
	}
	return c.Issuer.String()
}
