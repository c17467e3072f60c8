package bench

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A loop waits for events on many descriptors in one thread, as the queue
// manager does. The load that it makes shares the processors with the agents
// that are measured: goroutines would cost as much as the agents do.
type loop struct {
	epoll int
	bell  int // an eventfd, rung to end the loop

	mu       sync.Mutex // held while handlers run
	handlers []handler  // by descriptor
	again    []handler  // to be called in a millisecond
	due      time.Time  // when that is
	closed   bool
	thread   atomic.Int32
	ended    chan struct{}
}

// A handler is told that its descriptor can be read. That may be wrong: it must
// not wait. It is called with the loop's lock held.
type handler interface{ ready() }

// newLoop starts a loop.
func newLoop() (*loop, error) {
	l := &loop{ended: make(chan struct{})}
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("wait for events: %w", err)
	}
	if l.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err == nil {
		err = l.add(l.bell, nil)
	}
	if err != nil {
		unix.Close(l.epoll)
		return nil, fmt.Errorf("wait for events: %w", err)
	}
	go l.run()
	return l, nil
}

// add watches a descriptor, which must be non-blocking. The lock must be held.
func (l *loop) add(fd int, h handler) error {
	for fd >= len(l.handlers) {
		l.handlers = append(l.handlers, nil)
	}
	l.handlers[fd] = h
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
}

// shut closes a descriptor that is watched. The lock must be held.
func (l *loop) shut(fd int) {
	l.handlers[fd] = nil
	unix.Close(fd)
}

// later has a handler called in a millisecond. The lock must be held.
func (l *loop) later(h handler) {
	if len(l.again) == 0 {
		l.due = time.Now().Add(time.Millisecond)
	}
	l.again = append(l.again, h)
}

// ring wakes the loop.
func (l *loop) ring() { unix.Write(l.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

func (l *loop) run() {
	runtime.LockOSThread()
	l.thread.Store(int32(unix.Gettid()))
	defer close(l.ended)
	events := make([]unix.EpollEvent, 128)
	for wait := -1; ; {
		n, err := unix.EpollWait(l.epoll, events, wait)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return
		}
		for _, e := range events[:max(n, 0)] {
			if h := l.handlers[e.Fd]; h != nil {
				h.ready()
			} else if int(e.Fd) == l.bell {
				var count [8]byte
				unix.Read(l.bell, count[:])
			}
		}
		if len(l.again) > 0 && !time.Now().Before(l.due) {
			again := l.again
			l.again = nil
			for _, h := range again {
				h.ready()
			}
		}
		wait = -1
		if len(l.again) > 0 {
			wait = 1
		}
		l.mu.Unlock()
	}
}

// cpu returns the processor time of the loop's thread so far.
func (l *loop) cpu() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(^l.thread.Load()<<3|6, &ts); err != nil { // clock_getcpuclockid(3)
		return 0
	}
	return time.Duration(ts.Nano())
}

// close ends the loop. Descriptors stay their owners'.
func (l *loop) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.ring()
	<-l.ended
	unix.Close(l.bell)
	unix.Close(l.epoll)
}

// writeAll writes to a non-blocking descriptor, and waits if it has to.
func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		switch {
		case err == unix.EAGAIN:
			wait := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			if n, err := unix.Poll(wait, int(deliveryLimit/time.Millisecond)); n == 0 && err == nil {
				return errors.New("write: nobody reads")
			}
		case err != nil && err != unix.EINTR:
			return err
		case err == nil:
			p = p[n:]
		}
	}
	return nil
}
