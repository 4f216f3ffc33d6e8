package httpd

import "slices"

// Ciphers are the TLS 1.2 suites of every listener of the server, for those of
// SIP to use as well.
func Ciphers() []uint16 { return slices.Clone(ciphers) }
