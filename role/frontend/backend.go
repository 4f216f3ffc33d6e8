package frontend

import (
	"context"
	"encoding/json"
	"time"

	"trivet/fault"
	"trivet/rule/groupstate"
	"trivet/rule/mirroring"
	"trivet/rule/poolstate"
	"trivet/rule/witness"
	"trivet/service/backstore"
	"trivet/store/backend"
	"trivet/uc"
)

// openBackEnd makes the way to the databases of the pool, which need not be there yet,
// and watches over them.
func (m *member) openBackEnd(context.Context) error {
	be := m.fabric.pool.BackEnd
	if be == nil {
		return nil
	}
	cfg := backend.Config{Pool: m.pool, Primary: be.Primary.Address, User: be.User, PassFile: be.PasswordFile, CA: be.CA}
	if be.Mirror != nil {
		cfg.Mirror = be.Mirror.Address
	}
	store, err := backend.Open(cfg)
	if err != nil {
		return err
	}
	m.life.Add("Back End", 5*time.Second, func(context.Context) error { store.Close(); return nil })
	m.backEnd = &backEnd{store: store}
	if store.Mirrored() {
		m.backEnd.mirroring = backstore.NewMirroring(store, pairWitness{m}, m.clock, m.log)
	}
	m.life.Go("databases of the Back End", m.equip)
	return nil
}

// equip sees to it that the databases exist: who gives the servers the administrator's
// password, in the password file, has them made.
func (m *member) equip(ctx context.Context) error {
	for told := false; ; {
		bad := 0
		var why error
		for _, err := range m.backEnd.store.Test(ctx) {
			if err != nil {
				bad++
				why = err
			}
		}
		if bad == 0 {
			return nil
		}
		if done, err := m.backEnd.store.Install(ctx, ""); err == nil {
			m.log.Info("the databases of the Back End were made", "done", done)
		} else if !told {
			told = true
			m.log.Warn("the Back End cannot be used yet; Install-CsDatabase makes its databases", "err", why, "install", err)
		}
		if pause(ctx, m.clock, 5*time.Second) != nil {
			return nil
		}
	}
}

// startMirroring watches over the pair, once the pool group is there.
func (m *member) startMirroring() {
	if m.backEnd == nil || m.backEnd.mirroring == nil {
		return
	}
	m.fabric.links.Serve(callLost, func(context.Context, uc.ServerFQDN, []byte) ([]byte, error) {
		return json.Marshal(m.backEnd.mirroring.Lost())
	})
	m.backEnd.mirroring.Start(m.life)
}

// poolExisted reports whether the Back End has ever heard of the pool: a row of the
// witness is made when somebody first stands for election, and when the pool is opened.
func (m *member) poolExisted(ctx context.Context) (existed bool, err error) {
	if m.backEnd == nil {
		return false, nil
	}
	limited, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err = m.backEnd.store.Update(limited, []uc.GroupID{uc.PoolGroup}, func(rows map[uc.GroupID]witness.Row) map[uc.GroupID]witness.Row {
		existed = rows[uc.PoolGroup] != witness.Row{}
		return nil
	})
	return existed, err
}

// markOpened leaves word in the Back End that the pool exists, for servers that come with
// nothing when no other runs.
func (m *member) markOpened(ctx context.Context) error {
	for m.backEnd != nil {
		limited, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := m.backEnd.store.Update(limited, []uc.GroupID{uc.PoolGroup}, func(rows map[uc.GroupID]witness.Row) map[uc.GroupID]witness.Row {
			row := rows[uc.PoolGroup]
			if row != (witness.Row{}) {
				return nil
			}
			return map[uc.GroupID]witness.Row{uc.PoolGroup: {Term: 1}}
		})
		cancel()
		if err == nil || pause(ctx, m.clock, 5*time.Second) != nil {
			return nil
		}
	}
	return nil
}

// callLost asks a server whether it has lost sight of the principal.
const callLost = "backend.lost"

