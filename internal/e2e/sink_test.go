package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
)

// sink is an LMTP server that records what it is told and answers what the
// test wants. Its hooks run in the goroutine of the session and may wait.
type sink struct {
	listener net.Listener
	done     chan struct{}

	// onRcpt and onFinal give the reply line to a recipient and to the
	// message for a recipient; "" is yes, hangUp closes the connection.
	onRcpt  func(tx *transaction, rcpt string) string
	onFinal func(tx *transaction, rcpt string) string
	// onData runs after DATA and before its 354 reply.
	onData func(tx *transaction)

	mu        sync.Mutex
	sessions  gauge
	active    gauge
	delivered map[string]int // message identity + " " + recipient
	total     int
	log       []*transaction // all that reached the final dot
	conns     map[net.Conn]bool
}

const hangUp = "hang up"

// gauge counts what is there now and the most there ever was.
type gauge struct{ now, peak int }

func (g *gauge) add(n int) { g.now += n; g.peak = max(g.peak, g.now) }

// transaction is one message as a sink receives it.
type transaction struct {
	lhlo, from, fromArgs string
	rcpts                []string // the accepted ones
	rcptArgs             []string
	id                   string // its X-E2E-Id
	data                 []byte
}

// newUnixListener listens at private/NAME of the instance.
func newUnixListener(t *testing.T, p *postfix, name string) net.Listener {
	t.Helper()
	path := p.queue("private", name)
	os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	return l
}

// unixSink makes a sink at private/NAME of the instance.
func unixSink(t *testing.T, p *postfix, name string) *sink {
	t.Helper()
	return newSink(t, newUnixListener(t, p, name))
}

// tcpSink makes a sink at a port of 127.0.0.1.
func tcpSink(t *testing.T, port int) *sink {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	return newSink(t, l)
}

func newSink(t *testing.T, l net.Listener) *sink {
	s := &sink{listener: l, done: make(chan struct{}), delivered: map[string]int{}, conns: map[net.Conn]bool{}}
	t.Cleanup(s.close)
	return s
}

// run starts to accept: after the hooks are set.
func (s *sink) run() *sink {
	go func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[conn] = true
			s.sessions.add(1)
			s.mu.Unlock()
			go func() {
				c := &sinkSession{sink: s, conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
				c.serve()
				c.leave()
				conn.Close()
			}()
		}
	}()
	return s
}

// wait waits in a hook until a channel is closed, or the sink.
func (s *sink) wait(c <-chan struct{}) {
	select {
	case <-c:
	case <-s.done:
	}
}

// close stops the sink and cuts its connections.
func (s *sink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return
	default:
	}
	close(s.done)
	s.listener.Close()
	for c := range s.conns {
		c.Close()
	}
}

// count returns the number of deliveries so far: one for each recipient that
// got its yes.
func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// times tells how often a message was delivered to a recipient.
func (s *sink) times(id, rcpt string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.delivered[id+" "+rcpt]
}

// peaks returns the most sessions and the most transactions at one time.
func (s *sink) peaks() (sessions, transactions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions.peak, s.active.peak
}

// received returns the transactions of a message that reached the final dot.
func (s *sink) received(id string) []*transaction {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*transaction
	for _, tx := range s.log {
		if tx.id == id {
			list = append(list, tx)
		}
	}
	return list
}

// doubled lists what was delivered more than once.
func (s *sink) doubled() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for key, n := range s.delivered {
		if n > 1 {
			list = append(list, fmt.Sprintf("%s: %d times", key, n))
		}
	}
	return list
}

func (s *sink) yes(tx *transaction, rcpt string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delivered[tx.id+" "+rcpt]++
	s.total++
}

func (s *sink) busy(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active.add(n)
}

// sinkSession is the dialog on one connection.
type sinkSession struct {
	sink *sink
	conn net.Conn
	r    *bufio.Reader
	lhlo string
	tx   *transaction
}

func (c *sinkSession) reply(line string) bool {
	if line == hangUp {
		return false
	}
	_, err := fmt.Fprintf(c.conn, "%s\r\n", line)
	return err == nil
}

// begin and end bracket a transaction in the gauge.
func (c *sinkSession) begin(tx *transaction) { c.end(); c.tx = tx; c.sink.busy(1) }

