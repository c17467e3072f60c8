package master

import (
	"context"
	"sync"
	"time"
)

type watchdogKey struct{}

// watchdog limits the time of one handler. It has two steps: cancel the
// handler's context, and give the handler up.
type watchdog struct {
	mu    sync.Mutex
	timer *time.Timer // nil once stopped
	limit time.Duration
	fired bool
}

// startWatchdog arms a watchdog: after limit it calls bark, and after grace
// more, unless stopped, bite. A limit of zero or less disarms it.
func startWatchdog(limit, grace time.Duration, bark, bite func()) *watchdog {
	w := &watchdog{limit: limit}
	if limit <= 0 {
		return w
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(limit, func() {
		w.mu.Lock()
		if w.timer == nil || w.fired {
			w.mu.Unlock()
			return
		}
		w.fired = true
		w.timer = time.AfterFunc(grace, bite)
		w.mu.Unlock()
		bark()
	})
	return w
}

func (w *watchdog) pat() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil && !w.fired {
		w.timer.Reset(w.limit)
	}
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}

// Pat starts the daemon_timeout of a handler anew: it has made progress. The
// context is the one that [Serve] gave to the handler, or made from it.
func Pat(ctx context.Context) {
	if w, ok := ctx.Value(watchdogKey{}).(*watchdog); ok {
		w.pat()
	}
}
