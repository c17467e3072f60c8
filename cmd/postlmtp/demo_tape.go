package main

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A tape is what happened on one connection, as the server saw it.
type tape struct {
	start time.Time

	mu      sync.Mutex
	lines   []tapeLine
	partial map[byte][]byte // bytes of a line that is not complete, by speaker
	content bool            // the client is sending the message
	size    int             // of the message so far: bytes and lines
	count   int
}

// A tapeLine is one line of a dialog.
type tapeLine struct {
	after time.Duration
	who   byte // 'C' the daemon, 'S' the server, '*' a remark
	text  string
}

func newTape() *tape {
	return &tape{start: time.Now(), partial: make(map[byte][]byte)}
}

// add records bytes of one speaker.
func (t *tape) add(who byte, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	data = append(t.partial[who], data...)
	for {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			break
		}
		t.line(who, strings.TrimSuffix(string(line), "\r"), len(line)+1)
		data = rest
	}
	t.partial[who] = bytes.Clone(data)
}

// line records one line. The message itself becomes a remark. Caller holds mu.
func (t *tape) line(who byte, text string, size int) {
	if who == 'C' && t.content {
		if text != "." {
			t.size += size
			t.count++
			return
		}
		t.content = false
		t.remark(fmt.Sprintf("the message: %s, %s", plural(t.count, "line"), plural(t.size, "byte")))
	}
	if who == 'S' && strings.HasPrefix(text, "354") {
		t.content, t.size, t.count = true, 0, 0
	}
	t.lines = append(t.lines, tapeLine{time.Since(t.start), who, text})
}

// remark records something that nobody said. Caller holds mu.
func (t *tape) remark(text string) {
	t.lines = append(t.lines, tapeLine{time.Since(t.start), '*', text})
}

// end records the end of the connection.
func (t *tape) end(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remark(text)
}

// all returns the lines so far.
func (t *tape) all() []tapeLine {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]tapeLine(nil), t.lines...)
}

// A tapListener tapes all connections that it accepts.
type tapListener struct {
	net.Listener
	server *mailServer
}

// Accept waits for the next connection.
func (l *tapListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t := newTape()
	l.server.mu.Lock()
	l.server.tapes = append(l.server.tapes, t)
	l.server.open++
	l.server.mu.Unlock()
	return &tapConn{Conn: c, tape: t, server: l.server}, nil
}

// A tapConn is a connection with a tape.
type tapConn struct {
	net.Conn
	tape   *tape
	server *mailServer
	closed sync.Once
	said   sync.Once // who ended the connection
	gone   atomic.Bool
}

// Read tapes what the client says.
func (c *tapConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.tape.add('C', p[:n])
	if err != nil {
		c.said.Do(func() { c.tape.end("the daemon closes the connection") })
	}
	return n, err
}

// Write tapes what the server says, while there is somebody to hear it.
func (c *tapConn) Write(p []byte) (int, error) {
	if !c.gone.Load() {
		c.tape.add('S', p)
	}
	return c.Conn.Write(p)
}

// Close closes the connection.
func (c *tapConn) Close() error {
	c.gone.Store(true)
	err := c.Conn.Close()
	c.said.Do(func() { c.tape.end("the server closes the connection") })
	c.closed.Do(func() {
		c.server.mu.Lock()
		c.server.open--
		c.server.mu.Unlock()
	})
	return err
}
