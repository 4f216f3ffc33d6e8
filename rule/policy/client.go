package policy

import "time"

// Client is what clients of a user are told, and what of it the server holds them
// to. The property names of the in-band settings are those of [MS-SIPREGE]
// 2.2.2.5.6.
type Client struct {
	MaximumNumberOfContacts             *int           `range:"0-1000" help:"Most contacts of the user, where that is less than MaxContacts of CsUserServicesConfiguration" server:"refuses further contacts" client:"endpointConfiguration/MaximumNumberOfContacts"`
	MaximumDGsAllowedInContactList      int            `default:"10" range:"0-64" help:"Most distribution groups in the contact list" server:"refuses further groups" client:"endpointConfiguration/MaximumDGsAllowedInContactList"`
	DGRefreshInterval                   time.Duration  `default:"08:00:00" range:"30s-8h" help:"How often a client expands the groups in the contact list anew" client:"endpointConfiguration/DGRefreshInterval"`
	AddressBookAvailability             string         `default:"WebSearchAndFileDownload" values:"WebSearchAndFileDownload|WebSearchOnly|FileDownloadOnly" help:"How a client finds people" server:"refuses the other way" client:"endpointConfiguration/AbsUsage"`
	SearchPrefixFlags                   *int           `range:"0-127" help:"Which names a search by a beginning looks at: bits for e-mail, alias, all e-mails, company, display name, first name, last name" client:"endpointConfiguration/SearchPrefixFlags"`
	WebServicePollInterval              *time.Duration `range:"1s-1h" help:"How often a client asks Exchange web services" client:"endpointConfiguration/WebServicePollInterval"`
	DisplayPhoto                        string         `default:"AllPhotos" values:"NoPhoto|PhotosFromADOnly|AllPhotos" help:"Which photos a client shows" server:"gives no photos where it is NoPhoto" client:"endpointConfiguration/PhotoUsage"`
	MaxPhotoSizeKB                      int            `default:"30" range:"0-100" unit:"KB" help:"Largest photo that a client downloads from the web. 0: none" client:"endpointConfiguration/MaxPhotoSizeKB"`
	IMWarning                           string         `range:"0-256" help:"Text that a client shows above every conversation" client:"endpointConfiguration/IMWarning"`
	EnableURL                           *bool          `help:"Links in messages can be clicked" client:"endpointConfiguration/EnableURL"`
	DisableEmoticons                    *bool          `help:"Clients show no emoticons" client:"endpointConfiguration/DisableEmoticons"`
	DisableHtmlIm                       *bool          `help:"No HTML in messages" client:"endpointConfiguration/DisableHtmlIm"`
	DisableRTFIM                        *bool          `help:"No rich text in messages" client:"endpointConfiguration/DisableRTFIM"`
	DisableSavingIM                     *bool          `help:"Users cannot save conversations" client:"endpointConfiguration/DisableSavingIM"`
	EnableIMAutoArchiving               *bool          `help:"Clients keep conversations in the mailbox" client:"endpointConfiguration/EnableIMAutoArchiving"`
	EnableCallLogAutoArchiving          *bool          `help:"Clients keep a log of calls in the mailbox" client:"endpointConfiguration/EnableCallLogAutoArchiving"`
	ConferenceIMIdleTimeout             *time.Duration `range:"0s-1h" help:"Time without messages after which a client leaves a group conversation" client:"endpointConfiguration/ConferenceIMIdleTimeout"`
	DisableCalendarPresence             *bool          `help:"Clients take no presence from the calendar" client:"endpointConfiguration/DisableCalendarPresence"`
	DisableFreeBusyInfo                 *bool          `help:"Clients publish no free and busy times" client:"endpointConfiguration/DisableFreeBusyInfo"`
	DisableMeetingSubjectAndLocation    *bool          `help:"Clients publish no subject and place of meetings" client:"endpointConfiguration/DisableMeetingSubjectAndLocation"`
	DisablePhonePresence                *bool          `help:"Clients take no presence from calls" client:"endpointConfiguration/DisablePhonePresence"`
	DisablePresenceNote                 *bool          `help:"Clients take no note from the out-of-office text" client:"endpointConfiguration/DisablePresenceNote"`
	CalendarStatePublicationInterval    *int           `range:"0-86400" unit:"seconds" help:"How often a client publishes the calendar" client:"endpointConfiguration/CalendarStatePublicationInterval"`
	EnableAppearOffline                 *bool          `help:"Users may appear offline" client:"endpointConfiguration/EnableAppearOffline"`
	EnableNotificationForNewSubscribers *bool          `help:"Clients tell the user who added them" client:"endpointConfiguration/NotificationForNewSubscribers"`
	ShowRecentContacts                  bool           `default:"true" help:"Clients show a group of recent contacts" client:"endpointConfiguration/ShowRecentContacts"`
	ShowManagePrivacyRelationships      bool           `default:"false" help:"Clients show the view of privacy relationships" client:"endpointConfiguration/ShowManagePrivacyRelationships"`
	EnableConversationWindowTabs        *bool          `help:"Clients show conversations as tabs" client:"endpointConfiguration/EnableConversationWindowTabs"`
	CustomStateUrl                      string         `range:"0-1024" help:"Address of a file with further presence states" client:"endpointConfiguration/CustomStateUrl"`
	CustomLinkInErrorMessages           string         `range:"0-1024" help:"Address of a help page that clients show with errors" client:"endpointConfiguration/CustomLinkInErrorMessages"`
	TabURL                              string         `range:"0-1024" help:"Address of a file with tabs of the main window" client:"endpointConfiguration/TabURL"`
}

// ClientPolicy is CsClientPolicy.
var ClientPolicy = define[Client](Kind{Noun: "CsClientPolicy", About: "what the clients of users do", Grant: "ClientPolicy"})
