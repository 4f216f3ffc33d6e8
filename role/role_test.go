package role_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"trivet/fault"
	"trivet/kit/life"
	"trivet/kit/log"
	"trivet/role"
)

func TestStartInOrderAndUndo(t *testing.T) {
	t.Parallel()
	var events []string
	def := func(name string, err error) role.Def {
		return role.Def{Name: name, Start: func(_ context.Context, d role.Deps) error {
			events = append(events, "start "+name)
			if err == nil {
				d.Life.Add(name, time.Second, func(context.Context) error { events = append(events, "stop "+name); return nil })
			}
			return err
		}}
	}
	no := errors.New("no")
	d := role.Deps{Log: log.Discard(), Life: life.New(t.Context(), log.Discard())}
	if err := role.Start(t.Context(), d, def("a", nil), def("b", nil), def("c", no), def("d", nil)); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	if want := []string{"start a", "start b", "start c", "stop b", "stop a"}; !slices.Equal(events, want) {
		t.Errorf("got %v, want %v", events, want)
	}
}

func TestCollocation(t *testing.T) {
	t.Parallel()
	edge, fe := role.Def{Name: "Edge", NotWith: []string{"FrontEnd"}}, role.Def{Name: "FrontEnd"}
	if err := role.Check(fe, edge); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v", err)
	}
	if err := role.Check(fe); err != nil {
		t.Error(err)
	}
}
