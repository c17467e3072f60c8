package master

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

type watchdogKey struct{}

// watchdog limits the time of one handler after the other. It has two steps:
// cancel the handler's context, and give the handler up. After that it is not
// used again.
type watchdog struct {
	limit, grace time.Duration
	bark, bite   func()

	mu    sync.Mutex
	timer *time.Timer // nil: no limit, or never started
	due   time.Time   // not before it: the timer may be late for the last handler
	on    bool
	fired bool
	bit   bool
}

// newWatchdog makes a watchdog: limit after its start it calls bark, and after
// grace more, unless stopped, bite. A limit of zero or less disarms it.
func newWatchdog(limit, grace time.Duration, bark, bite func()) *watchdog {
	return &watchdog{limit: limit, grace: grace, bark: bark, bite: bite}
}

// start arms the watchdog, unless it has fired.
func (w *watchdog) start() {
	if w.limit <= 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = true
	if !w.fired {
		w.set(w.limit)
	}
}

// set has the timer go off after d. The lock must be held.
func (w *watchdog) set(d time.Duration) {
	w.due = time.Now().Add(d)
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.expire)
		return
	}
	w.timer.Reset(d)
}

// expire is called by the timer.
func (w *watchdog) expire() {
	w.mu.Lock()
	if !w.on || w.bit || time.Now().Before(w.due) {
		w.mu.Unlock()
		return
	}
	act := w.bark
	if w.fired {
		w.bit, act = true, w.bite
	} else {
		w.fired = true
		w.set(w.grace)
	}
	w.mu.Unlock()
	act()
}

func (w *watchdog) pat() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.on && w.timer != nil && !w.fired {
		w.set(w.limit)
	}
}

// stop disarms the watchdog, and tells whether the handler was given up.
func (w *watchdog) stop() (lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.on = false
	if w.timer != nil {
		w.timer.Stop()
	}
	return w.bit
}

// Pat starts the daemon_timeout of a handler anew: it has made progress. The
// context is the one that [Serve] gave to the handler, or made from it.
func Pat(ctx context.Context) {
	if w, ok := ctx.Value(watchdogKey{}).(*watchdog); ok {
		w.pat()
	}
}

// alarm ends the process when its main loop does not come round any more: a
// call that never returns, such as a look at a table on a dead file server, or
// a mistake of ours. Nobody would accept connections then, and master(8) would
// wait for ever. The watchdogs of single deliveries do not see that.
type alarm struct {
	timer *time.Timer // nil: no limit
	limit time.Duration
	turns atomic.Uint64
}

// newAlarm arms an alarm: it rings when nobody has patted it for limit and
// grace. The grace is for a process that was not allowed to run for a while: it
// has to show first that it does not come round. A limit of zero or less
// disarms the alarm.
func newAlarm(limit, grace time.Duration, ring func()) *alarm {
	a := &alarm{limit: limit}
	if limit <= 0 {
		return a
	}
	a.timer = time.AfterFunc(limit, func() {
		turns := a.turns.Load()
		time.Sleep(grace)
		if a.turns.Load() == turns {
			ring()
		}
	})
	return a
}

// pat says that the loop has come round. It also arms the alarm after a stop.
func (a *alarm) pat() {
	a.turns.Add(1)
	if a.timer != nil {
		a.timer.Reset(a.limit)
	}
}

func (a *alarm) stop() {
	a.turns.Add(1)
	if a.timer != nil {
		a.timer.Stop()
	}
}

// round is when the loop has to come round at the latest, the zero time if
// there is no limit.
func (a *alarm) round() time.Time {
	if a.timer == nil {
		return time.Time{}
	}
	return time.Now().Add(a.limit / 3)
}

// stuck is what the alarm rings: deliveries in flight are told to end, as by
// SIGTERM, and the process exits with a failure when they had the time for it.
// What they did not finish stays in the queue.
func (e *engine) stuck(cancel context.CancelCauseFunc) {
	cancel(ErrStopping)
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		e.Log.Warningf("%v: no turn of the main loop within daemon_timeout (%v) -- exiting", ErrWatchdog, e.Watchdog)
	}()
	time.Sleep(e.StopGrace)
	select {
	case <-logged:
	case <-time.After(time.Second): // it is the log that is stuck
	}
	os.Exit(1)
}
