package bench

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A least is the least that a delivery agent can do: it takes requests from the
// queue manager, opens and locks the queue file, reads it, holds the dialog over
// kept sessions, writes the line of the mail log, marks recipients and gives the
// status. Everything that it says is prepared; it understands nothing, checks
// nothing, and has no time limits. It is one event loop in one thread.
type least struct {
	loop *loop
	fd   int // of the listening socket
	log  int // a datagram socket
	dir  string
	sink unix.SockaddrUnix

	request  []byte // any request: all are of one length
	envelope []byte
	content  []byte // with the dot
	line     []byte // of the log
	status   []byte
	marks    []int64 // offsets of the recipients
	replies  int     // to the envelope

	idle []*leastSession
	buf  []byte
	file []byte
	err  error
}

// A leastRequest is one connection of the queue manager.
type leastRequest struct {
	l    *least
	fd   int
	have []byte
}

// A leastSession is one connection to the sink.
type leastSession struct {
	l     *least
	fd    int
	r     *leastRequest // nil: it is idle
	file  int
	wait  int // replies to come
	final bool
}

// leastAgent is the least agent, in the role of one that is measured: the first.
func leastAgent(release string) Agent {
	return Agent{Name: "the least agent", Cached: true, Release: release, least: true}
}

// A LeastResult is what the least agent delivers: messages for each second, and
// the processor time of its thread for each, in seconds; and how much of it ours
// does, in turns: its deliveries, and the least agent's processor time of ours.
type LeastResult struct {
	PerSecond, CPU        float64
	Fraction, CPUFraction Ratio
}

// leastResult compares, round by round.
func leastResult(least, ours []window) *LeastResult {
	var rates, times []float64
	for i, w := range ours {
		rates = append(rates, w.perSecond()/least[i].perSecond())
		times = append(times, least[i].cpuEach()/w.cpuEach())
	}
	n := numbers(least)
	return &LeastResult{n.PerSecond, n.CPU, ratioOf(rates), ratioOf(times)}
}

// backlog is the length of the listen queue: that of the agents that are measured
// (internal/lab). No client has to come again.
const backlog = 1024

// newLeast listens where the clients of a rig connect to.
func newLeast(r *rig) (*least, error) {
	envelope, content := prepared(r.c)
	first := r.clients[0]
	queue := r.lab.QueueDirectory()
	l := &least{
		log: -1, dir: filepath.Join(queue, "active"),
		sink:     unix.SockaddrUnix{Name: r.sink.Addr().String()},
		request:  first.request,
		envelope: append([]byte("RSET\r\n"), envelope...),
		content:  content,
		status:   []byte("status\x00\x00diag_type\x00\x00diag_text\x00\x00mta_type\x00\x00mta_mname\x00\x00action\x00\x00reason\x00\x00status\x000\x00\x00"),
		line: []byte("Nov 22 12:00:00 mail postfix/lmtp[12345]: 1ABC0000001: to=<user1@example.net>, relay=mail.example.com[public/sink], " +
			"conn_use=2, delay=1, delays=0/1/0/0, dsn=2.0.0, status=sent (250 2.0.0 Saved)"),
		marks:   first.offsets,
		replies: r.c.Recipients + 3,
		buf:     make([]byte, 64<<10),
		file:    make([]byte, r.c.Size+64<<10),
	}
	var err error
	if l.loop, err = newLoop(); err != nil {
		return nil, err
	}
	if l.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err == nil {
		err = unix.Bind(l.fd, &unix.SockaddrUnix{Name: r.socket})
	}
	if err == nil {
		err = unix.Listen(l.fd, backlog)
	}
	if err == nil {
		l.log, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	}
	if err == nil {
		err = unix.Connect(l.log, &unix.SockaddrUnix{Name: filepath.Join(queue, "public", "benchlog")})
	}
	if err == nil {
		l.loop.mu.Lock()
		err = l.loop.add(l.fd, l)
		l.loop.mu.Unlock()
	}
	if err != nil {
		l.close()
		return nil, fmt.Errorf("start least agent: %w", err)
	}
	return l, nil
}

