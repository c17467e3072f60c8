package lmtp

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// pendingFunc returns a function that says whether a read would come back without
// waiting: with bytes from the peer, or with the end of what it has to say. It is
// nil if that cannot be known.
func pendingFunc(conn net.Conn) func() bool {
	switch c := conn.(type) {
	case interface{ Pending() bool }:
		return c.Pending
	case syscall.Conn:
		raw, err := c.SyscallConn()
		if err != nil {
			return nil
		}
		return newPeeker(raw).pending
	}
	return nil
}

// A peeker looks whether a socket has something to read. That happens several
// times in each delivery, and costs no memory.
type peeker struct {
	raw  syscall.RawConn
	look func(fd uintptr)
	fds  [1]unix.PollFd
	some bool
}

func newPeeker(raw syscall.RawConn) *peeker {
	p := &peeker{raw: raw}
	p.look = func(fd uintptr) {
		p.fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		n, err := unix.Poll(p.fds[:], 0)
		p.some = err == nil && n > 0
	}
	return p
}

func (p *peeker) pending() bool {
	p.some = false
	return p.raw.Control(p.look) == nil && p.some
}

// isSocket tells whether a connection is one of the system's, with buffers.
func isSocket(conn net.Conn) bool {
	_, ok := conn.(syscall.Conn)
	return ok
}

// sendBuffer is the size of a socket's send buffer in bytes, 0 if it is unknown.
func sendBuffer(conn net.Conn) (size int) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		size, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF)
	})
	return size
}
