package frontend

import (
	"trivet/service/conference"
	"trivet/uc"
	"trivet/wire/presdoc"
)

// provisioning are the in-band settings, [MS-SIPREGE] 2.2. Services that this
// edition does not have are left out, so that clients do not ask for them.
func (s *server) provisioning(user uc.UserURI, group string) (presdoc.ProvisionGroup, bool) {
	switch group {
	case "ServerConfiguration":
		return presdoc.ProvisionGroup{Name: group, Entries: append([]presdoc.Setting{
			{Name: "focusFactoryUri", Value: conference.Factory(user)},
			{Name: "ucPC2PCAVEncryption", Value: "SupportEncryption"},
			{Name: "ucPortRangeEnabled", Value: "false"},
		}, s.bookSettings()...)}, true
	case "persistentChatConfiguration":
		return presdoc.ProvisionGroup{Name: group, Properties: []presdoc.Setting{{Name: "EnablePersistentChat", Value: "false"}}}, true
	}
	return s.policies.provisioning(user, group)
}
