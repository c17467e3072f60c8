package master

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// What W tells P, one byte each.
const (
	sayServed  = 'S' // the first request has been served
	sayLeaving = 'D' // no more accepts: P is to leave
)

// worker is the concurrent model. All its state belongs to the goroutine in
// run; the handlers tell it of their end by engine.ended and the waker.
type worker struct {
	*engine
	control   int       // socket to P, -1 once it is closed or if there is none
	active    int       // handlers that run
	accepted  int       // connections so far
	idleSince time.Time // when active became 0
	served    bool      // P has been told that a request was served
	draining  bool      // the listening sockets are closed
	lost      bool      // the watchdog gave a handler up
}

func newWorker(e *engine) *worker {
	w := &worker{engine: e, control: -1, idleSince: time.Now()}
	if e.inv.Control != 0 {
		w.control = e.inv.Control
	}
	return w
}

// run is the life of W. Each turn takes note of handlers that have ended,
// decides whether to go on, and waits for the next event. Only if a slot is
// free it waits for connections as well.
func (w *worker) run() error {
	defer w.drain("")
	for {
		w.reap()
		switch {
		case w.stopping():
			w.drain("")
			w.grace()
			return nil
		case w.draining && w.active == 0:
			if w.lost {
				return ErrWatchdog
			}
			return nil
		case w.draining:
		case w.lost:
			w.drain("a lost delivery -- no more requests")
			continue
		case w.exhausted():
			w.drain("enough requests served -- no more requests")
			continue
		}
		if err := w.turn(); err != nil {
			return err
		}
	}
}

// turn waits for an event and acts upon it.
func (w *worker) turn() error {
	var fds, listeners []int
	var deadline time.Time
	if !w.draining {
		fds = append(fds, statusSocket, w.control)
		if w.active < w.Bound {
			listeners, deadline = w.listening()
		}
		deadline = earliest(deadline, w.idleEnd())
	}
	ready, err := w.wake.wait(append(fds, listeners...), earliest(deadline, w.alarm.round()))
	if err != nil {
		return err
	}
	w.alarm.pat()
	if w.draining || w.stopping() {
		return nil
	}
	if ready[0] {
		w.drain("master disconnect -- no more requests")
		return nil
	}
	if ready[1] {
		w.drain("parent process is gone -- no more requests")
		return nil
	}
	connected := ready[len(fds):]
	if !w.acceptFrom(listeners, connected) && w.idle() {
		w.drain("idle timeout -- exiting")
	}
	return nil
}

// acceptFrom takes one connection from each listener that has one, as far as
// slots are free. It returns false if there was none to take.
func (w *worker) acceptFrom(listeners []int, connected []bool) bool {
	some := false
	for i, fd := range listeners {
		if !connected[i] || w.active >= w.Bound || w.exhausted() {
			continue
		}
		some = true
		if w.changed() {
			w.drain("")
			return true
		}
		if conn := w.accept(fd); conn != nil {
			w.begin(conn)
		}
	}
	return some
}

func (w *worker) begin(conn net.Conn) {
	w.active++
	w.accepted++
	w.start(conn)
}

// reap takes note of handlers that have ended.
func (w *worker) reap() {
	for {
		select {
		case end := <-w.ended:
			w.active--
			w.idleSince = time.Now()
			w.lost = w.lost || end.lost
			if !w.served && !end.lost {
				w.served = true
				w.say(sayServed)
			}
		default:
			return
		}
	}
}

// exhausted says whether max_use has been reached. It counts for each slot:
// else a busy process would be renewed many times a second.
func (w *worker) exhausted() bool {
	return w.MaxUse > 0 && w.accepted/w.Bound >= w.MaxUse
}

// idleEnd is when max_idle ends, the zero time if it does not.
func (w *worker) idleEnd() time.Time {
	if w.active > 0 || w.MaxIdle <= 0 {
		return time.Time{}
	}
	return w.idleSince.Add(w.MaxIdle)
}

func (w *worker) idle() bool {
	end := w.idleEnd()
	return !end.IsZero() && !time.Now().Before(end)
}

// drain ends accepting, for ever, and lets P go. The listening sockets are
// closed first: from then on only a new process takes connections.
func (w *worker) drain(why string) {
	if w.draining {
		return
	}
	w.draining = true
	if why != "" {
		w.trace("%s", why)
	}
	for _, fd := range w.inv.listeners() {
		w.wake.forget(fd)
		_ = unix.Close(fd)
	}
	if w.control < 0 {
		return
	}
	w.say(sayLeaving)
	// P has read standard error so far, see startWorker. Standard input is
	// /dev/null, which may be out of reach in the jail.
	if !w.inv.keepsStderr() {
		_ = unix.Dup2(0, 2)
	}
	w.wake.forget(w.control)
	_ = unix.Close(w.control)
	w.control = -1
}

// grace waits for the handlers whose context has been cancelled by SIGTERM.
func (w *worker) grace() {
	end := time.After(w.StopGrace)
	for w.active > 0 {
		select {
		case <-w.ended:
			w.active--
		case <-end:
			return
		}
	}
}

// say tells P. It does not matter if P is gone.
func (w *worker) say(message byte) {
	if w.control >= 0 {
		_, _ = unix.Write(w.control, []byte{message})
	}
}
