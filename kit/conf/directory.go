package conf

import "time"

// DirectorySource is an LDAP directory that users and groups come from. Files are
// relative to the data folder.
type DirectorySource struct {
	Name    string   `key:"name" needed:"true" check:"label" help:"name of the source, kept with every user of it"`
	Kind    string   `key:"kind" default:"active-directory" values:"active-directory|inetorgperson" help:"what the defaults of filters and attributes fit: active-directory or inetorgperson"`
	Servers []string `key:"servers" needed:"true" check:"ldap" help:"its servers, ldaps://HOST or ldap://HOST; the next one is asked when one does not answer"`
	TLS     string   `key:"tls" default:"starttls" values:"starttls|plain" help:"how ldap:// is spoken: starttls, or plain, which shows passwords to whoever is on the wire"`
	CA      string   `key:"ca" help:"PEM file with the authorities of the servers' certificates; empty: those of the system"`

	BindDN       string `key:"bind-dn" help:"name of the account that reads the directory; empty: nobody, anonymously"`
	PasswordFile string `key:"password-file" help:"file with its password, readable by its owner only"`

	Users struct {
		Bases  []string `key:"bases" needed:"true" help:"names of the entries below which users are"`
		Filter string   `key:"filter" help:"LDAP filter of users; empty: that of the kind"`
	} `key:"users"`
	Groups struct {
		Bases  []string `key:"bases" help:"names of the entries below which groups are; empty: no groups"`
		Filter string   `key:"filter" help:"LDAP filter of groups; empty: that of the kind"`
	} `key:"groups"`

	SipAddress []string            `key:"sip-address" help:"attributes with the SIP address, the first that has one of our domain counts; of proxyAddresses the value that begins with sip:; empty: those of the kind"`
	Attributes map[string][]string `key:"attributes" values:"DisplayName|FirstName|LastName|UserPrincipalName|SamAccountName|WindowsEmailAddress|Title|Company|Department|Office|Phone|MobilePhone|HomePhone|OtherPhone|IPPhone|LineURI|MailNickname|Country|City|State|Description|Manager|ProxyAddresses|HideFromAddressLists|Photo|SourceID|Member" help:"attributes of properties that are not those of the kind, like {Department: [ou], Title: []}; the first that has a value counts, an empty list leaves the property to administrators"`
	Photos     bool                `key:"photos" default:"true" help:"take photos from the directory"`
	SignIn     bool                `key:"sign-in" default:"true" help:"check passwords of web sign-in with the directory"`

	Every           time.Duration `key:"every" default:"15m" min:"0s" help:"time between two runs; 0s: only Update-CsUserDatabase runs it"`
	Retention       time.Duration `key:"retention" default:"720h" min:"0s" help:"how long a user whose entry is gone stays disabled before being deleted; 0s: for ever"`
	Timeout         time.Duration `key:"timeout" default:"30s" min:"100ms" help:"how long a server may take for one answer"`
	Referrals       string        `key:"referrals" default:"follow" values:"follow|ignore" help:"whether to go where servers refer to: follow or ignore"`
	ReferralServers []string      `key:"referral-servers" check:"ldap" help:"servers that may be given passwords when another server refers to them, beside those of servers"`
	PageSize        int           `key:"page-size" default:"500" min:"1" max:"10000" help:"entries asked for at once"`
	MaxEntries      int           `key:"max-entries" default:"200000" min:"1" help:"most entries taken; more are a failure"`

	Budget struct {
		Creates              int `key:"creates" default:"500" min:"0" help:"users that 24 hours may add without approval; the first run of a source is free"`
		CreatesPercent       int `key:"creates-percent" default:"50" min:"0" max:"100" help:"the same in percent of the users of the source, but not less than 3 users"`
		Changes              int `key:"changes" default:"1000" min:"0" help:"users whose properties may change"`
		ChangesPercent       int `key:"changes-percent" default:"50" min:"0" max:"100" help:"the same in percent"`
		Disables             int `key:"disables" default:"50" min:"0" help:"users that may be disabled"`
		DisablesPercent      int `key:"disables-percent" default:"10" min:"0" max:"100" help:"the same in percent"`
		Reactivations        int `key:"reactivations" default:"50" min:"0" help:"users that may be enabled again"`
		ReactivationsPercent int `key:"reactivations-percent" default:"10" min:"0" max:"100" help:"the same in percent"`
		Deletes              int `key:"deletes" default:"50" min:"0" help:"users that may be deleted"`
		DeletesPercent       int `key:"deletes-percent" default:"10" min:"0" max:"100" help:"the same in percent"`
		Groups               int `key:"groups" default:"100" min:"0" help:"groups that may change or be deleted"`
		GroupsPercent        int `key:"groups-percent" default:"25" min:"0" max:"100" help:"the same in percent of the groups of the source"`
	} `key:"budget"`
}
