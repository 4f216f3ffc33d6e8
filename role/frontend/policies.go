package frontend

import (
	"context"
	"strconv"

	"github.com/jcmturner/gokrb5/v8/keytab"

	"trivet/kit/conf"
	"trivet/link/sipauth"
	"trivet/rule/groupstate"
	"trivet/rule/policy"
	"trivet/service/addressbook"
	"trivet/store/central"
	"trivet/store/users"
	"trivet/uc"
	"trivet/wire/presdoc"
)

// policies say what holds for a user now: the tag that was granted before the
// site before Global. Every answer is of the moment, takes constant time and no
// lock; none of the values may be changed. Services take what they need as small
// interfaces of their own.
type policies struct {
	*central.Policies
	people *people
}

// openPolicies lets services read the configuration and hear of its changes.
func (s *server) openPolicies(context.Context) error {
	s.policies = policies{s.configuration, s.people}
	s.warnOfSettings(s.given)
	s.follows(s.documents.listen(s.policyChanged()))
	return nil
}

// Presence is the CsPresencePolicy of a user.
func (p policies) Presence(u uc.UserURI) *policy.Presence {
	return policy.PresencePolicy.For(p.Book(), p.tag(u, policy.PresencePolicy.Kind))
}

// Client is the CsClientPolicy of a user.
func (p policies) Client(u uc.UserURI) *policy.Client {
	return policy.ClientPolicy.For(p.Book(), p.tag(u, policy.ClientPolicy.Kind))
}

// Conferencing is the CsConferencingPolicy of an organizer.
func (p policies) Conferencing(u uc.UserURI) *policy.Conferencing {
	return policy.ConferencingPolicy.For(p.Book(), p.tag(u, policy.ConferencingPolicy.Kind))
}

// MaxGroups is how many distribution groups a contact list may hold.
func (p policies) MaxGroups(u uc.UserURI) int { return p.Client(u).MaximumDGsAllowedInContactList }

// Rights are what a user may do with the address book.
func (p policies) Rights(u uc.UserURI) addressbook.Rights {
	c, w := p.Client(u), p.WebService()
	r := addressbook.Rights{Search: c.AddressBookAvailability != "FileDownloadOnly", Files: c.AddressBookAvailability != "WebSearchOnly", Photos: c.DisplayPhoto != "NoPhoto"}
	if w.EnableGroupExpansion {
		r.Groups = w.MaxGroupSizeToExpand
	}
	return r
}

// Privacy is the CsPrivacyConfiguration.
func (p policies) Privacy() *policy.Privacy { return policy.PrivacyConfiguration.For(p.Book(), "") }

// Registrar is the CsRegistrarConfiguration.
func (p policies) Registrar() *policy.Registrar {
	return policy.RegistrarConfiguration.For(p.Book(), "")
}

// Proxy is the CsProxyConfiguration.
func (p policies) Proxy() *policy.Proxy { return policy.ProxyConfiguration.For(p.Book(), "") }

// UserServices is the CsUserServicesConfiguration.
func (p policies) UserServices() *policy.UserServices {
	return policy.UserServicesConfiguration.For(p.Book(), "")
}

// AddressBook is the CsAddressBookConfiguration.
func (p policies) AddressBook() *policy.AddressBook {
	return policy.AddressBookConfiguration.For(p.Book(), "")
}

// WebService is the CsWebServiceConfiguration.
func (p policies) WebService() *policy.WebService {
	return policy.WebServiceConfiguration.For(p.Book(), "")
}

// MaxContacts is the lower one of the two limits of a contact list.
func (p policies) MaxContacts(u uc.UserURI) int {
	most := p.UserServices().MaxContacts
	if n := p.Client(u).MaximumNumberOfContacts; n != nil {
		most = min(most, *n)
	}
	return min(most, groupstate.MaxContacts)
}

// MaxPromptedSubscribers is how many people wait for the user's answer at most.
func (p policies) MaxPromptedSubscribers(u uc.UserURI) int {
	return p.Presence(u).MaxPromptedSubscriber
}

// provisioning are the policies of a user as clients read them, in the groups that
// are made of policies alone.
func (p policies) provisioning(u uc.UserURI, group string) (presdoc.ProvisionGroup, bool) {
	told := p.Book().Told(make([]policy.Property, 0, 32), group, func(k *policy.Kind) string { return p.tag(u, k) })
	g := presdoc.ProvisionGroup{Name: group, Properties: make([]presdoc.Setting, 0, len(told))}
	for _, t := range told {
		if t.Name == "MaximumNumberOfContacts" {
			continue // below, with the limit of the deployment
		}
		g.Properties = append(g.Properties, presdoc.Setting{Name: t.Name, Value: t.Value})
	}
	if group == "endpointConfiguration" {
		g.Properties = append(g.Properties, presdoc.Setting{Name: "MaximumNumberOfContacts", Value: strconv.Itoa(p.MaxContacts(u))})
	}
	return g, len(told) > 0
}

