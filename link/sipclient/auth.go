package sipclient

import (
	"strings"

	"trivet/fault"
	"trivet/wire/sip"
)

// authenticator makes credentials for requests after a challenge.
type authenticator interface {
	// scheme is the word in front of challenge and credentials.
	scheme() Scheme
	// challenge takes a new challenge of the scheme; false = the credentials it
	// answered last were refused.
	challenge(p params) (bool, error)
	// credentials are those for m, "" for none.
	credentials(m *sip.Message) (string, error)
	// verify checks the server's signature.
	verify(m *sip.Message) error
}

// params are the parameters of a challenge, names in lower case.
type params map[string]string

// parseChallenge reads "Scheme a=b, c="d, e"".
func parseChallenge(v string) (scheme string, p params) {
	scheme, rest, _ := strings.Cut(strings.TrimSpace(v), " ")
	p = params{}
	for part := range sip.Split(rest) {
		name, value, ok := strings.Cut(part, "=")
		if ok {
			p[strings.ToLower(strings.TrimSpace(name))] = sip.Unquote(strings.TrimSpace(value))
		}
	}
	return scheme, p
}

// answerable takes the challenges of a 401 or 407 and reports whether the
// request is worth repeating.
func (c *Client) answerable(res *sip.Message) (bool, error) {
	header := "WWW-Authenticate"
	if res.Status == 407 {
		header = "Proxy-Authenticate"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, want := range []Scheme{Digest, NTLM} {
		if c.cfg.Scheme != Auto && c.cfg.Scheme != want || c.auth != nil && c.auth.scheme() != want {
			continue
		}
		for v := range res.All(header) {
			scheme, p := parseChallenge(v)
			if !strings.EqualFold(scheme, string(want)) || want == Digest && !knownAlgorithm(p["algorithm"]) {
				continue
			}
			if c.auth == nil {
				c.auth = c.newAuthenticator(want)
			}
			return c.auth.challenge(p)
		}
	}
	if c.auth != nil {
		return false, nil
	}
	return false, fault.Newf(fault.Unsupported, "sipclient.Do", "the server does not offer %s", c.offered())
}

func (c *Client) offered() string {
	if c.cfg.Scheme == Auto {
		return "Digest or NTLM"
	}
	return string(c.cfg.Scheme)
}

func (c *Client) newAuthenticator(s Scheme) authenticator {
	if s == Digest {
		return &digest{login: c.cfg.Login, password: c.cfg.Password}
	}
	return &ntlmAuth{login: c.cfg.Login, password: c.cfg.Password, now: c.cfg.Now}
}

// authorize puts credentials into m; the caller holds mu.
func (c *Client) authorize(m *sip.Message) error {
	m.Del("Authorization")
	m.Del("Proxy-Authorization")
	if c.auth == nil {
		return nil
	}
	v, err := c.auth.credentials(m)
	if err != nil || v == "" {
		return err
	}
	if m.Method == "REGISTER" || c.auth.scheme() == NTLM {
		m.Add("Authorization", v)
	} else {
		m.Add("Proxy-Authorization", v)
	}
	return nil
}

func (c *Client) verify(m *sip.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.auth == nil {
		return nil
	}
	return c.auth.verify(m)
}
