// Package socket has what the connections to Postfix's services and to the
// servers of lookup tables have in common: they are made as a blocking connect
// makes them, and kept for the next question only while the peer keeps quiet.
package socket

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Pauses between attempts to connect to a socket with a full queue.
const (
	firstPause = time.Millisecond
	maxPause   = 100 * time.Millisecond
)

// Connect returns the connection that dial makes. Where the queue of connections
// of a UNIX-domain socket is full, as after a reload when everybody connects
// anew, the system refuses a connect that must not wait (connect(2), EAGAIN).
// Postfix's programs wait there, and so does Connect, until there is room or
// ctx is over; then the error is the cause of that.
func Connect(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		c, err := dial(ctx)
		if !errors.Is(err, syscall.EAGAIN) {
			return c, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Quiet says that a peer has neither said anything that was not read yet nor
// closed the connection. What it says unasked would be taken for the answer to
// the next question. A connection without a descriptor counts as quiet.
func Quiet(c net.Conn) bool {
	quiet := true
	err := control(c, func(fd int) {
		_, _, err := unix.Recvfrom(fd, make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		quiet = errors.Is(err, unix.EAGAIN)
	})
	return err == nil && quiet
}

// HungUp says that the peer on a UNIX-domain socket has gone: nobody will read
// what is written there. A connection without a descriptor has its peer still.
func HungUp(c net.Conn) bool {
	gone := false
	err := control(c, func(fd int) {
		poll := []unix.PollFd{{Fd: int32(fd)}} // POLLHUP need not be asked for
		n, err := unix.Poll(poll, 0)
		gone = err == nil && n > 0
	})
	return err != nil || gone
}

// control calls f with the descriptor of a connection, if it has one.
func control(c net.Conn, f func(fd int)) error {
	conn, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { f(int(fd)) })
}
