package diagnose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"trivet/fault"
	"trivet/link/sipclient"
	"trivet/uc"
	"trivet/wire/sip"
)

// offer is a way to sign in that the server offers.
type offer struct {
	method string // "Ntlm", "Kerberos", "TlsDsk", "Digest"
	shown  string // "Digest SHA-256"
	sts    string // of TLS-DSK: where certificates are provisioned
}

// asker is the user who asks, somebody of the domain where there is none.
func (w *walk) asker() uc.UserURI {
	return cmp.Or(w.User, uc.UserURI("sip:diagnose@"+cmp.Or(w.Domain, w.host)))
}

func (w *walk) account(ctx context.Context) Finding {
	if w.Account == nil {
		return skip("only the server's owner is told: run this on the server with --data")
	}
	a, err := w.Account(ctx, w.User)
	name := w.User.User()
	switch {
	case err != nil:
		return skip("the server does not tell: " + textOf(err))
	case !a.Known:
		return bad("there is no user "+string(w.User), "Look for the right address (Get-CsUser), or make the user: New-CsUser "+name+" -GeneratePassword.")
	case !a.HasSIP:
		return bad("the account has no SIP address", "Give it one: Enable-CsUser "+name+".")
	case !a.Enabled:
		return bad("the user is disabled", "Let the user in again: Set-CsUser "+name+" -Enabled '$true'.")
	}
	w.known = true
	return good("the user exists and may sign in; %d endpoints are signed in", a.Endpoints)
}

// answers asks as a client that has not said who it is: a Lync client, and, unless
// it is said what the client knows, a SIP client, who is offered other methods.
func (w *walk) answers(ctx context.Context) Finding {
	kind := sipclient.NTLM
	if w.Method == "Digest" {
		kind = sipclient.Digest
	}
	res, err := w.ask(ctx, kind)
	const foreign = "Another service has this port, such as HTTPS: give the client, and the SRV record, the port of sip.tls."
	switch {
	case fault.Is(err, fault.Timeout):
		return bad("no answer to REGISTER within "+w.Patience.String(), "The server is there and hangs, or this is no SIP server: see its log and the port.")
	case err != nil:
		return bad("no SIP: "+textOf(err), foreign)
	}
	said := fmt.Sprintf("REGISTER is answered %d %s", res.Status, res.Reason)
	if diag := res.Get("ms-diagnostics"); diag != "" {
		said += " (" + diag + ")"
	}
	switch res.Status {
	case 200, 401, 407:
		w.offers = offersOf(w.offers, res)
		if w.Method == "" {
			if res, err := w.ask(ctx, sipclient.Digest); err == nil {
				w.offers = offersOf(w.offers, res)
			}
		}
		return good("%s", said)
	case 503:
		return bad(said, "The server is not ready, or has too much to do: see /health/ready and its log, and come back after "+cmp.Or(res.Get("Retry-After"), "a few")+" seconds.")
	case 403, 404:
		return bad(said, "The server does not serve the domain "+w.Domain+": see the setting domain, and that DNS leads to the right server.")
	}
	return bad(said, "See the server's log; the number of ms-diagnostics is explained in diagnostics.md.")
}

// ask sends REGISTER without credentials.
func (w *walk) ask(ctx context.Context, kind sipclient.Scheme) (*sip.Message, error) {
	ctx, cancel := w.limited(ctx)
	defer cancel()
	c, err := sipclient.Dial(ctx, sipclient.Config{Addr: w.at, TLS: w.anybody(), User: w.asker(), Scheme: kind})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	m := c.Request("REGISTER", w.asker())
	m.RequestURI = "sip:" + w.Domain
	return c.Do(ctx, m)
}

// methodsByScheme are the words of WWW-Authenticate.
var methodsByScheme = map[string]string{"ntlm": "Ntlm", "kerberos": "Kerberos", "tls-dsk": "TlsDsk", "digest": "Digest"}

// offersOf adds to list what the answer offers and list lacks.
func offersOf(list []offer, res *sip.Message) []offer {
	for _, header := range []string{"WWW-Authenticate", "Proxy-Authenticate"} {
		for v := range res.All(header) {
			scheme, rest, _ := strings.Cut(strings.TrimSpace(v), " ")
			o := offer{method: methodsByScheme[strings.ToLower(scheme)], shown: scheme, sts: parameter(rest, "sts-uri")}
			if o.method == "Digest" {
				o.shown += " " + cmp.Or(parameter(rest, "algorithm"), "MD5")
			}
			if o.method != "" && !slices.ContainsFunc(list, func(x offer) bool { return x.shown == o.shown }) {
				list = append(list, o)
			}
		}
	}
	return list
}

