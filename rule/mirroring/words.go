package mirroring

// Words of Get-CsDatabaseMirrorState.
const (
	WordPrincipal     = "Principal"
	WordMirror        = "Mirror"
	WordInaccessible  = "DatabaseInaccessibleOrMirroringNotEnabled"
	WordSynchronized  = "synchronized"
	WordSynchronizing = "synchronizing"
	WordDisconnected  = "disconnected"
)

// Role is what a server is in its pair, in the product's words. A former principal that
// has come back with its old data is neither.
func (s Server) Role(p Pair) string {
	switch {
	case !s.Reached:
		return WordInaccessible
	case s.Principal && p.Principal() == s.Side:
		return WordPrincipal
	case !s.Principal && p.Principal() != s.Side:
		return WordMirror
	}
	return WordInaccessible
}

// Status is how the mirroring does as seen from a server, other being the other one.
func (s Server) Status(other Server) string {
	principal := s
	if !s.Principal {
		principal = other
	}
	switch {
	case !s.Reached:
		return WordInaccessible
	case !s.Attached:
		return WordDisconnected
	case principal.Reached && principal.Synchronized:
		return WordSynchronized
	}
	return WordSynchronizing
}
