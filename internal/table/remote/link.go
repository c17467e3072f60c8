// Package remote asks servers for the values of keys: those of socketmap: and
// tcp: tables. Its Link keeps connections for the next question, also for other
// packages.
//
// Nothing that a server sends is trusted: the length of answers is bounded, and
// each question has a time limit for everything together. A connection on which
// anything went wrong is closed. One that the server closed, or said something
// on, while it was not used is replaced without anybody noticing.
package remote

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"postlmtp/internal/socket"
)

// A Link is a way to a server. Its fields must not change once it is used; it
// may be used by several goroutines at once, each with a connection of its own.
type Link struct {
	Dial    func(ctx context.Context) (net.Conn, error)
	Timeout time.Duration // for one question
	Idle    time.Duration // close a connection that was not used for this time
	TTL     time.Duration // close a connection that is as old as this

	mu   sync.Mutex
	free []*Conn
}

// A Conn is a connection to the server of a Link.
type Conn struct {
	net.Conn
	Reader *bufio.Reader

	born  time.Time
	timer *time.Timer // closes it when it was idle for too long
	used  bool        // by an earlier question
	keep  bool
}

// Drop says that the connection must not be used again.
func (c *Conn) Drop() { c.keep = false }

// Used reports whether the connection was used before.
func (c *Conn) Used() bool { return c.used }

// Do calls ask with a connection, and a second time with a new one if the first
// was an old one that turns out to be dead. The connection is kept for the next
// question if there is no error and ask has not called Drop.
func (l *Link) Do(ctx context.Context, ask func(*Conn) error) error {
	for {
		c, err := l.take(ctx)
		if err != nil {
			return err
		}
		err = l.ask(ctx, c, ask)
		if err == nil || !c.used || !Disconnected(err) {
			return err
		}
	}
}

func (l *Link) ask(ctx context.Context, c *Conn, ask func(*Conn) error) error {
	c.keep = true
	if err := c.SetDeadline(time.Now().Add(l.Timeout)); err != nil {
		c.Close()
		return err
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	err := ask(c)
	if !stop() && ctx.Err() != nil {
		c.Close()
		return errors.Join(ctx.Err(), err)
	}
	if err != nil || !c.keep || time.Since(c.born) > l.TTL || c.Reader.Buffered() > 0 {
		c.Close()
		return err
	}
	l.put(c)
	return nil
}

// Disconnected reports whether an error means that the server closed the
// connection.
func Disconnected(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// take returns a free connection or a new one.
func (l *Link) take(ctx context.Context) (*Conn, error) {
	l.mu.Lock()
	for len(l.free) > 0 {
		c := l.free[len(l.free)-1]
		l.free = l.free[:len(l.free)-1]
		if !c.timer.Stop() {
			continue // it closes the connection
		}
		if socket.Quiet(c.Conn) {
			l.mu.Unlock()
			c.used = true
			return c, nil
		}
		c.Close()
	}
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	conn, err := socket.Connect(ctx, l.Dial)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: conn, Reader: bufio.NewReader(conn), born: time.Now()}, nil
}

// put keeps a connection until it was idle for too long.
func (l *Link) put(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.timer = time.AfterFunc(l.Idle, func() { l.expire(c) })
	l.free = append(l.free, c)
}

func (l *Link) expire(c *Conn) {
	l.mu.Lock()
	for i, free := range l.free {
		if free == c {
			l.free = append(l.free[:i], l.free[i+1:]...)
			break
		}
	}
	l.mu.Unlock()
	c.Close()
}

// Close closes the connections that nobody uses.
func (l *Link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.free {
		if c.timer.Stop() {
			c.Close()
		}
	}
	l.free = nil
	return nil
}

// TimedOut reports whether an error means that the time was up.
func TimedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
