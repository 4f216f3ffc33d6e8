// Package load is a load generator: it plays a published user model against a
// server over real connections. Each simulated endpoint signs in, subscribes,
// publishes and talks as a Lync client does.
//
// The model is open: what happens when is drawn from a seed before anything is
// sent and does not wait for answers. What the generator itself does late is
// counted, and every latency is measured from the intended time, so that a server
// that stalls cannot hide it.
//
// A Run owns its goroutines: one that follows the agenda, one reader per
// connection, one for each connection being made or being written to slowly.
// They end before Run returns.
package load
