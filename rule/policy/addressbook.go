package policy

import "time"

// AddressBook is how the address book is made.
type AddressBook struct {
	RunTimeOfDay               TimeOfDay     `default:"01:30" help:"When the files of the address book are made, by the server's clock" server:"makes them"`
	KeepDuration               int           `default:"30" range:"1-90" unit:"days" help:"How long old files are kept" server:"removes older ones"`
	SynchronizePollingInterval time.Duration `default:"00:05:00" range:"5s-3h" help:"How often the directory is looked at for changes" server:"looks then"`
	MaxDeltaFileSizePercentage int           `default:"20" range:"1-100" unit:"percent" help:"Largest file of differences, in percent of the whole; above it clients take the whole one" server:"makes no larger one"`
	UseNormalizationRules      bool          `default:"true" help:"Phone numbers are brought into one form" server:"applies the rules"`
	IgnoreGenericRules         bool          `default:"false" help:"Only the company's own normalisation rules count" server:"leaves the built-in rules out"`
}

// AddressBookConfiguration is CsAddressBookConfiguration.
var AddressBookConfiguration = define[AddressBook](Kind{Noun: "CsAddressBookConfiguration", About: "how the address book is made"})
