package master

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrStopping is the cause of a handler's cancelled context when "postfix stop"
// has sent SIGTERM.
var ErrStopping = errors.New("the mail system is stopping")

// ErrWatchdog is the cause of a handler's cancelled context when daemon_timeout
// has expired, and the error of [Serve] when a handler had to be given up.
var ErrWatchdog = errors.New("watchdog timeout")

// DefaultStopGrace is the time that handlers get to end after SIGTERM. Postfix
// kills what is left after five seconds.
const DefaultStopGrace = 4 * time.Second

// Handler serves one connection. The context is cancelled when the process is
// told to stop ([ErrStopping]) or the handler made no progress for too long
// ([ErrWatchdog]), never because the process drains. Serve closes conn after
// the handler has returned.
type Handler func(ctx context.Context, conn net.Conn)

// Settings are the settings of [Serve].
type Settings struct {
	Process *Process // from [PreJail]

	// Bound is how many handlers run at once; 1 selects the classic model.
	Bound int
	// MaxUse is how many connections the process serves for each slot, so
	// MaxUse times Bound in all; 0 for any number (max_use).
	MaxUse int
	// MaxIdle is how long the process lives without work; 0 for ever
	// (max_idle).
	MaxIdle time.Duration
	// StopGrace is the time that handlers get after SIGTERM; 0 means
	// [DefaultStopGrace].
	StopGrace time.Duration
	// Watchdog is how long one handler, and the main loop, may go without
	// progress; 0 for any time (daemon_timeout).
	Watchdog time.Duration
	// Changed, if not nil, is asked before each accept why the process should
	// make room for another one: for the log, "table X has changed".
	Changed func() (why string, changed bool)
	// Log must not be nil.
	Log Logger
}

// Serve accepts connections and hands them to handle until it is time for the
// process to end: then it returns nil, and the process must exit with status
// 0. An error calls for a status other than 0. A cancelled ctx has the effect
// of SIGTERM.
//
// Serve does not recover a panic in handle.
func Serve(ctx context.Context, s Settings, handle Handler) error {
	if s.StopGrace <= 0 {
		s.StopGrace = DefaultStopGrace
	}
	wake, err := newWatcher()
	if err != nil {
		return err
	}
	stop, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer catchSignals(func() { cancel(ErrStopping) })()
	defer context.AfterFunc(stop, wake.wake)()
	e := &engine{
		Settings: s,
		inv:      s.Process.inv,
		handle:   handle,
		stop:     stop,
		wake:     wake,
		work:     make(chan net.Conn),
		ended:    make(chan ending, max(s.Bound, 1)),
	}
	defer close(e.work)
	e.alarm = newAlarm(s.Watchdog, s.StopGrace, func() { e.stuck(cancel) })
	defer e.alarm.stop()
	switch {
	case e.inv.OneShot:
		return e.oneShot()
	case s.Bound > 1:
		return newWorker(e).run()
	default:
		return e.classic()
	}
}

// catchSignals calls stop on SIGTERM and disarms the signals that mean nothing
// to a delivery agent. The function that it returns undoes it.
func catchSignals(stop func()) (undo func()) {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	// Caught, not ignored: an ignored signal would stay so in a new program.
	deaf := make(chan os.Signal, 1)
	signal.Notify(deaf, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGXFSZ)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-term:
				stop()
			case <-deaf:
			case <-done:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		signal.Stop(term)
		signal.Stop(deaf)
		close(done)
	})
}

// engine is what the process models have in common.
type engine struct {
	Settings
	inv    Invocation
	handle Handler
	stop   context.Context // cancelled by SIGTERM
	wake   *watcher
	work   chan net.Conn // to a slot that waits for work
	spare  atomic.Int32  // slots that do
	ended  chan ending
	again  time.Time // no accept before it: the last one has failed
	alarm  *alarm
}

// ending is the end of one handler.
type ending struct {
	lost bool // the watchdog gave it up: it may still run
}

// start runs the handler for conn in a slot: one that waits for work, or a new
// one. The end of the handler, one and only one, goes to e.ended, and the waker
// says so.
func (e *engine) start(conn net.Conn) {
	select {
	case e.work <- conn:
	default:
		go e.newSlot().run(conn)
	}
}

// serve runs the handler for conn and waits for its end, or, after SIGTERM, for
// as long as it has to stop.
func (e *engine) serve(conn net.Conn) error {
	e.alarm.stop() // the handler has a watchdog of its own
	defer e.alarm.pat()
	e.start(conn)
	var last ending
	select {
	case last = <-e.ended:
	case <-e.stop.Done():
		select {
		case last = <-e.ended:
		case <-time.After(e.StopGrace):
		}
	}
	if last.lost {
		return ErrWatchdog
	}
	return nil
}

func (e *engine) stopping() bool { return e.stop.Err() != nil }

// listening returns the sockets to accept from, or none and the time from when
// on to try again.
func (e *engine) listening() (fds []int, again time.Time) {
	if time.Now().Before(e.again) {
		return nil, e.again
	}
	return e.inv.listeners(), time.Time{}
}

// accept takes a connection, or none. A failure, such as having no descriptors
// left, is logged and holds the next attempt up for a second.
func (e *engine) accept(fd int) net.Conn {
	conn, err := accept(fd)
	if err != nil {
		e.Log.Warningf("%v", err)
		e.again = time.Now().Add(time.Second)
	}
	return conn
}

// earliest of two times, of which the zero time stands for never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// changed says whether something calls for a new process, such as a table.
func (e *engine) changed() bool {
	if e.Changed == nil {
		return false
	}
	why, changed := e.Changed()
	if changed {
		e.Log.Infof("%s -- restarting", why)
	}
	return changed
}

// trace logs the turns of the process's life, if asked by -v.
func (e *engine) trace(format string, args ...any) {
	if e.inv.Verbose > 0 {
		e.Log.Infof("%s", fmt.Sprintf(format, args...))
	}
}
