// Package conf has the settings of a server: declared once, as a struct whose
// tags carry key, flag, default and help, read strictly from trivet.yaml in the
// data folder, overridden by flags, then completed and validated. Unknown keys,
// double keys and bad values are errors that name the line.
//
// Everything here happens once, at the start, in one goroutine. A Settings value
// is not changed afterwards.
package conf

import "time"

// FileName is the name of the settings file in the data folder.
const FileName = "trivet.yaml"

// DefaultData is the data folder when neither a flag nor TRIVET_DATA names one.
const DefaultData = "./trivet-data"

// Settings are the effective settings of one server.
type Settings struct {
	Data string // the data folder; not part of the file, which lies in it
	Demo bool   // create the demonstration users at the start; flag only

	Domain string `key:"domain" flag:"domain" default:"example.test" check:"domain" help:"SIP domain of the users"`
	Listen string `key:"listen" flag:"listen" default:"127.0.0.1" check:"host" help:"IP address that the listeners without an address of their own use"`
	Site   string `key:"site" default:"Main" check:"site" help:"name of the site this server stands in; policies of Site:NAME are for it"`
	FQDN   string `key:"fqdn" flag:"fqdn" check:"fqdn" help:"name of this server in certificates and SIP headers; empty: sip.DOMAIN"`

	SIP struct {
		TLS Address `key:"tls" flag:"sip-tls" default:"5061" help:"SIP over TLS"`
		TCP Address `key:"tcp" flag:"sip-tcp" default:"5060" help:"SIP over TCP"`
		UDP Address `key:"udp" flag:"sip-udp" help:"SIP over UDP; empty: as sip.tcp"`
		WS  Address `key:"ws" flag:"sip-ws" default:"off" help:"SIP over WebSocket without TLS (RFC 7118)"`
		WSS Address `key:"wss" flag:"sip-wss" default:"off" help:"SIP over WebSocket with TLS"`
	} `key:"sip"`
	HTTPS Address `key:"https" flag:"https" default:"8443" help:"web services, management, health and metrics"`

	Kerberos struct {
		Keytab string `key:"keytab" flag:"kerberos-keytab" help:"keytab with the keys of sip/FQDN and HTTP/FQDN, relative to the data folder; empty: no Kerberos"`
	} `key:"kerberos"`
	Digest struct {
		MD5 bool `key:"md5" flag:"digest-md5" default:"true" help:"offer Digest with MD5 beside SHA-256; first value of CsProxyConfiguration"`
	} `key:"digest"`
	Presence struct {
		PrivacyMode bool `key:"privacy-mode" flag:"privacy-mode" default:"false" help:"show presence to people on the contact list only; first value of CsPrivacyConfiguration"`
		Prompts     int  `key:"prompts" default:"200" min:"0" max:"600" help:"people who added a user and are kept to ask the user about; 0: nobody is asked; first value of CsPresencePolicy"`
	} `key:"presence"`
	Limits struct {
		Connections      int           `key:"connections" default:"100000" min:"10" help:"open SIP connections"`
		Strangers        int           `key:"strangers" default:"2000" min:"10" help:"SIP connections of one address that have not signed in"`
		Requests         int           `key:"requests" default:"20000" min:"1" help:"SIP requests in work before new ones are answered 503"`
		StrangerRequests int           `key:"stranger-requests" default:"2000" min:"8" help:"SIP requests in work of connections that have not signed in, a quarter of them from one address"`
		StrangerBytes    int           `key:"stranger-bytes" default:"134217728" min:"1048576" help:"bytes held of half-received messages of connections that have not signed in, a quarter of them from one address"`
		OutputBytes      int           `key:"output-bytes" default:"1048576" min:"65536" help:"bytes that may wait for one SIP connection that does not read"`
		OutputTotal      int           `key:"output-total" default:"268435456" min:"1048576" help:"bytes that may wait for all SIP connections together"`
		WebSource        int           `key:"web-source" default:"1000" min:"10" help:"open HTTPS connections of one address"`
		MessageBytes     int           `key:"message-bytes" default:"262144" min:"8192" help:"bytes of one SIP message"`
		SignInTime       time.Duration `key:"sign-in-time" default:"60s" min:"1s" help:"time a connection has to authenticate"`
		Contacts         int           `key:"contacts" default:"250" min:"1" max:"1000" help:"contacts of one user, at most 1000; first value of CsUserServicesConfiguration"`
		Endpoints        int           `key:"endpoints" default:"8" min:"1" max:"64" help:"endpoints of one user, at most 64; first value of CsRegistrarConfiguration"`
	} `key:"limits"`
	Directory struct {
		Sources []DirectorySource `key:"sources" help:"LDAP directories that users and groups come from, see directory.md"`
	} `key:"directory"`
	Log struct {
		Level string `key:"level" flag:"log-level" default:"info" check:"level" help:"least level that is logged: debug, info, warn, error"`
		JSON  bool   `key:"json" flag:"json-log" default:"false" help:"log JSON objects instead of lines for people"`
	} `key:"log"`
}

// complete fills in what follows from other settings.
func (s *Settings) complete() {
	if s.FQDN == "" {
		s.FQDN = "sip." + s.Domain
	}
	if s.SIP.UDP == "" {
		s.SIP.UDP = s.SIP.TCP
	}
	for _, a := range []*Address{&s.SIP.TLS, &s.SIP.TCP, &s.SIP.UDP, &s.SIP.WS, &s.SIP.WSS, &s.HTTPS} {
		*a = a.on(s.Listen)
	}
}