func (l *least) close() {
	l.loop.close()
	unix.Close(l.fd)
	unix.Close(l.log)
	for _, s := range l.idle {
		unix.Close(s.fd)
	}
}

// failure is the first error.
func (l *least) failure() error {
	l.loop.mu.Lock()
	defer l.loop.mu.Unlock()
	return l.err
}

func (l *least) fail(what string, err error) {
	if l.err == nil {
		l.err = fmt.Errorf("least agent: %s: %w", what, err)
	}
}

// ready takes a connection, and greets.
func (l *least) ready() {
	fd, _, err := unix.Accept4(l.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return
	}
	if err := writeAll(fd, []byte("protocol\x00delivery_request_protocol\x00\x00")); err != nil {
		l.fail("greet", err)
	}
	if err := l.loop.add(fd, &leastRequest{l: l, fd: fd}); err != nil {
		l.fail("wait for request", err)
	}
}

// ready takes the request, and begins the dialog.
func (r *leastRequest) ready() {
	l := r.l
	n, err := unix.Read(r.fd, l.buf)
	if err == unix.EAGAIN {
		return
	}
	if n <= 0 {
		l.loop.shut(r.fd)
		return
	}
	if r.have = append(r.have, l.buf[:n]...); len(r.have) < len(l.request) {
		return
	}
	s, err := l.session()
	if err == nil {
		err = s.begin(r)
	}
	if err != nil {
		l.fail("begin", err)
		l.loop.shut(r.fd)
	}
}

// session returns a session that was kept, or a new one.
func (l *least) session() (*leastSession, error) {
	if n := len(l.idle); n > 0 {
		s := l.idle[n-1]
		l.idle = l.idle[:n-1]
		return s, nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	// The greeting is awaited here, once for each session.
	if err := unix.Connect(fd, &l.sink); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if _, err := unix.Read(fd, l.buf); err != nil {
		unix.Close(fd)
		return nil, err
	}
	s := &leastSession{l: l, fd: fd}
	return s, errors.Join(unix.SetNonblock(fd, true), l.loop.add(fd, s))
}

// begin opens the queue file and sends the envelope.
func (s *leastSession) begin(r *leastRequest) error {
	l := s.l
	_, id, _ := bytes.Cut(r.have, []byte("queue_id\x00"))
	id, _, _ = bytes.Cut(id, []byte{0})
	file, err := unix.Open(l.dir+"/"+string(id), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	s.r, s.file, s.wait, s.final = r, file, l.replies, false
	var st unix.Stat_t
	_, readErr := unix.Pread(file, l.file, 0)
	return errors.Join(unix.Fstat(file, &st), unix.Flock(file, unix.LOCK_SH|unix.LOCK_NB), readErr, writeAll(s.fd, l.envelope))
}

// ready counts replies.
func (s *leastSession) ready() {
	l := s.l
	n, err := unix.Read(s.fd, l.buf)
	if err == unix.EAGAIN {
		return
	}
	if n <= 0 || s.r == nil {
		l.loop.shut(s.fd)
		return
	}
	if s.wait -= bytes.Count(l.buf[:n], []byte("\n")); s.wait > 0 {
		return
	}
	if !s.final {
		s.final, s.wait = true, len(l.marks)
		err = writeAll(s.fd, l.content)
	} else {
		err = s.end()
	}
	if err != nil {
		l.fail("deliver", err)
	}
}

// end reports every recipient, and the request.
func (s *leastSession) end() error {
	l := s.l
	var err error
	for _, offset := range l.marks {
		_, logErr := unix.Write(l.log, l.line)
		_, markErr := unix.Pwrite(s.file, []byte("D"), offset)
		err = errors.Join(err, logErr, markErr)
	}
	unix.Close(s.file)
	err = errors.Join(err, writeAll(s.r.fd, l.status))
	l.loop.shut(s.r.fd)
	s.r = nil
	l.idle = append(l.idle, s)
	return err
}
