package frontend

import (
	"testing"

	"trivet/rule/groupstate"
)

func TestFollowerKeepsTheOrder(t *testing.T) {
	t.Parallel()
	f := follower{wake: make(chan struct{}, 1)}
	if f.last() != nil {
		t.Error("there is something to wait for before anything changed")
	}
	f.add(chase{cmd: &groupstate.RemoveUser{}})
	f.add(chase{cmd: &groupstate.EnableUser{}})
	all := f.last()
	c, _ := f.first()
	if _, ok := c.cmd.(*groupstate.RemoveUser); !ok {
		t.Errorf("%T comes first", c.cmd)
	}
	f.finish(c)
	select {
	case <-all:
		t.Error("all is said to be done before the last command")
	case <-c.done:
	}
	if c, ok := f.first(); ok {
		f.finish(c)
	}
	<-all
	if _, ok := f.first(); ok || f.last() != nil {
		t.Error("something is left")
	}
}
