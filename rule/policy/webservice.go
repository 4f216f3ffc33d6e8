package policy

// WebService is what the web services do.
type WebService struct {
	UseWindowsAuth       string `default:"Negotiate" values:"Negotiate|NTLM|None" help:"Sign-in to the web services beside a password: Kerberos and NTLM, NTLM alone, neither" server:"offers it"`
	EnableGroupExpansion bool   `default:"true" help:"Clients may ask who is in a distribution group" server:"refuses it where it is off"`
	MaxGroupSizeToExpand int    `default:"100" range:"1-1000" help:"Largest group that is expanded" server:"refuses larger ones"`
}

// WebServiceConfiguration is CsWebServiceConfiguration.
var WebServiceConfiguration = define[WebService](Kind{Noun: "CsWebServiceConfiguration", About: "what the web services do"})
