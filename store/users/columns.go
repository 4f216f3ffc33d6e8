package users

import (
	"database/sql"
	"strings"

	"trivet/fault"
	"trivet/kit/sqlite"
)

// column is one column of the table users and where its value lies.
type column struct {
	name string
	at   func(r *row) any
}

// row is a user as it lies in the table.
type row struct {
	User
	upnKey, samKey, displayKey string
	sip, line                  sql.NullString
	roles, proxies             string
	created, changed           int64
}

var columns = []column{
	{"guid", func(r *row) any { return &r.GUID }},
	{"sip_address", func(r *row) any { return &r.sip }},
	{"upn", func(r *row) any { return &r.UserPrincipalName }},
	{"upn_key", func(r *row) any { return &r.upnKey }},
	{"sam", func(r *row) any { return &r.SamAccountName }},
	{"sam_key", func(r *row) any { return &r.samKey }},
	{"display_name", func(r *row) any { return &r.DisplayName }},
	{"display_key", func(r *row) any { return &r.displayKey }},
	{"first_name", func(r *row) any { return &r.FirstName }},
	{"last_name", func(r *row) any { return &r.LastName }},
	{"email", func(r *row) any { return &r.WindowsEmailAddress }},
	{"title", func(r *row) any { return &r.Title }},
	{"company", func(r *row) any { return &r.Company }},
	{"department", func(r *row) any { return &r.Department }},
	{"office", func(r *row) any { return &r.Office }},
	{"phone", func(r *row) any { return &r.Phone }},
	{"mobile_phone", func(r *row) any { return &r.MobilePhone }},
	{"home_phone", func(r *row) any { return &r.HomePhone }},
	{"other_phone", func(r *row) any { return &r.OtherPhone }},
	{"line_uri", func(r *row) any { return &r.line }},
	{"enabled", func(r *row) any { return &r.Enabled }},
	{"enabled_rich_presence", func(r *row) any { return &r.EnabledForRichPresence }},
	{"enabled_federation", func(r *row) any { return &r.EnabledForFederation }},
	{"enabled_internet", func(r *row) any { return &r.EnabledForInternet }},
	{"enterprise_voice_enabled", func(r *row) any { return &r.EnterpriseVoiceEnabled }},
	{"audio_video_disabled", func(r *row) any { return &r.AudioVideoDisabled }},
	{"registrar_pool", func(r *row) any { return &r.RegistrarPool }},
	{"home_server", func(r *row) any { return &r.HomeServer }},
	{"routing_group", func(r *row) any { return &r.RoutingGroup }},
	{"admin_roles", func(r *row) any { return &r.roles }},
	{"when_created", func(r *row) any { return &r.created }},
	{"when_changed", func(r *row) any { return &r.changed }},
	{"ip_phone", func(r *row) any { return &r.IPPhone }},
	{"mail_nickname", func(r *row) any { return &r.MailNickname }},
	{"country", func(r *row) any { return &r.Country }},
	{"city", func(r *row) any { return &r.City }},
	{"state", func(r *row) any { return &r.State }},
	{"description", func(r *row) any { return &r.Description }},
	{"manager", func(r *row) any { return &r.Manager }},
	{"proxy_addresses", func(r *row) any { return &r.proxies }},
	{"hidden", func(r *row) any { return &r.HideFromAddressLists }},
	{"client_policy", func(r *row) any { return &r.ClientPolicy }},
	{"presence_policy", func(r *row) any { return &r.PresencePolicy }},
	{"conferencing_policy", func(r *row) any { return &r.ConferencingPolicy }},
	{"source", func(r *row) any { return &r.Source }},
	{"source_id", func(r *row) any { return &r.SourceID }},
	{"photo_hash", func(r *row) any { return &r.PhotoHash }},
}

var (
	columnList = func() (names []string) {
		for _, c := range columns {
			names = append(names, c.name)
		}
		return names
	}()
	columnNames = strings.Join(columnList, ", ")
	selectUser  = "SELECT " + columnNames + " FROM users"
	insertUser  = "INSERT INTO users (" + columnNames + ") VALUES (?" + strings.Repeat(", ?", len(columns)-1) + ")"
	updateUser  = "UPDATE users SET " + strings.ReplaceAll(columnNames, ",", " = ?,") + " = ? WHERE guid = ?"
)

// properties says which property of a user a unique column stands for.
var properties = map[string]string{
	"guid": "Guid", "sip_address": "SipAddress", "upn_key": "UserPrincipalName", "sam_key": "SamAccountName", "line_uri": "LineURI",
	"serial": "Serial", "source": "SourceID", "mail_key": "Mail",
}

// pack fills the derived members of r from its User.
func pack(u User) *row {
	return &row{
		User: u, upnKey: fold(u.UserPrincipalName), samKey: fold(u.SamAccountName), displayKey: fold(u.DisplayName),
		sip: orNull(string(u.SipAddress)), line: orNull(u.LineURI), roles: strings.Join(u.AdminRoles, ","), proxies: strings.Join(u.ProxyAddresses, "\n"),
		created: u.WhenCreated.UnixMilli(), changed: u.WhenChanged.UnixMilli(),
	}
}

// values are r's members as parameters.
func (r *row) values() []any {
	v := make([]any, len(columns), len(columns)+1)
	for i, c := range columns {
		v[i] = deref(c.at(r))
	}
	return v
}

// scan reads one row with the scan function of sql.Row or sql.Rows.
func scan(from func(...any) error) (User, error) {
	var r row
	at := make([]any, len(columns))
	for i, c := range columns {
		at[i] = c.at(&r)
	}
	if err := from(at...); err != nil {
		return User{}, err
	}
	return r.unpack(), nil
}

func (r *row) unpack() User {
	u := r.User
	u.SipAddress, u.LineURI = uri(r.sip), r.line.String
	if r.roles != "" {
		u.AdminRoles = strings.Split(r.roles, ",")
	}
	if r.proxies != "" {
		u.ProxyAddresses = strings.Split(r.proxies, "\n")
	}
	u.WhenCreated, u.WhenChanged = sqlite.Instant(r.created), sqlite.Instant(r.changed)
	return u
}

func fold(s string) string { return strings.ToLower(s) }

func orNull(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

// constraintColumn takes the column out of "… UNIQUE constraint failed:
// users.sam_key (2067)".
func constraintColumn(text string) string {
	_, name, _ := strings.Cut(text, "failed: ")
	_, name, _ = strings.Cut(name, ".")
	name, _, _ = strings.Cut(name, " ")
	return strings.TrimSuffix(name, ",")
}

// exists is the fault for a taken column.
func exists(op, column, value string) error {
	property, ok := properties[column]
	if !ok {
		property = column
	}
	return fault.Newf(fault.Exists, op, "%s %q is already taken; choose another", property, value).About(property)
}
