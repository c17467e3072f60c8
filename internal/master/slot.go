package master

import (
	"context"
	"net"
)

// maxSpare is how many slots wait for work. A goroutine of its own for each
// connection would have its stack grown anew each time, which cost more than
// the reading of its request.
const maxSpare = 32

// A slot is a goroutine that serves one connection after the other.
type slot struct {
	e      *engine
	ctx    context.Context
	cancel context.CancelCauseFunc
	dog    *watchdog
}

func (e *engine) newSlot() *slot {
	s := &slot{e: e}
	ctx, cancel := context.WithCancelCause(e.stop)
	s.cancel = cancel
	s.dog = newWatchdog(e.Watchdog, e.StopGrace,
		func() {
			cancel(ErrWatchdog) // first: the log may be what it waits for
			e.Log.Warningf("%v: a delivery made no progress for daemon_timeout (%v)", ErrWatchdog, e.Watchdog)
		},
		func() { s.end(true) })
	s.ctx = context.WithValue(ctx, watchdogKey{}, s.dog)
	return s
}

// run serves conn, and then what e.work has.
func (s *slot) run(conn net.Conn) {
	defer s.cancel(nil)
	for ok := true; ok; conn, ok = s.next() {
		s.dog.start()
		s.e.handle(s.ctx, conn)
		lost := s.dog.stop()
		_ = conn.Close()
		if !lost {
			s.end(false)
		}
	}
}

// next waits for another connection, unless enough others do.
func (s *slot) next() (net.Conn, bool) {
	if s.ctx.Err() != nil { // the watchdog has ended it, or all has to end
		return nil, false
	}
	defer s.e.spare.Add(-1)
	if s.e.spare.Add(1) > maxSpare {
		return nil, false
	}
	conn, ok := <-s.e.work
	return conn, ok
}

// end says that a handler has ended.
func (s *slot) end(lost bool) {
	s.e.ended <- ending{lost}
	s.e.wake.wake()
}
