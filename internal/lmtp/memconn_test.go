package lmtp

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// memPipe is one direction of a connection: a buffer of bounded size.
type memPipe struct {
	mu     sync.Mutex
	cond   *sync.Cond
	buf    []byte
	size   int
	eof    bool // the writer is closed
	broken bool // the reader is closed
	reset  bool // both ends fail
	rend   time.Time
	wend   time.Time
	rtimer *time.Timer
	wtimer *time.Timer
}

func newMemPipe(size int) *memPipe {
	p := &memPipe{size: size}
	p.cond = sync.NewCond(&p.mu)
	return p
}

func past(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (p *memPipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.broken:
			return 0, net.ErrClosed
		case past(p.rend):
			return 0, os.ErrDeadlineExceeded
		case len(p.buf) > 0: // as on Linux, also after a reset
			n := copy(b, p.buf)
			p.buf = append(p.buf[:0], p.buf[n:]...)
			p.cond.Broadcast()
			return n, nil
		case p.reset:
			return 0, syscall.ECONNRESET
		case p.eof:
			return 0, io.EOF
		}
		p.cond.Wait()
	}
}

func (p *memPipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for {
		switch {
		case p.eof:
			return n, net.ErrClosed
		case p.broken || p.reset:
			return n, syscall.EPIPE
		case past(p.wend):
			return n, os.ErrDeadlineExceeded
		}
		if room := p.size - len(p.buf); room > 0 {
			k := min(room, len(b)-n)
			p.buf = append(p.buf, b[n:n+k]...)
			n += k
			p.cond.Broadcast()
			if n == len(b) {
				return n, nil
			}
			continue
		}
		p.cond.Wait()
	}
}

func (p *memPipe) deadline(end *time.Time, timer **time.Timer, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*end = t
	if *timer != nil {
		(*timer).Stop()
		*timer = nil
	}
	if d := time.Until(t); !t.IsZero() && d > 0 {
		*timer = time.AfterFunc(d, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.cond.Broadcast()
		})
	}
	p.cond.Broadcast()
}

func (p *memPipe) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.cond.Broadcast()
}

// memConn is one end of an in-memory connection that behaves like a unix
// socket with small buffers.
type memConn struct {
	in, out *memPipe
}

// memPair returns both ends of a connection with buffers of size bytes.
func memPair(size int) (client, server *memConn) {
	a, b := newMemPipe(size), newMemPipe(size)
	return &memConn{in: a, out: b}, &memConn{in: b, out: a}
}

func (c *memConn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *memConn) Write(b []byte) (int, error) { return c.out.write(b) }

func (c *memConn) Close() error {
	c.SetDeadline(time.Time{})
	c.in.set(func() { c.in.broken = true })
	c.out.set(func() { c.out.eof = true })
	return nil
}

// CloseWrite ends the stream to the peer.
func (c *memConn) CloseWrite() { c.out.set(func() { c.out.eof = true }) }

// Reset makes both directions fail.
func (c *memConn) Reset() {
	c.in.set(func() { c.in.reset = true })
	c.out.set(func() { c.out.reset = true })
}

// Pending says whether a read would return at once.
func (c *memConn) Pending() bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return len(c.in.buf) > 0 || c.in.eof || c.in.reset
}

type memAddr struct{}

func (memAddr) Network() string { return "mem" }
func (memAddr) String() string  { return "mem" }

func (c *memConn) LocalAddr() net.Addr  { return memAddr{} }
func (c *memConn) RemoteAddr() net.Addr { return memAddr{} }

func (c *memConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.deadline(&c.in.rend, &c.in.rtimer, t)
	return nil
}

func (c *memConn) SetWriteDeadline(t time.Time) error {
	c.out.deadline(&c.out.wend, &c.out.wtimer, t)
	return nil
}
