package policy

// Presence are the limits of one user's presence.
type Presence struct {
	MaxCategorySubscription int `default:"1000" range:"0-3000" help:"Most categories of the user that others subscribe to at a time; a client takes up to five for a contact. 0: nobody can subscribe" server:"refuses further subscriptions to the user"`
	MaxPromptedSubscriber   int `default:"200" range:"0-600" help:"Most people who added the user and wait for the answer. 0: the user is not asked" server:"keeps no more prompts"`
}

// PresencePolicy is CsPresencePolicy.
var PresencePolicy = define[Presence](Kind{
	Noun: "CsPresencePolicy", About: "limits of the presence of users", Grant: "PresencePolicy",
	Shipped: []Shipped{{"Service: Medium", Values{"MaxPromptedSubscriber": "0"}}},
})
