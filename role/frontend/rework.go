package frontend

import (
	"context"
	"errors"
	"time"

	"trivet/fault"
	"trivet/replica"
	"trivet/rule/groupstate"
	"trivet/rule/poolstate"
	"trivet/uc"
)

// Some things can only be done to a server while its services do not run: a group that
// is recovered is another group to everybody who holds it. Such work is handed to the
// goroutine that starts and stops the services.

// job is such work.
type job struct {
	what string
	do   func(ctx context.Context) error
	done chan error
}

// errRework ends the services for a moment.
var errRework = errors.New("the services are started anew")

// rework has the services stopped, does something, and has them started again; it
// returns when that something is done.
func (m *member) rework(ctx context.Context, what string, do func(ctx context.Context) error) error {
	j := &job{what, do, make(chan error, 1)}
	select {
	case m.jobs <- j:
	case <-ctx.Done():
		return fault.New(fault.Timeout, "frontend.rework", "the server is busy with starting or stopping its services; try again").Because(ctx.Err())
	case <-m.life.Context().Done():
		return fault.New(fault.Unavailable, "frontend.rework", "the server is stopping")
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return fault.New(fault.Timeout, "frontend.rework", "the work goes on, and its end was not waited for").Because(ctx.Err())
	}
}

// carryOut does a job while no services run.
func (m *member) carryOut(ctx context.Context, j *job) {
	m.log.Info("services are stopped for a moment", "because", j.what)
	j.done <- j.do(ctx)
}

// replaceGroup puts a group that was begun anew in the place of the former one.
func (m *member) replaceGroup(id uc.GroupID, begin func(replica.Machine) (*replica.Group, error)) error {
	switch {
	case id == uc.PoolGroup:
		g, err := begin(poolMachine{poolstate.New(), m.fabric})
		if err == nil {
			m.fabric.started.Store(g)
		}
		return err
	case id == uc.DirectoryGroup:
		g, err := begin(m.directory)
		if err == nil {
			m.directoryGroup = g
			m.directory.Serve(directoryGroup{g})
		}
		return err
	case int(id) > len(m.routing):
		return fault.Newf(fault.NotFound, "frontend.replaceGroup", "this server has no routing group %d", id)
	}
	state := groupstate.New()
	g, err := begin(machine{state})
	if err == nil {
		m.routing[id-1] = newGroup(id, g, state)
	}
	return err
}

// rebuild gives the copies of groups up and begins them with nothing, to be sent what the
// others have.
func (m *member) rebuild(ctx context.Context, ids []uc.GroupID) error {
	for _, id := range ids {
		if err := m.host.Stop(ctx, id, true); err != nil {
			return err
		}
		if id == uc.DirectoryGroup {
			if err := m.directory.Forget(ctx); err != nil {
				return err
			}
		}
		if err := m.replaceGroup(id, func(x replica.Machine) (*replica.Group, error) {
			return m.host.Start(ctx, id, x, replica.Members{})
		}); err != nil {
			return err
		}
		m.log.Warn("the copy of a group on this server was given up, since the group was recovered without it", "group", id)
	}
	return nil
}

// watchCopies gives up copies that the others have recovered a group without.
func (m *member) watchCopies(ctx context.Context) error {
	for pause(ctx, m.clock, time.Second) == nil {
		var ids []uc.GroupID
		for _, st := range m.host.Status() {
			if st.Superseded {
				ids = append(ids, st.Group)
			}
		}
		if len(ids) == 0 {
			continue
		}
		if err := m.rework(ctx, "copies of groups count no more", func(ctx context.Context) error { return m.rebuild(ctx, ids) }); err != nil && ctx.Err() == nil {
			m.log.Error("copies that count no more could not be given up; trying again", "groups", ids, "err", err)
		}
	}
	return nil
}
