package frontend

import (
	"strconv"

	"trivet/service/addressbook"
	"trivet/wire/presdoc"
)

// bookSettings tell a client where people are looked for, [MS-SIPREGE] 2.2.2.5.1.
// Without HTTPS there is nothing to tell, and clients search over SIP.
func (s *server) bookSettings() []presdoc.Setting {
	if s.set.HTTPS.Off() {
		return []presdoc.Setting{{Name: "dlxEnabled", Value: "false"}}
	}
	base, expands := s.auth.WebBase(), strconv.FormatBool(s.policies.WebService().EnableGroupExpansion)
	query, files := base+addressbook.QueryPath, base+addressbook.FilesPath
	return []presdoc.Setting{
		{Name: "dlxEnabled", Value: expands}, {Name: "dlxInternalUrl", Value: query}, {Name: "dlxExternalUrl", Value: query},
		{Name: "absInternalServerUrl", Value: files}, {Name: "absExternalServerUrl", Value: files},
	}
}
