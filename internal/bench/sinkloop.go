package bench

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenerDescriptor returns a second descriptor of a listening socket, which is
// non-blocking, for the caller to close.
func listenerDescriptor(ln net.Listener) (fd int, err error) {
	socket, ok := ln.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("%T has no descriptor", ln)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1, err
	}
	dup := func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }
	if cerr := raw.Control(dup); cerr != nil {
		return -1, cerr
	}
	return fd, err
}

// ready takes a connection.
func (s *Sink) ready() {
	fd, _, err := unix.Accept4(s.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return // gone, or no descriptors left, for a moment
	}
	if s.ln.Addr().Network() == "tcp" {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	k := &sinkConn{s: s, fd: fd}
	if !s.add(k) {
		return
	}
	s.sessions.Add(1)
	k.out = append(k.out, sinkGreeting...)
	if err := s.loop.add(fd, k); err != nil || !k.flush() {
		k.end()
	}
}

// ready takes what the client says, all of it that is there.
func (k *sinkConn) ready() {
	buf := k.s.buf
	have := copy(buf, k.rest)
	n, err := unix.Read(k.fd, buf[have:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	if err != nil || n <= 0 {
		k.end()
		return
	}
	have += n
	used, ok := k.take(buf[:have])
	k.rest = append(k.rest[:0], buf[used:have]...)
	k.bye = !ok || len(k.rest) == len(buf)
	k.answer()
}

// answer sends the replies, unless a gate holds them up, and hangs up if that is
// due.
func (k *sinkConn) answer() {
	if !k.flush() || k.bye && len(k.out) == 0 {
		k.end()
	}
}

// end ends a connection that the loop serves.
func (k *sinkConn) end() {
	k.s.mu.Lock()
	delete(k.s.conns, k)
	k.s.mu.Unlock()
	k.s.loop.shut(k.fd)
}

// Close closes the connection when the sink ends.
func (k *sinkConn) Close() error { return unix.Close(k.fd) }
