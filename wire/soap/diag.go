package soap

// The ErrorId numbers of [MS-OCER] 7.22 that are sent in faults and in the header
// X-Ms-diagnostics.
const (
	DiagNotEnabled    = 28000 // authenticated, but not enabled for SIP
	DiagInternal      = 28001
	DiagNoToken       = 28020 // no valid security token
	DiagInvalidTicket = 28032
	DiagExpiredTicket = 28033
)
