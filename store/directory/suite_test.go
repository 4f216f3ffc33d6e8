package directory_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"trivet/kit/clock"
	rule "trivet/rule/directory"
	"trivet/store/central"
	"trivet/store/users"
	"trivet/test/storetest"
)

type stopped struct{ clock.Real }

func (stopped) Now() time.Time { return storetest.Now }

// turns reads on the first server of a pool and writes on one after the other.
type turns struct {
	*users.SQLite
	p *pool
	n atomic.Int64
}

func (s *turns) next() *users.SQLite { return s.p.on[s.n.Add(1)%3].users }

func (s *turns) Create(ctx context.Context, list ...users.New) ([]users.User, error) {
	return s.next().Create(ctx, list...)
}

func (s *turns) Update(ctx context.Context, guid string, change func(*users.User) error) (users.User, error) {
	return s.next().Update(ctx, guid, change)
}

func (s *turns) Batch(ctx context.Context, mode users.BatchMode, list []users.Write) ([]users.Outcome, error) {
	return s.next().Batch(ctx, mode, list)
}

func (s *turns) Renamed(ctx context.Context, r users.Rename) error { return s.next().Renamed(ctx, r) }

func (s *turns) SetSecrets(ctx context.Context, guid string, c users.Secrets) error {
	return s.next().SetSecrets(ctx, guid, c)
}

func (s *turns) Delete(ctx context.Context, guid string) error { return s.next().Delete(ctx, guid) }

func (s *turns) DeleteIf(ctx context.Context, guid string, allow func(*users.User) error) error {
	return s.next().DeleteIf(ctx, guid, allow)
}

func (s *turns) AddCertificate(ctx context.Context, c users.Certificate) error {
	return s.next().AddCertificate(ctx, c)
}

func (s *turns) Revoke(ctx context.Context, guid, serial string) ([]users.Certificate, error) {
	return s.next().Revoke(ctx, guid, serial)
}

func (s *turns) PurgeCertificates(ctx context.Context, t time.Time) (int, error) {
	return s.next().PurgeCertificates(ctx, t)
}

func (s *turns) CreateGroup(ctx context.Context, g users.Group, members ...rule.Member) (users.Group, error) {
	return s.next().CreateGroup(ctx, g, members...)
}

func (s *turns) UpdateGroup(ctx context.Context, guid string, change func(*users.Group) error) (users.Group, error) {
	return s.next().UpdateGroup(ctx, guid, change)
}

func (s *turns) DeleteGroup(ctx context.Context, guid string) error {
	return s.next().DeleteGroup(ctx, guid)
}

func (s *turns) AddMembers(ctx context.Context, guid string, list ...rule.Member) (int, error) {
	return s.next().AddMembers(ctx, guid, list...)
}

func (s *turns) RemoveMembers(ctx context.Context, guid string, list ...rule.Member) (int, error) {
	return s.next().RemoveMembers(ctx, guid, list...)
}

func (s *turns) SetMembers(ctx context.Context, guid string, list ...rule.Member) (int, error) {
	return s.next().SetMembers(ctx, guid, list...)
}

func (s *turns) SetPhoto(ctx context.Context, guid string, data []byte) (users.Photo, error) {
	return s.next().SetPhoto(ctx, guid, data)
}

func (s *turns) RemovePhoto(ctx context.Context, guid string) error {
	return s.next().RemovePhoto(ctx, guid)
}

// TestUsersSuite: the store behaves in a pool as it does alone, whichever server is
// asked, and all files are alike afterwards.
func TestUsersSuite(t *testing.T) {
	t.Parallel()
	storetest.Users(t, func(t *testing.T) users.Store {
		p := newPool(t, 0, stopped{})
		t.Cleanup(p.alike)
		return &turns{SQLite: p.on[0].users, p: p}
	})
}

// TestCentralSuite is the same with the others behind.
func TestCentralSuite(t *testing.T) {
	t.Parallel()
	storetest.Central(t, func(t *testing.T) central.Store {
		p := newPool(t, 1, stopped{})
		t.Cleanup(p.alike)
		return p.on[1].config
	})
}
