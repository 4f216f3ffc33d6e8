package directory_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"trivet/store/users"
)

// BenchmarkUpdate is the cost of a write, alone and with three copies in one
// process (the log itself is in memory).
func BenchmarkUpdate(b *testing.B) {
	for name, open := range engines {
		b.Run(name, func(b *testing.B) {
			s := open(b)
			made, err := s.Create(b.Context(), newUser("a"))
			if err != nil {
				b.Fatal(err)
			}
			for i := 0; b.Loop(); i++ {
				if _, err := s.Update(b.Context(), made[0].GUID, func(u *users.User) error { u.Title = fmt.Sprint(i); return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkImport is the cost of 5,000 users in one batch.
func BenchmarkImport(b *testing.B) {
	for name, open := range engines {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s := open(b)
				list := make([]users.Write, 5_000)
				for i := range list {
					n := newUser(fmt.Sprint("u", i))
					list[i].New = &n
				}
				if out, err := s.Batch(b.Context(), users.AllOrNothing, list); err != nil || out[0].Refused != nil {
					b.Fatal(err, out[0].Refused)
				}
			}
		})
	}
}

var engines = map[string]func(b *testing.B) *users.SQLite{
	"alone": func(b *testing.B) *users.SQLite {
		s, err := users.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "users.db"), users.Options{Groups: 4})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		return s
	},
	"three copies": func(b *testing.B) *users.SQLite { return newPool(b, 0, nil).on[0].users },
}