func parameter(list, name string) string {
	for part := range sip.Split(list) {
		if k, v, ok := strings.Cut(part, "="); ok && strings.EqualFold(strings.TrimSpace(k), name) {
			return sip.Unquote(strings.TrimSpace(v))
		}
	}
	return ""
}

// ways says what brings a method back.
var ways = map[string]string{
	"Kerberos": "Kerberos needs the setting kerberos.keytab, and Set-CsProxyConfiguration -UseKerberosForClientToProxyAuth '$true'.",
	"TlsDsk":   "TLS-DSK needs the web services, the setting https, and Set-CsProxyConfiguration -UseCertificateForClientToProxyAuth '$true'.",
	"Ntlm":     "NTLM is switched off: Set-CsProxyConfiguration -UseNtlmForClientToProxyAuth '$true'.",
	"Digest":   "Digest is switched off: Set-CsProxyConfiguration -UseDigestForClientToProxyAuth '$true'.",
}

func (w *walk) methods(context.Context) Finding {
	var shown []string
	fits := w.Method == ""
	for _, o := range w.offers {
		shown = append(shown, o.shown)
		fits = fits || o.method == w.Method
	}
	all := strings.Join(shown, ", ")
	switch {
	case len(shown) == 0:
		return bad("the server offers no way to sign in", "Every method that this client could use is switched off: see Get-CsProxyConfiguration on the server.")
	case !fits:
		return bad("the server offers this client "+all+", and not "+w.Method, "Let the client use one of those. "+ways[w.Method])
	}
	return good("the server offers %s", all)
}

// signIn does what everything before leads to, and signs out again.
func (w *walk) signIn(ctx context.Context) Finding {
	if w.Password == "" {
		return skip("no password was given")
	}
	scheme, ok := map[string]sipclient.Scheme{"": sipclient.Auto, "Ntlm": sipclient.NTLM, "Digest": sipclient.Digest}[w.Method]
	if !ok {
		return skip(w.Method + " is not tried here; --method Ntlm tries the password")
	}
	if scheme == sipclient.Auto && slices.ContainsFunc(w.offers, func(o offer) bool { return o.method == "Ntlm" }) {
		scheme = sipclient.NTLM // what the clients that this is about do
	}
	ctx, cancel := w.limited(ctx)
	defer cancel()
	conf := w.anybody()
	conf.InsecureSkipVerify, conf.RootCAs, conf.Time = false, w.Roots, w.Now
	if w.Name != "" {
		conf.ServerName = w.Name
	}
	c, err := sipclient.Dial(ctx, sipclient.Config{Addr: w.at, TLS: conf, User: w.User, Login: w.Login, Password: w.Password, Scheme: scheme, Now: w.Now})
	if err != nil {
		return bad(textOf(err), "See the checks above.")
	}
	defer c.Close()
	if _, err := c.Register(ctx, 600); err != nil {
		return w.refused(err)
	}
	if _, err := c.Register(ctx, 0); err != nil {
		return doubt("signed in, and not out again: "+textOf(err), "The endpoint expires by itself within ten minutes.")
	}
	return good("%s signed in, and out again", w.User.Bare())
}

// refused says why somebody was not let in.
func (w *walk) refused(err error) Finding {
	var f *fault.Error
	if !errors.As(err, &f) {
		f = &fault.Error{}
	}
	evidence := textOf(err)
	if f.Subject != "" {
		evidence += " (" + f.Subject + ")"
	}
	name := w.User.User()
	switch {
	case f.Kind == fault.Unauthenticated && w.known:
		return bad(evidence, "The user may sign in, so the password is wrong: type it again, or set a new one with Set-CsUserPassword "+name+" -GeneratePassword.")
	case f.Kind == fault.Unauthenticated:
		return bad(evidence, "The password is wrong, or the user is unknown or disabled; strangers are not told which. The server's owner is: run this with --data there.")
	case f.Kind == fault.Forbidden && strings.Contains(strings.ToLower(evidence), "endpoint"):
		return bad(evidence, "Sign out on a device that is not used (Get-CsUserEndpoint "+name+"), or raise the limit: Set-CsRegistrarConfiguration -MaxEndpointsPerUser.")
	case f.Kind == fault.Forbidden:
		return bad(evidence, "The server knows the user and refuses: see what its policy allows.")
	case strings.Contains(evidence, " 503 "):
		return bad(evidence, "Too many wrong passwords came from here, or the server has too much to do: wait a few minutes, and see its log.")
	}
	return bad(evidence, "See the server's log.")
}

func textOf(err error) string {
	var f *fault.Error
	if errors.As(err, &f) && f.Text != "" {
		return f.Text
	}
	return err.Error()
}
