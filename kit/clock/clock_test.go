package clock

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestReal runs on the time of a bubble, where waiting takes no time.
func TestReal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Clock = Real{}
		begin := c.Now()
		if !begin.Equal(time.Now()) {
			t.Errorf("it is %v, not %v", time.Now(), begin)
		}
		called := make(chan time.Duration, 9)
		call := func() { called <- time.Since(begin) }
		c.AfterFunc(time.Minute, call)
		if d := <-called; d != time.Minute {
			t.Errorf("called after %v", d)
		}

		timer := c.AfterFunc(time.Minute, call)
		if !timer.Stop() || timer.Stop() {
			t.Error("Stop prevents the call once")
		}
		if timer.Reset(2 * time.Minute) {
			t.Error("Reset of a stopped timer says that it ran")
		}
		if d := <-called; d != 3*time.Minute {
			t.Errorf("called after %v", d)
		}
		if timer.Stop() {
			t.Error("Stop prevents a call that was made")
		}

		ticker := c.NewTicker(time.Second)
		for i := range 3 {
			if at := <-ticker.C(); at.Sub(begin) != 3*time.Minute+time.Duration(i+1)*time.Second {
				t.Errorf("tick %d comes after %v", i, at.Sub(begin))
			}
		}
		ticker.Stop()
		timer.Reset(time.Hour)
		<-called
		if len(ticker.C()) != 0 {
			t.Error("a stopped ticker ticks")
		}
	})
}
