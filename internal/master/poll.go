package master

import (
	"fmt"
	"math"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// waker is a descriptor that any goroutine makes readable to end a wait.
type waker struct{ fd int }

func newWaker() (*waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open event descriptor: %w", err)
	}
	return &waker{fd}, nil
}

func (w *waker) wake() {
	one := [8]byte{1, 1, 1, 1, 1, 1, 1, 1} // any number but 0 and all ones
	_, _ = unix.Write(w.fd, one[:])
}

func (w *waker) clear() {
	var count [8]byte
	_, _ = unix.Read(w.fd, count[:])
}

// wait blocks one thread until a descriptor is readable or at its end, or until
// the deadline (zero: none), and says which are. It uses poll(2) and not Go's
// poller because that would make the descriptors non-blocking which all
// children of master(8) share.
func wait(fds []int, deadline time.Time) ([]bool, error) {
	set := make([]unix.PollFd, len(fds))
	for i, fd := range fds {
		set[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	ready := make([]bool, len(fds))
	for {
		_, err := unix.Poll(set, millis(deadline))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return ready, fmt.Errorf("wait for events: %w", err)
		}
		for i := range set {
			ready[i] = set[i].Revents != 0
		}
		return ready, nil
	}
}

// millis is the time until the deadline for poll(2), rounded up: not to return
// just before it.
func millis(deadline time.Time) int {
	if deadline.IsZero() {
		return -1
	}
	left := time.Until(deadline)
	if left <= 0 {
		return 0
	}
	return int(min((left+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
}

// accept takes one connection from a listening socket. With neither a
// connection nor an error, another process was faster or the client is gone.
func accept(listener int) (net.Conn, error) {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		switch err {
		case nil:
			return connOf(fd)
		case unix.EINTR:
		case unix.EAGAIN, unix.ECONNABORTED, unix.EPROTO:
			return nil, nil
		default:
			return nil, fmt.Errorf("accept connection: %w", err)
		}
	}
}

// connOf makes a net.Conn of a socket, which it takes over.
func connOf(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "connection")
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("accept connection: %w", err)
	}
	return conn, nil
}
