package policy

// Privacy says who sees presence, and what clients propose to publish.
type Privacy struct {
	EnablePrivacyMode            bool `default:"false" help:"Show presence to people on the user's contact list only" server:"shows name and e-mail address to everybody else" client:"presencePolicyV2/EnablePrivacyMode"`
	AutoInitiateContacts         bool `default:"true" help:"Clients add the manager and the direct reports to a new contact list" client:"presencePolicyV2/AutoInitiateContacts"`
	PublishLocationDataDefault   bool `default:"true" help:"Clients publish the location unless the user says otherwise" client:"presencePolicyV2/PublishLocationDataDefault"`
	DisplayPublishedPhotoDefault bool `default:"true" help:"Clients show the user's photo unless the user says otherwise" client:"presencePolicyV2/DisplayPublishedPhotoDefault"`
}

// PrivacyConfiguration is CsPrivacyConfiguration.
var PrivacyConfiguration = define[Privacy](Kind{Noun: "CsPrivacyConfiguration", About: "who sees the presence of users"})
