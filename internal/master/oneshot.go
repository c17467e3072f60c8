package master

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// oneShot serves the connection on standard input and output (option -S).
func (e *engine) oneShot() error {
	conn, err := stdioConn()
	if err != nil {
		return err
	}
	return e.serve(conn)
}

// stdioConn makes a connection of standard input and output: one socket, or two
// of anything.
func stdioConn() (net.Conn, error) {
	var in, out unix.Stat_t
	if err := unix.Fstat(0, &in); err != nil {
		return nil, fmt.Errorf("open standard input: %w", err)
	}
	if err := unix.Fstat(1, &out); err != nil {
		return nil, fmt.Errorf("open standard output: %w", err)
	}
	r, err := duplicate(0, "standard input")
	if err != nil {
		return nil, err
	}
	if in.Dev == out.Dev && in.Ino == out.Ino && isSocket(0) {
		defer r.Close()
		return net.FileConn(r)
	}
	w, err := duplicate(1, "standard output")
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	return &pipeConn{r, w}, nil
}

// duplicate opens a standard descriptor once more, so that it may be closed,
// and lets Go's poller have it where that is possible, for the sake of time
// limits.
func duplicate(fd int, name string) (*os.File, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, firstListener)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	if t := fileType(dup); t == unix.S_IFIFO || t == unix.S_IFSOCK {
		_ = unix.SetNonblock(dup, true)
	}
	return os.NewFile(uintptr(dup), name), nil
}

// pipeConn is a connection of two files. A deadline has no effect on a file
// that cannot have one.
type pipeConn struct{ r, w *os.File }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "stdio" }
func (pipeAddr) String() string  { return "standard input and output" }

func (c *pipeConn) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("read request: %w", err)
	}
	return n, err
}

func (c *pipeConn) Write(b []byte) (int, error) { return c.w.Write(b) }
func (c *pipeConn) Close() error                { return errors.Join(c.r.Close(), c.w.Close()) }
func (c *pipeConn) LocalAddr() net.Addr         { return pipeAddr{} }
func (c *pipeConn) RemoteAddr() net.Addr        { return pipeAddr{} }

func (c *pipeConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *pipeConn) SetReadDeadline(t time.Time) error  { return tolerate(c.r.SetReadDeadline(t)) }
func (c *pipeConn) SetWriteDeadline(t time.Time) error { return tolerate(c.w.SetWriteDeadline(t)) }

func tolerate(err error) error {
	if errors.Is(err, os.ErrNoDeadline) {
		return nil
	}
	return err
}
