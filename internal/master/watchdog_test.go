package master

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var barked, bitten atomic.Int64
		w := newWatchdog(time.Hour, time.Minute,
			func() { barked.Store(int64(time.Since(start))) },
			func() { bitten.Store(int64(time.Since(start))) })
		ctx := context.WithValue(t.Context(), watchdogKey{}, w)
		w.start()
		time.Sleep(40 * time.Minute)
		Pat(ctx)
		time.Sleep(40 * time.Minute)
		synctest.Wait()
		if after := time.Duration(barked.Load()); after != 0 {
			t.Fatalf("barked after %v", after)
		}
		time.Sleep(time.Hour)
		Pat(ctx) // too late
		synctest.Wait()
		bark, bite := time.Duration(barked.Load()), time.Duration(bitten.Load())
		if want := 100 * time.Minute; bark != want || bite != want+time.Minute {
			t.Errorf("barked after %v, bit after %v; want %v and a minute more", bark, bite, want)
		}
		if !w.stop() {
			t.Error("the handler was not given up")
		}
	})
}

func TestWatchdogStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fail := func() { t.Error("a watchdog that was stopped") }
		w := newWatchdog(time.Hour, time.Minute, fail, fail)
		for range 3 { // one handler after the other
			w.start()
			time.Sleep(50 * time.Minute)
			if w.stop() {
				t.Error("lost")
			}
			w.pat()
			time.Sleep(time.Hour)
		}
		late := newWatchdog(time.Hour, time.Minute, func() {}, fail)
		late.start()
		time.Sleep(time.Hour + time.Second)
		if late.stop() {
			t.Error("lost")
		}
		none := newWatchdog(0, time.Minute, fail, fail)
		none.start()
		none.pat()
		none.stop()
		time.Sleep(24 * time.Hour)
	})
	Pat(context.Background())
}

func TestAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var rung atomic.Int64
		a := newAlarm(time.Hour, time.Minute, func() { rung.Store(int64(time.Since(start))) })
		for range 5 { // a loop that comes round
			time.Sleep(time.Until(a.round()))
			a.pat()
		}
		a.stop() // nobody is expected to come round
		time.Sleep(5 * time.Hour)
		a.pat()
		time.Sleep(time.Hour + time.Second) // late, but there
		a.pat()
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if at := time.Duration(rung.Load()); at != 0 {
			t.Fatalf("rung after %v", at)
		}
		a.pat()
		last := time.Since(start)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got, want := time.Duration(rung.Load()), last+time.Hour+time.Minute; got != want {
			t.Errorf("rung after %v, want %v", got, want)
		}
		none := newAlarm(0, time.Minute, func() { t.Error("an alarm without a limit") })
		none.pat()
		none.stop()
		if !none.round().IsZero() {
			t.Error("an alarm without a limit wants to be patted")
		}
	})
}

// A main loop that never comes round: the deliveries in flight are told to stop,
// and the process is gone after daemon_timeout and the time for that, without a
// panic. master(8) starts another one.
func TestStuckMainLoop(t *testing.T) {
	for _, c := range []struct {
		bound string
		exit  int // of the process that master knows
	}{{"bound=1", 1}, {"bound=2", 0}} {
		t.Run(c.bound, func(t *testing.T) {
			m := newMaster(t)
			dead := filepath.Join(m.dir, "dead")
			p := m.start(c.bound, "watchdog_ms=1000", "grace_ms=300", "dead_server="+dead)
			m.connect().done() // once it has served somebody a crash throttles nothing
			first := m.connect()
			if c.bound == "bound=1" {
				first.done()
			}
			gone := watch(t, first.pid)
			m.must(os.WriteFile(dead, nil, 0o600))
			m.dial() // the next connection makes the process look at its tables
			if c.bound != "bound=1" {
				// This one makes progress, so that its own watchdog is content.
				tick := time.NewTicker(100 * time.Millisecond)
				defer tick.Stop()
				answer := first.ask("pat")
				for ; answer == "patted"; answer = first.ask("pat") {
					<-tick.C
				}
				if answer != "cancelled: the mail system is stopping" {
					t.Errorf("the delivery is told %q", answer)
				}
			}
			gone()
			p.exits(c.exit)
			m.logHas("warning: watchdog timeout: no turn of the main loop within daemon_timeout (1s) -- exiting")
			if text := m.log(); strings.Contains(text, "panic") || strings.Contains(text, "goroutine") {
				t.Errorf("log:\n%s", text)
			}
		})
	}
}

// Every slot taken by a delivery that never ends: the worker is gone after
// daemon_timeout.
func TestAllSlotsStuck(t *testing.T) {
	m := newMaster(t)
	p := m.start("bound=3", "watchdog_ms=300", "grace_ms=100")
	var pid int
	for range 3 {
		c := m.connect()
		c.say("hang")
		pid = c.pid
	}
	gone := watch(t, pid)
	p.exits(0)
	gone()
	if n := strings.Count(m.log(), "a delivery made no progress for daemon_timeout (300ms)"); n != 3 {
		t.Errorf("%d deliveries are reported, want 3", n)
	}
}