// tag is what the user was granted of a kind, "" for nothing.
func (p policies) tag(u uc.UserURI, k *policy.Kind) string {
	user := p.people.ByAddress(u)
	if user == nil {
		return ""
	}
	return tagOf[k.Grant](user)
}

// tagOf reads the tags of a user by the property that holds them.
var tagOf = map[string]func(*users.User) string{
	"ClientPolicy":       func(u *users.User) string { return u.ClientPolicy },
	"PresencePolicy":     func(u *users.User) string { return u.PresencePolicy },
	"ConferencingPolicy": func(u *users.User) string { return u.ConferencingPolicy },
}

// signInPolicy is what is offered to who signs in. TLS-DSK needs the web services.
func (s *server) signInPolicy() sipauth.Policy {
	p := s.policies.Proxy()
	return sipauth.Policy{
		UseNtlm: p.UseNtlmForClientToProxyAuth, UseKerberos: p.UseKerberosForClientToProxyAuth,
		UseCertificate: p.UseCertificateForClientToProxyAuth && !s.set.HTTPS.Off(),
		UseDigest:      p.UseDigestForClientToProxyAuth, DigestMD5: p.UseDigestMD5ForClientToProxyAuth,
	}
}

// webNTLM reports whether the web services offer NTLM.
func (p policies) webNTLM() bool { return p.WebService().UseWindowsAuth != "None" }

// webKeytab is the keytab for the web services, nil where they do not offer Kerberos.
func (s *server) webKeytab() *keytab.Keytab {
	if s.policies.WebService().UseWindowsAuth != "Negotiate" {
		return nil
	}
	return s.keytab
}

// policyChanged has everybody's watchers look again when privacy mode is switched:
// what they may see has changed at once.
func (s *server) policyChanged() func(central.Change) {
	private := s.policies.Privacy().EnablePrivacyMode
	return func(central.Change) { // one after the other, and behind the new book
		is := s.policies.Privacy().EnablePrivacyMode
		if is == private || s.groups == nil {
			private = is
			return
		}
		private = is
		s.life.Go("privacy mode", func(ctx context.Context) error {
			for _, x := range s.groups.all {
				if err := x.Read(ctx, s.presence.Afresh); err != nil && ctx.Err() == nil {
					s.log.Warn("watchers do not know of the privacy mode yet", "err", err)
				}
			}
			return nil
		})
	}
}

// settingsOf are the settings that are policies: they are the values of Global until
// an administrator changes that.
var settingsOf = []struct {
	kind       *policy.Kind
	param, key string
}{
	{policy.PresencePolicy.Kind, "MaxPromptedSubscriber", "presence.prompts"},
	{policy.PrivacyConfiguration.Kind, "EnablePrivacyMode", "presence.privacy-mode"},
	{policy.ProxyConfiguration.Kind, "UseDigestMD5ForClientToProxyAuth", "digest.md5"},
	{policy.RegistrarConfiguration.Kind, "MaxEndpointsPerUser", "limits.endpoints"},
	{policy.UserServicesConfiguration.Kind, "MaxContacts", "limits.contacts"},
}

// fromSettings are the values that differ from their defaults, by kind; a kind
// whose settings are as shipped has none.
func fromSettings(set conf.Settings) map[*policy.Kind]policy.Values {
	given := map[*policy.Kind]policy.Values{}
	for _, s := range settingsOf {
		if given[s.kind] == nil {
			given[s.kind] = policy.Values{}
		}
		for _, f := range conf.Fields(&set) {
			if f.Key == s.key && f.String() != f.Default {
				given[s.kind][s.param] = f.String()
			}
		}
	}
	return given
}

// warnOfSettings says which settings count no more.
func (s *server) warnOfSettings(given map[*policy.Kind]policy.Values) {
	for _, x := range settingsOf {
		value, ok := given[x.kind][x.param]
		if !ok {
			continue
		}
		global, _ := s.policies.Book().Find(x.kind, policy.Identity{})
		if has := x.kind.Param(x.param).Text(global.Values); has != value {
			s.log.Warn("a setting counts no more: the policy was changed by an administrator", "setting", x.key, "value", value,
				"policy", x.kind.Noun, "parameter", x.param, "holds", has)
		}
	}
}
