package diagnose

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"

	"trivet/wire/soap"
)

// The product's paths.
const (
	ticketPath = "/WebTicket/WebTicketService.svc"
	metadata   = "/mex"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 10

// get asks for a document and notes the server's clock.
func (w *walk) get(ctx context.Context, address string, accept ...string) (status int, body []byte, err error) {
	ctx, cancel := w.limited(ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", address, nil)
	if err != nil {
		return 0, nil, err
	}
	for _, a := range accept {
		req.Header.Set("Accept", a)
	}
	res, err := w.web().Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	if t, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		w.date, w.noticed = t, w.Now()
	}
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, body, err
}

// unreached says why a web address did not answer.
func unreached(address string, err error) Finding {
	u, parsed := url.Parse(address)
	if parsed != nil {
		return bad(address+" is no address", "See the settings fqdn and https of the server.")
	}
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var dated x509.CertificateInvalidError
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	switch evidence := address + ": "; {
	case errors.As(err, &dns):
		return bad(evidence+"DNS has no address for "+u.Hostname(), "Make the record \""+u.Hostname()+" A ADDRESS\"; the name is that of the setting fqdn.")
	case errors.As(err, &unknown):
		return bad(evidence+"the certificate is of an issuer who is not trusted here", "Trust the server's ca.pem, or give the web services a certificate that clients trust: Set-CsCertificate -Type WebServicesInternal.")
	case errors.As(err, &name):
		return bad(evidence+"the certificate is for "+forWhom(name.Certificate), "Give the web services a certificate with the name "+u.Hostname()+": Request-CsCertificate -Type WebServicesInternal -DomainName "+u.Hostname()+", then Set-CsCertificate.")
	case errors.As(err, &dated):
		return bad(evidence+err.Error(), "Bring a certificate that is valid now, and see that the clocks are right.")
	default:
		return bad(evidence+plainly(err), "See that the server's HTTPS listener is up (the setting https), and that a firewall lets TCP port "+portOf(u)+" through.")
	}
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return "443"
}

// provisioning asks the two services that TLS-DSK needs, where the challenge says.
func (w *walk) provisioning(ctx context.Context) Finding {
	sts := ""
	for _, o := range w.offers {
		if o.sts != "" {
			sts = o.sts
		}
	}
	if sts == "" {
		return skip("the server does not offer TLS-DSK, so it names no web services")
	}
	u, err := url.Parse(sts)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return bad(fmt.Sprintf("the challenge names %q as certificate service", sts), "See the settings fqdn and https of the server.")
	}
	w.base = "https://" + u.Host
	for _, address := range []string{sts + metadata, w.base + ticketPath + metadata} {
		status, _, err := w.get(ctx, address)
		if err != nil {
			return unreached(address, err)
		}
		if status != http.StatusOK {
			return bad(fmt.Sprintf("%s answers %d", address, status), "Another web server has this name and port, or a proxy is between: let it pass this path to the Trivet server.")
		}
	}
	return good("certificate provisioning and web tickets answer at %s", w.base)
}

func (w *walk) readiness(ctx context.Context) Finding {
	address := w.base + "/health/ready"
	status, body, err := w.get(ctx, address)
	switch {
	case err != nil:
		return unreached(address, err)
	case status == http.StatusOK:
		return good("%s says ok", address)
	case status != http.StatusServiceUnavailable:
		return skip(fmt.Sprintf("%s answers %d: it is kept from this machine", address, status))
	}
	var said struct{ Problems map[string]string }
	why := []string{}
	if json.Unmarshal(body, &said) == nil {
		for part, problem := range said.Problems {
			why = append(why, part+": "+problem)
		}
		sort.Strings(why)
	}
	return bad("the server is not ready. "+strings.Join(why, " "), "Wait for the start to end; when it lasts, see the server's log and Get-CsWindowsService.")
}

// Clocks that differ by more than tolerance make Kerberos tickets, and fresh
// certificates of TLS-DSK, invalid.
const tolerance, minded = 5 * time.Minute, time.Minute

func (w *walk) skew(context.Context) Finding {
	if w.date.IsZero() {
		return skip("the server did not tell its time")
	}
	d := w.noticed.Sub(w.date).Round(time.Second)
	said, late := "the clock here is "+d.Abs().String()+" ahead of the server's", "Set both clocks by NTP (timedatectl set-ntp true)."
	if d < 0 {
		said = "the clock here is " + d.Abs().String() + " behind the server's"
	}
	switch {
	case d.Abs() > tolerance:
		return bad(said, late+" Kerberos tickets, and certificates that TLS-DSK has just issued, are refused at more than 5 minutes.")
	case d.Abs() > minded:
		return doubt(said, late)
	}
	return good("both clocks agree within %v", max(d.Abs(), time.Second))
}

// discover asks where clients ask that know only the address.
func (w *walk) discover(ctx context.Context) Finding {
	var none []string
	for _, label := range []string{"lyncdiscoverinternal", "lyncdiscover"} {
		name := label + "." + w.Domain
		ips, err := w.addresses(ctx, name)
		if err != nil || len(ips) == 0 {
			none = append(none, name)
			continue
		}
		return w.discoverAt(ctx, name)
	}
	return doubt("DNS has neither "+strings.Join(none, " nor "), "Clients for mobiles and newer ones ask there first: make CNAME records that lead to the server.")
}

func (w *walk) discoverAt(ctx context.Context, name string) Finding {
	at := "https://" + name
	if w.DiscoverPort != 443 {
		at = "https://" + net.JoinHostPort(name, strconv.Itoa(w.DiscoverPort))
	}
	address := at + "/?sipuri=" + url.QueryEscape(string(w.asker()))
	status, body, err := w.get(ctx, address, soap.DiscoverType)
	switch {
	case err != nil:
		return unreached(at, err)
	case status == http.StatusNotFound:
		return bad(at+" does not serve "+w.Domain, "The record "+name+" leads to the wrong server, or the setting domain of the server is another.")
	case status != http.StatusOK:
		return bad(fmt.Sprintf("%s answers %d", at, status), "The record "+name+" leads to another web server: have it lead to the Trivet server, with https on port 443.")
	}
	d, err := soap.ParseDiscovery(body)
	if err != nil {
		return bad(at+" answers with something that is no autodiscover document", "The record "+name+" leads to another web server: have it lead to the Trivet server.")
	}
	for _, l := range d.Links {
		if l.Token == "User" {
			return w.discoverUser(ctx, at, l.Href)
		}
	}
	return bad(at+" has no link to the user's document", "See what is between client and server: the document is not that of a Trivet server over HTTPS.")
}

// discoverUser sees that the link leads somewhere. Without a web ticket any answer
// will do.
func (w *walk) discoverUser(ctx context.Context, at, href string) Finding {
	status, _, err := w.get(ctx, href, soap.DiscoverType)
	switch {
	case err != nil:
		f := unreached(href, err)
		f.Evidence = at + " leads to " + f.Evidence
		return f
	case status == http.StatusNotFound:
		return bad(at+" leads to "+href+", where nothing is", "See the settings fqdn and https of the server.")
	}
	return good("%s leads to %s", at, href)
}
