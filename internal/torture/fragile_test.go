package torture

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// ending is how a connection is cut.
type ending int

const (
	closes     ending = iota // what was written arrives, then the end
	resets                   // the client sees a reset (TCP), or a broken pipe
	halfCloses               // the end of what we say; we go on to listen
	endings    = int(halfCloses) + 1
)

func (e ending) String() string { return [...]string{"close", "reset", "half-close"}[e] }

// faults are what goes wrong on one connection. Negative numbers are never.
type faults struct {
	cutOut int // after so many bytes to the client
	cutIn  int // after so many bytes from the client
	how    ending
	drip   time.Duration // one byte at a time, with this pause, both ways
	stall  int           // hold back the reply with this number for a while
	refuse float64       // probability of a 4xx reply
}

// noFaults is a connection of good health.
func noFaults() faults { return faults{cutOut: -1, cutIn: -1, stall: -1} }

var errCut = errors.New("cut by plan")

// fragile is a connection that is cut where its faults say so.
type fragile struct {
	net.Conn
	f faults

	mu      sync.Mutex
	in, out int
	cut     bool
}

func (c *fragile) Read(p []byte) (int, error) {
	if c.f.cutIn >= 0 {
		left := c.f.cutIn - c.in
		if left <= 0 {
			c.end()
			return 0, errCut
		}
		p = p[:min(len(p), left)]
	}
	if c.f.drip > 0 {
		time.Sleep(c.f.drip)
		p = p[:1]
	}
	n, err := c.Conn.Read(p)
	c.in += n
	return n, err
}

func (c *fragile) Write(p []byte) (int, error) {
	whole := len(p)
	if c.f.cutOut >= 0 {
		p = p[:min(len(p), c.f.cutOut-c.out)]
	}
	n, err := c.write(p)
	c.out += n
	if err == nil && c.out == c.f.cutOut {
		c.end()
		if n < whole {
			err = errCut
		}
	}
	return n, err
}

func (c *fragile) write(p []byte) (int, error) {
	if c.f.drip == 0 {
		return c.Conn.Write(p)
	}
	for i := range p {
		time.Sleep(c.f.drip)
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// end cuts the connection.
func (c *fragile) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return
	}
	c.cut = true
	switch c.f.how {
	case resets:
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Conn.Close() // on a UNIX-domain socket what is not read makes this a reset
	case halfCloses:
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
		_ = c.Conn.SetReadDeadline(time.Now().Add(stallTime))
		_, _ = io.Copy(io.Discard, c.Conn)
		_ = c.Conn.Close()
	default:
		_ = c.Conn.Close()
	}
}

// wasCut tells whether the connection was cut by plan.
func (c *fragile) wasCut() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut
}
