package bench

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A logReader is where an agent logs to. It keeps the first line that says that
// something is wrong.
type logReader struct {
	loop      *loop
	fd        int
	buf       []byte
	complaint *atomic.Pointer[string]
}

// newLogReader listens at a path.
func newLogReader(l *loop, path string, complaint *atomic.Pointer[string]) (*logReader, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("listen for log lines: %w", err)
	}
	r := &logReader{loop: l, fd: fd, buf: make([]byte, 64<<10), complaint: complaint}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err == nil {
		err = l.add(fd, r)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen for log lines: %w", err)
	}
	return r, nil
}

// ready takes all lines that are there: an agent waits while the queue of the
// socket, ten lines with Linux's defaults, is full.
func (r *logReader) ready() {
	for {
		n, err := unix.Read(r.fd, r.buf)
		if err != nil {
			return
		}
		if !harmless(r.buf[:n]) && r.complaint.Load() == nil {
			line := string(r.buf[:n])
			r.complaint.Store(&line)
		}
	}
}

// harmless tells whether a line is as it should be. With TLS there are lines about
// each connection, some of them by tlsproxy(8). A cache that is not reached in
// time costs Postfix a connection, and no mail.
func harmless(line []byte) bool {
	for _, text := range []string{"status=sent", " TLS connection ", "/tlsproxy[", "private/scache: Application error"} {
		if bytes.Contains(line, []byte(text)) {
			return !bytes.Contains(line, []byte("fatal: "))
		}
	}
	return false
}

func (r *logReader) close() { unix.Close(r.fd) }