// pairWitness is the Front Ends as witness of the pair of database servers.
type pairWitness struct{ *member }

var _ backstore.Witnesses = pairWitness{}

func (w pairWitness) Pair() mirroring.Pair { return w.fabric.state().Pair }

func (w pairWitness) Leads() bool {
	g := w.fabric.groupStarted()
	return g != nil && g.Status().Primary
}

func (w pairWitness) SetPair(ctx context.Context, from, to mirroring.Pair) error {
	_, err := w.fabric.propose(ctx, &poolstate.PutPair{Old: from, New: to})
	return err
}

func (w pairWitness) Survey(ctx context.Context) (members, lost int) {
	for _, name := range w.fabric.connected() {
		limited, cancel := context.WithTimeout(ctx, 2*time.Second)
		b, err := w.fabric.links.Call(limited, name, callLost, nil)
		cancel()
		var is bool
		if err != nil || json.Unmarshal(b, &is) != nil {
			continue
		}
		members++
		if is {
			lost++
		}
	}
	return members, lost
}

// copied is a routing group as its copy in the Back End sees it.
type copied struct{ *group }

var _ backstore.Group = copied{}

func (c copied) ID() uc.GroupID { return c.id }

func (c copied) Primary() (term uint64, primary bool) {
	st := c.raft.Status()
	return st.Term, st.Primary
}

func (c copied) View(ctx context.Context, f func(index uint64, s *groupstate.State)) error {
	led := true
	err := c.raft.Inspect(ctx, func() {
		st := c.raft.Status()
		if led = st.Primary; led {
			f(st.Applied, c.state)
		}
	})
	if err == nil && !led {
		err = fault.Newf(fault.NotPrimary, "frontend.View", "this server does not lead routing group %d", c.id)
	}
	return err
}

// copyToBackEnd keeps the copy of what is led here.
func (s *server) copyToBackEnd(context.Context) error {
	if s.backEnd == nil {
		return nil
	}
	cfg := backstore.Config{Copies: s.backEnd.store, Clock: s.clock, Metrics: s.metrics, Log: s.log}
	for _, x := range s.routing {
		cfg.Groups = append(cfg.Groups, copied{x})
	}
	s.copies = backstore.New(cfg)
	for _, x := range s.routing {
		s.follows(x.raft.Observe(func(index uint64, events []any) { s.copies.Observe(x.id, index, events) }))
	}
	s.copies.Start(s.life)
	s.groups.limited = s.limited
	return nil
}

// limited says since when the Back End has been away for longer than the threshold: the
// server then takes no change that is to outlive a pool (resiliency mode).
func (s *server) limited() bool {
	since, away := s.copies.Unavailable()
	threshold := time.Duration(s.policies.Registrar().BackupStoreUnavailableThreshold) * time.Second
	return away && s.clock.Now().Sub(since) >= threshold
}

// lasting are the commands that change what a user keeps: lists, access, conferences.
// They are refused in resiliency mode.
func lasting(cmd groupstate.Command) bool {
	switch cmd.(type) {
	case *groupstate.SetContact, *groupstate.DeleteContact, *groupstate.AddGroup, *groupstate.ModifyGroup, *groupstate.DeleteGroup,
		*groupstate.SetContainers, *groupstate.AddConference, *groupstate.ModifyConference, *groupstate.SetConferenceRole, *groupstate.DeleteConference,
		*groupstate.ImportUser:
		return true
	}
	return false
}

// refuseLasting is the refusal of resiliency mode, nil outside it.
func (g *groups) refuseLasting(user uc.UserURI, cmd groupstate.Command) error {
	if g.limited == nil || !lasting(cmd) || !g.limited() {
		return nil
	}
	e := fault.New(fault.Unavailable, "frontend.groups", "the Back End of the pool has been away for too long: lists and conferences cannot be changed until it is back").About(string(user))
	e.RetryAfter = time.Minute
	return e
}
