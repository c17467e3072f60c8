package bench

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// SinkOptions say how a Sink behaves.
type SinkOptions struct {
	RTT      time.Duration // how late replies are
	TLS      *tls.Config   // STARTTLS is offered
	Chunking bool          // CHUNKING is offered
}

// A Sink is an LMTP server that takes everything and keeps nothing. Its
// replies are prepared; it looks at no more of a command than it has to. Plain
// connections are served by a loop; those with TLS or a round trip time by
// goroutines.
type Sink struct {
	opts SinkOptions
	ln   net.Listener
	wg   sync.WaitGroup

	loop *loop // nil: goroutines serve
	own  bool  // the loop is the sink's own
	fd   int   // of the listening socket
	buf  []byte

	mu    sync.Mutex
	conns map[io.Closer]bool
	shut  bool

	gate       atomic.Pointer[gate]
	sessions   atomic.Int64
	messages   atomic.Int64
	recipients atomic.Int64
	first      atomic.Int64 // Unix time in ns of the first message
	last       atomic.Int64
}

// sinkBuffer is how much the sink reads at a time.
const sinkBuffer = 256 << 10

// NewSink starts a sink on a socket of network "unix" or "tcp".
func NewSink(network, address string, opts SinkOptions) (*Sink, error) {
	l, err := newLoop()
	if err != nil {
		return nil, err
	}
	s, err := newSink(l, network, address, opts)
	if err != nil {
		l.close()
		return nil, err
	}
	s.own = true
	return s, nil
}

// newSink starts a sink that is served by a loop, as far as it can be.
func newSink(l *loop, network, address string, opts SinkOptions) (*Sink, error) {
	ln, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("start sink: %w", err)
	}
	s := &Sink{opts: opts, ln: ln, conns: make(map[io.Closer]bool), loop: l}
	if opts.TLS != nil || opts.RTT > 0 {
		s.wg.Go(s.accept)
		return s, nil
	}
	s.buf = make([]byte, sinkBuffer)
	if s.fd, err = listenerDescriptor(ln); err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		err = l.add(s.fd, s)
	}
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("start sink: %w", err)
	}
	return s, nil
}

// Addr returns the address of the socket.
func (s *Sink) Addr() net.Addr { return s.ln.Addr() }

// Messages returns how many messages were taken so far.
func (s *Sink) Messages() int64 { return s.messages.Load() }

// A gate holds up the replies to the content of messages.
type gate struct {
	open    chan struct{}
	waiting atomic.Int64
	held    []*sinkConn // of the loop
}

// hold adds a connection of the loop, once.
func (g *gate) hold(k *sinkConn) {
	if k.held == g {
		return
	}
	k.held = g
	g.held = append(g.held, k)
	g.waiting.Add(1)
}

// hold has the replies to the content wait from now on, and returns how many of
// them do, and what lets them go.
func (s *Sink) hold() (waiting func() int, release func()) {
	g := &gate{open: make(chan struct{})}
	s.gate.Store(g)
	return func() int { return int(g.waiting.Load()) }, func() {
		s.gate.Store(nil)
		close(g.open)
		s.loop.mu.Lock()
		defer s.loop.mu.Unlock()
		for _, k := range g.held {
			k.answer()
		}
	}
}

// Sessions returns how many connections were made so far.
func (s *Sink) Sessions() int64 { return s.sessions.Load() }

// Span returns the time between the first and the last message.
func (s *Sink) Span() time.Duration { return time.Duration(s.last.Load() - s.first.Load()) }

// Close ends the sink and all its connections.
func (s *Sink) Close() {
	if s.own {
		s.loop.close()
	}
	s.ln.Close()
	s.mu.Lock()
	s.shut = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	if s.buf != nil {
		s.loop.mu.Lock()
		defer s.loop.mu.Unlock()
		s.loop.shut(s.fd)
	}
}

func (s *Sink) accept() {
	for {
		c, err := s.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // no descriptors left, for a moment
			continue
		}
		if !s.add(c) {
			return
		}
		s.sessions.Add(1)
		s.wg.Go(func() {
			defer s.remove(c)
			s.serve(c)
		})
	}
}

func (s *Sink) add(c io.Closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shut {
		c.Close()
		return false
	}
	s.conns[c] = true
	return true
}

func (s *Sink) remove(c io.Closer) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// The replies.
const (
	sinkGreeting = "220 sink.example.net LMTP\r\n"
	sinkHello    = "250-sink.example.net\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n"
	sinkOK       = "250 2.1.0 Ok\r\n"
	sinkGo       = "354 Go ahead\r\n"
	sinkSaved    = "250 2.0.0 Saved\r\n"
	sinkBye      = "221 2.0.0 Bye\r\n"
	sinkTLS      = "220 2.0.0 Ready\r\n"
)

// What a sinkConn reads.
const (
	reading = iota // commands
	content        // of DATA
	chunk          // of BDAT
)

// A sinkConn is one connection of a sink.
type sinkConn struct {
	s     *Sink
	c     net.Conn // nil: the loop serves fd
	fd    int
	bye   bool   // hang up once out is sent
	held  *gate  // that holds it up, or did
	rest  []byte // what was read and not taken, of the loop
	out   []byte
	late  bool // out ends a message
	state int
	fresh bool // content: nothing of it was seen
	left  int  // chunk: bytes to come
	last  bool // chunk: the last one
	rcpts int
	tls   bool
	later chan delayed
}

// delayed are replies that wait for their time.
type delayed struct {
	due  time.Time
	data []byte
}

