package users

import (
	"database/sql"

	"trivet/uc"
)

// deref returns what a column's pointer points to, as the driver takes it.
func deref(p any) any {
	switch p := p.(type) {
	case *string:
		return *p
	case *bool:
		return *p
	case *int64:
		return *p
	case *sql.NullString:
		return *p
	case *uc.PoolFQDN:
		return string(*p)
	case *uc.GroupID:
		return int64(*p)
	}
	return p
}

func uri(s sql.NullString) uc.UserURI { return uc.UserURI(s.String) }
