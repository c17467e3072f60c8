package lmtp

import (
	"net"
	"syscall"
)

// pendingFunc returns a function that says whether bytes from the peer wait to
// be read, without waiting. It is nil if that cannot be known.
func pendingFunc(conn net.Conn) func() bool {
	switch c := conn.(type) {
	case interface{ Pending() bool }:
		return c.Pending
	case syscall.Conn:
		raw, err := c.SyscallConn()
		if err != nil {
			return nil
		}
		return func() bool { return peek(raw) }
	}
	return nil
}

// peek looks into the receive buffer of a socket.
func peek(raw syscall.RawConn) bool {
	var n int
	var buf [1]byte
	err := raw.Control(func(fd uintptr) {
		n, _, _ = syscall.Recvfrom(int(fd), buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	return err == nil && n > 0
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
