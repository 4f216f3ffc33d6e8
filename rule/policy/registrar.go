package policy

// Registrar are the limits of registrations.
type Registrar struct {
	MinEndpointExpiration     int `default:"60" range:"1-86400" unit:"seconds" help:"Shortest lifetime of a registration" server:"answers 423 with Min-Expires"`
	DefaultEndpointExpiration int `default:"7200" range:"1-86400" unit:"seconds" help:"Lifetime of a registration when the client asks for none; a standard SIP client gets an hour at most" server:"gives it in Expires"`
	MaxEndpointExpiration     int `default:"28800" range:"1-86400" unit:"seconds" help:"Longest lifetime of a registration" server:"cuts longer wishes"`
	MaxEndpointsPerUser       int `default:"8" range:"1-64" help:"Most endpoints of a user" server:"refuses further endpoints"`
	// BackupStoreUnavailableThreshold is about pools: a Standard Edition server has no Back End.
	BackupStoreUnavailableThreshold int `default:"1800" range:"0-86400" unit:"seconds" help:"How long the Back End of a pool may be away before lists and conferences cannot be changed" server:"refuses such changes with 503 until it is back"`
}

// RegistrarConfiguration is CsRegistrarConfiguration.
var RegistrarConfiguration = define[Registrar](Kind{
	Noun: "CsRegistrarConfiguration", About: "limits of registrations",
	rule: between(func(r *Registrar) error {
		if r.MinEndpointExpiration > r.DefaultEndpointExpiration || r.DefaultEndpointExpiration > r.MaxEndpointExpiration {
			return invalid("DefaultEndpointExpiration", "DefaultEndpointExpiration needs to lie from MinEndpointExpiration to MaxEndpointExpiration, which would be %d to %d seconds, not at %d",
				r.MinEndpointExpiration, r.MaxEndpointExpiration, r.DefaultEndpointExpiration)
		}
		return nil
	}),
})
