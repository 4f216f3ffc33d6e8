package cmdlet

import (
	"context"

	"trivet/rule/dirsync"
)

// DirectorySync is the synchronisation with the LDAP directories of the settings.
type DirectorySync interface {
	// States lists how the sources stand, in the order of the settings.
	States() []dirsync.State
	// Update runs a source now, all for "", and returns what each came to. With an
	// error the results are those of the sources before it. fault.Stale when the
	// directory does not ask for the approved plan any more.
	Update(ctx context.Context, source string, o dirsync.Options) ([]dirsync.Result, error)
	// Removed lists the entries whose users an administrator deleted here.
	Removed(ctx context.Context, source string) ([]string, error)
	// Readmit lets the next run make such users again: "*", or who goes by identity.
	Readmit(ctx context.Context, source, identity string) (int, error)
}