func (s *Sink) serve(c net.Conn) {
	k := &sinkConn{s: s, c: c}
	if s.opts.RTT > 0 {
		k.later = make(chan delayed, 1024)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			k.sendLater()
		}()
		defer func() { close(k.later); <-sent }()
		time.Sleep(s.opts.RTT) // the handshake
	}
	k.out = append(k.out, sinkGreeting...)
	k.flush()
	buf := make([]byte, 64<<10)
	have := 0
	for {
		n, err := k.c.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		used, ok := k.take(buf[:have])
		if !ok {
			k.flush()
			return
		}
		have = copy(buf, buf[used:have])
		if have == len(buf) || !k.flush() {
			return // a line without end, or nobody listens
		}
	}
}

// flush sends the replies, now or later.
func (k *sinkConn) flush() bool {
	if len(k.out) == 0 {
		return true
	}
	if g := k.s.gate.Load(); g != nil && k.late {
		if k.c == nil {
			g.hold(k)
			return true
		}
		g.waiting.Add(1)
		<-g.open
	}
	k.late = false
	if k.c == nil {
		err := writeAll(k.fd, k.out)
		k.out = k.out[:0]
		return err == nil
	}
	if k.later != nil {
		k.later <- delayed{time.Now().Add(k.s.opts.RTT), bytes.Clone(k.out)}
		k.out = k.out[:0]
		return true
	}
	_, err := k.c.Write(k.out)
	k.out = k.out[:0]
	return err == nil
}

func (k *sinkConn) sendLater() {
	for d := range k.later {
		time.Sleep(time.Until(d.due))
		k.c.Write(d.data) //nolint:errcheck // the reader meets the end
	}
}

// take consumes what it can of the input. It is false at the end of the
// session.
func (k *sinkConn) take(in []byte) (used int, ok bool) {
	for used < len(in) {
		switch k.state {
		case content:
			n, done := k.takeContent(in[used:])
			used += n
			if !done {
				return used, true
			}
		case chunk:
			n := min(k.left, len(in)-used)
			used += n
			if k.left -= n; k.left > 0 {
				return used, true
			}
			k.endChunk()
		default:
			i := bytes.IndexByte(in[used:], '\n')
			if i < 0 {
				return used, true
			}
			line := in[used : used+i+1]
			used += i + 1
			if !k.command(line) {
				return used, false
			}
		}
	}
	if k.state == chunk && k.left == 0 {
		k.endChunk()
	}
	return used, true
}

// takeContent looks for the final dot. The last bytes stay in the buffer, as
// long as they could be a part of it. Content has few dots: no more of it than
// those is looked at.
func (k *sinkConn) takeContent(in []byte) (used int, done bool) {
	const end = "\r\n.\r\n"
	if k.fresh && len(in) >= 3 {
		k.fresh = false
		if string(in[:3]) == end[2:] {
			k.saved()
			return 3, true
		}
	}
	for i := 0; ; i++ {
		next := bytes.IndexByte(in[i:], '.')
		if next < 0 {
			return max(0, len(in)-len(end)+1), false
		}
		i += next
		if i >= 2 && i+3 <= len(in) && string(in[i-2:i+3]) == end {
			k.saved()
			return i + 3, true
		}
	}
}

// saved answers for each recipient.
func (k *sinkConn) saved() {
	for range k.rcpts {
		k.out = append(k.out, sinkSaved...)
	}
	now := time.Now().UnixNano()
	k.s.first.CompareAndSwap(0, now)
	k.s.last.Store(now)
	k.s.messages.Add(1)
	k.s.recipients.Add(int64(k.rcpts))
	k.state, k.rcpts, k.late = reading, 0, true
}

func (k *sinkConn) endChunk() {
	if k.last {
		k.saved()
		return
	}
	k.state = reading
	k.out = append(k.out, sinkOK...)
}

// command answers one command, known by its first letter and, where that is not
// enough, the second.
func (k *sinkConn) command(line []byte) bool {
	switch line[0] | 0x20 {
	case 'l': // LHLO
		k.hello()
	case 'm': // MAIL
		k.rcpts = 0
		k.out = append(k.out, sinkOK...)
	case 'r': // RCPT, RSET
		if line[1]|0x20 == 'c' {
			k.rcpts++
		}
		k.out = append(k.out, sinkOK...)
	case 'd': // DATA
		k.state, k.fresh = content, true
		k.out = append(k.out, sinkGo...)
	case 'b': // BDAT
		size, last, _ := bytes.Cut(bytes.TrimRight(line[min(5, len(line)):], "\r\n"), []byte(" "))
		k.left, _ = strconv.Atoi(string(size))
		k.state, k.last = chunk, len(last) > 0
	case 's': // STARTTLS
		return k.startTLS()
	case 'q': // QUIT
		k.out = append(k.out, sinkBye...)
		return false
	default:
		k.out = append(k.out, sinkOK...)
	}
	return true
}

func (k *sinkConn) hello() {
	k.out = append(k.out, sinkHello...)
	if k.s.opts.Chunking {
		k.out = append(k.out, "250-CHUNKING\r\n"...)
	}
	if k.s.opts.TLS != nil && !k.tls {
		k.out = append(k.out, "250-STARTTLS\r\n"...)
	}
	k.out = append(k.out, "250 SIZE 104857600\r\n"...)
}

// startTLS goes over to TLS. The handshake happens with the next read.
func (k *sinkConn) startTLS() bool {
	if k.s.opts.TLS == nil {
		return false
	}
	k.out = append(k.out, sinkTLS...)
	if !k.flush() {
		return false
	}
	conn := tls.Server(k.c, k.s.opts.TLS)
	k.c, k.tls = conn, true
	return true
}