func (c *sinkSession) end() {
	if c.tx != nil {
		c.tx = nil
		c.sink.busy(-1)
	}
}

// leave takes the session out of the count: before QUIT is answered, because
// the client may open the next one as soon as it has the answer.
func (c *sinkSession) leave() {
	c.sink.mu.Lock()
	defer c.sink.mu.Unlock()
	if c.sink.conns[c.conn] {
		delete(c.sink.conns, c.conn)
		c.sink.sessions.add(-1)
	}
}

func (c *sinkSession) serve() {
	defer c.end()
	if !c.reply("220 sink.e2e.test LMTP") {
		return
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return
		}
		if !c.command(strings.TrimRight(line, "\r\n")) {
			return
		}
	}
}

// command answers one line; false ends the session.
func (c *sinkSession) command(line string) bool {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "LHLO":
		c.lhlo = rest
		return c.reply("250-sink.e2e.test\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n" +
			"250-8BITMIME\r\n250-DSN\r\n250 SIZE")
	case "MAIL":
		from, args := path(rest)
		c.begin(&transaction{lhlo: c.lhlo, from: from, fromArgs: args})
		return c.reply("250 2.1.0 ok")
	case "RCPT":
		return c.rcpt(rest)
	case "DATA":
		return c.data()
	case "RSET":
		c.end()
		return c.reply("250 2.0.0 ok")
	case "QUIT":
		c.leave()
		c.reply("221 2.0.0 bye")
		return false
	default:
		return c.reply("500 5.5.1 what?")
	}
}

// path takes "FROM:<path> args" apart.
func path(s string) (path, args string) {
	_, s, _ = strings.Cut(s, "<")
	path, args, _ = strings.Cut(s, ">")
	return path, strings.TrimSpace(args)
}

func (c *sinkSession) rcpt(rest string) bool {
	if c.tx == nil {
		return c.reply("503 5.5.1 MAIL first")
	}
	rcpt, args := path(rest)
	line := ""
	if c.sink.onRcpt != nil {
		line = c.sink.onRcpt(c.tx, rcpt)
	}
	if line == "" {
		line = "250 2.1.5 ok"
		c.tx.rcpts = append(c.tx.rcpts, rcpt)
		c.tx.rcptArgs = append(c.tx.rcptArgs, args)
	}
	return c.reply(line)
}

func (c *sinkSession) data() bool {
	if c.tx == nil || len(c.tx.rcpts) == 0 {
		return c.reply("503 5.5.1 no recipients")
	}
	if c.sink.onData != nil {
		c.sink.onData(c.tx)
	}
	if !c.reply("354 go ahead") {
		return false
	}
	if !c.readMessage() {
		return false
	}
	c.sink.mu.Lock()
	c.sink.log = append(c.sink.log, c.tx)
	c.sink.mu.Unlock()
	tx := c.tx
	for i, rcpt := range tx.rcpts {
		line := ""
		if c.sink.onFinal != nil {
			line = c.sink.onFinal(tx, rcpt)
		}
		if line == "" {
			// Stored: whether the client still listens is not the sink's matter.
			c.sink.yes(tx, rcpt)
			line = "250 2.0.0 stored"
		}
		if i == len(tx.rcpts)-1 {
			c.end() // before the reply: with it another process may begin
		}
		if !c.reply(line) {
			return false
		}
	}
	return true
}

// readMessage reads up to the final dot, without the dot-stuffing.
func (c *sinkSession) readMessage() bool {
	var b bytes.Buffer
	for {
		line, err := c.r.ReadSlice('\n')
		if string(line) == ".\r\n" {
			break
		}
		b.Write(bytes.TrimPrefix(line, []byte(".")))
		for err == bufio.ErrBufferFull { // the rest of a very long line
			line, err = c.r.ReadSlice('\n')
			b.Write(line)
		}
		if err != nil {
			return false
		}
	}
	c.tx.data = b.Bytes()
	if _, rest, ok := bytes.Cut(c.tx.data, []byte("X-E2E-Id: ")); ok {
		id, _, _ := bytes.Cut(rest, []byte("\r\n"))
		c.tx.id = string(id)
	}
	return true
}
