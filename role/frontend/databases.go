package frontend

import "trivet/admin/cmdlet"

// Databases are those of the Back End, which a Standard Edition does not have.
func (d deployment) Databases() cmdlet.Databases { return nil }
