package master

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watcher waits for events on descriptors, for a time, and for other goroutines.
//
// It hands Go's poller an epoll(7) descriptor of its own, to which the others are
// added. Go's poller would make those non-blocking, which all children of
// master(8) share; poll(2) would hold a thread, and every connection would cost
// changes of threads.
type watcher struct {
	fd    int // of epoll; File.Fd would make it blocking
	epoll *os.File
	raw   syscall.RawConn
	added map[int]bool // the descriptors that epoll has
	woken atomic.Bool
}

func newWatcher() (*watcher, error) {
	fail := func(err error) (*watcher, error) { return nil, fmt.Errorf("open event descriptor: %w", err) }
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fail(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fail(err)
	}
	w := &watcher{fd: fd, epoll: os.NewFile(uintptr(fd), "epoll"), added: make(map[int]bool)}
	if w.raw, err = w.epoll.SyscallConn(); err != nil {
		return fail(err)
	}
	return w, nil
}

// wake ends a wait: that of now, or the next one. Any goroutine may call it.
func (w *watcher) wake() {
	w.woken.Store(true)
	_ = w.epoll.SetReadDeadline(time.Unix(1, 0))
}

// wait returns when a descriptor is readable or at its end, at the deadline
// (zero: none), or after wake. It says which descriptors are ready; -1 never is.
func (w *watcher) wait(fds []int, deadline time.Time) ([]bool, error) {
	if err := w.watch(fds); err != nil {
		return nil, err
	}
	ready := make([]bool, len(fds))
	_ = w.epoll.SetReadDeadline(deadline)
	if w.woken.Swap(false) {
		return ready, nil
	}
	var events [8]unix.EpollEvent
	n, err := 0, error(nil)
	look := func(uintptr) bool {
		n, err = unix.EpollWait(w.fd, events[:], 0)
		return n > 0 || err != nil && err != unix.EINTR
	}
	switch ended := w.raw.Read(look); {
	case w.woken.Swap(false):
	case errors.Is(ended, os.ErrDeadlineExceeded):
		look(0) // what came just before the deadline counts
	case ended != nil:
		err = ended
	}
	if err != nil && err != unix.EINTR {
		return ready, fmt.Errorf("wait for events: %w", err)
	}
	for _, e := range events[:max(n, 0)] {
		if i := slices.Index(fds, int(e.Fd)); i >= 0 {
			ready[i] = true
		}
	}
	return ready, nil
}

// watch makes epoll have these descriptors and no others.
func (w *watcher) watch(fds []int) error {
	for _, fd := range fds {
		if fd >= 0 && !w.added[fd] {
			event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
			if err := unix.EpollCtl(w.fd, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
				return fmt.Errorf("wait for events: %w", err)
			}
			w.added[fd] = true
		}
	}
	for fd := range w.added {
		if !slices.Contains(fds, fd) {
			w.forget(fd)
		}
	}
	return nil
}

// forget must come before a descriptor is closed: as long as other processes
// have it open, epoll would go on to report it.
func (w *watcher) forget(fd int) {
	if w.added[fd] {
		delete(w.added, fd)
		_ = unix.EpollCtl(w.fd, unix.EPOLL_CTL_DEL, fd, nil)
	}
}

// accept takes one connection from a listening socket. With neither a
// connection nor an error, another process was faster or the client is gone.
func accept(listener int) (net.Conn, error) {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		switch err {
		case nil:
			return connOf(fd), nil
		case unix.EINTR:
		case unix.EAGAIN, unix.ECONNABORTED, unix.EPROTO:
			return nil, nil
		default:
			return nil, fmt.Errorf("accept connection: %w", err)
		}
	}
}

// connOf makes a net.Conn of a non-blocking socket, which it takes over. Package
// net would duplicate it and ask for its names, and nobody wants those.
func connOf(fd int) net.Conn {
	return socketConn{os.NewFile(uintptr(fd), "connection")}
}

// socketConn is a connection without names.
type socketConn struct{ *os.File }

type clientAddr struct{}

func (clientAddr) Network() string { return "unix" }
func (clientAddr) String() string  { return "queue manager" }

func (socketConn) LocalAddr() net.Addr  { return clientAddr{} }
func (socketConn) RemoteAddr() net.Addr { return clientAddr{} }
