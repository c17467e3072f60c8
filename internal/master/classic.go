package master

import (
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// classic serves one connection after the other, with a message to master(8)
// before and after each.
func (e *engine) classic() error {
	lock := newAcceptLock(e.Process.lock, e.wake)
	defer lock.release()
	for uses := 0; e.MaxUse <= 0 || uses < e.MaxUse; uses++ {
		conn, err := e.next(lock)
		if conn == nil {
			return err
		}
		e.trace("connection established")
		// A failure means that master is gone or reloaded. The client is
		// served all the same; the next message will tell.
		_ = e.inv.notify(taken)
		if err := e.serve(conn); err != nil || e.stopping() {
			return err
		}
		if err := e.inv.notify(avail); err != nil {
			e.trace("master disconnect -- exiting")
			return nil
		}
		e.trace("connection closed")
	}
	return nil
}

// next waits for a connection. With neither a connection nor an error it is
// time to leave, and nothing has been taken from the listen queue.
func (e *engine) next(lock *acceptLock) (net.Conn, error) {
	var idleEnd time.Time
	if e.MaxIdle > 0 {
		idleEnd = time.Now().Add(e.MaxIdle)
	}
	for {
		listeners, again := e.listening()
		if len(listeners) > 0 {
			if held, err := lock.request(); err != nil {
				return nil, err
			} else if !held {
				listeners = nil
			}
		}
		ready, err := e.wake.wait(append([]int{statusSocket}, listeners...), earliest(earliest(idleEnd, again), e.alarm.round()))
		if err != nil {
			return nil, err
		}
		e.alarm.pat()
		if e.stopping() {
			return nil, nil
		}
		if ready[0] {
			e.trace("master disconnect -- exiting")
			return nil, nil
		}
		i := slices.Index(ready[1:], true)
		if i < 0 {
			if !idleEnd.IsZero() && !time.Now().Before(idleEnd) {
				e.trace("idle timeout -- exiting")
				return nil, nil
			}
			continue
		}
		if e.changed() {
			return nil, nil
		}
		conn := e.accept(listeners[i])
		lock.release()
		if conn != nil {
			return conn, nil
		}
	}
}

// acceptLock is the exclusive lock that the process holds which waits for a
// connection. flock(2) cannot be interrupted, so that it gets a goroutine; a
// process that leaves meanwhile leaves the goroutine behind.
type acceptLock struct {
	fd      int // -1: no lock is used
	wake    *watcher
	pending bool
	held    bool
	result  chan error
}

func newAcceptLock(file *os.File, wake *watcher) *acceptLock {
	l := &acceptLock{fd: -1, wake: wake, result: make(chan error, 1)}
	if file != nil {
		l.fd = int(file.Fd())
	}
	return l
}

// request says whether the lock is held. If not it asks for it, once, and the
// waker will tell when it is there.
func (l *acceptLock) request() (held bool, err error) {
	if l.fd < 0 || l.held {
		return true, nil
	}
	if !l.pending {
		l.pending = true
		go func() {
			l.result <- flock(l.fd, unix.LOCK_EX)
			l.wake.wake()
		}()
	}
	select {
	case err = <-l.result:
		l.pending, l.held = false, err == nil
		if err != nil {
			err = fmt.Errorf("select lock: %w", err)
		}
	default:
	}
	return l.held, err
}

func (l *acceptLock) release() {
	if l.held {
		_ = flock(l.fd, unix.LOCK_UN)
		l.held = false
	}
}

func flock(fd, how int) error {
	for {
		if err := unix.Flock(fd, how); err != unix.EINTR {
			return err
		}
	}
}
