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
	conn, ok := c.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var waits error
	err = raw.Control(func(fd uintptr) {
		_, _, waits = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
	})
	return err == nil && errors.Is(waits, unix.EAGAIN)
}
