package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"postlmtp/internal/request"

	"golang.org/x/sys/unix"
)

// deliveryLimit is when a delivery counts as hung.
const deliveryLimit = 2 * time.Minute

// A client is the queue manager with one message, which it has delivered again
// and again. It does as little as it can: the request is prepared, and of the
// status only its end is looked at.
type client struct {
	loop    *loop
	addr    unix.SockaddrUnix
	request []byte
	file    *os.File
	fd      int     // of file
	marks   []byte  // the part of the queue file with the recipients, unmarked
	from    int64   // where that part begins
	offsets []int64 // of the recipients

	conn    int  // the connection to the agent, -1 without one
	greeted bool // the agent has greeted, and has the request
	buf     []byte
	have    int // bytes in buf

	start time.Time // of the delivery that is under way
	end   time.Time // no delivery is begun after it
	times []time.Duration
	ended func(error)
}

// newClient prepares a request. The greeting need not be known: in every dialect
// it ends as any list of attributes does.
func newClient(l *loop, socket, path string, req *request.Request, dialect request.Dialect) (*client, error) {
	var encoded bytes.Buffer
	if err := req.Encode(&encoded, dialect); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open queue file: %w", err)
	}
	c := &client{
		loop:    l,
		addr:    unix.SockaddrUnix{Name: socket},
		request: encoded.Bytes(),
		file:    file,
		fd:      int(file.Fd()),
		from:    req.Recipients[0].Offset,
		conn:    -1,
		buf:     make([]byte, 4096),
	}
	last := req.Recipients[len(req.Recipients)-1].Offset
	c.marks = make([]byte, last-c.from+1)
	for _, rcpt := range req.Recipients {
		c.offsets = append(c.offsets, rcpt.Offset)
	}
	if _, err := file.ReadAt(c.marks, c.from); err != nil {
		file.Close()
		return nil, fmt.Errorf("read queue file: %w", err)
	}
	return c, nil
}

func (c *client) close() { c.file.Close() }

// run delivers until the end, once at least, and then calls ended. Times has how
// long each took. The loop's lock must be held.
func (c *client) run(end time.Time, ended func(error)) {
	c.end, c.ended, c.times = end, ended, c.times[:0]
	c.next(time.Now())
}

// next begins a delivery.
func (c *client) next(now time.Time) {
	c.start = now
	if _, err := unix.Pwrite(c.fd, c.marks, c.from); err != nil {
		c.stop(fmt.Errorf("take marks back: %w", err))
		return
	}
	c.connect()
}

// connect connects, and tries again where the listen queue is full.
func (c *client) connect() {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(fd, &c.addr)
		if err == nil {
			c.conn, c.greeted, c.have = fd, false, 0
			if err = c.loop.add(fd, c); err == nil {
				return
			}
		}
		unix.Close(fd)
		c.conn = -1
	}
	if err == unix.EAGAIN {
		c.loop.later(c)
		return
	}
	c.stop(fmt.Errorf("connect: %w", err))
}

// ready takes what the agent says.
func (c *client) ready() {
	if c.conn < 0 {
		c.connect()
		return
	}
	n, err := unix.Read(c.conn, c.buf[c.have:])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil:
		c.stop(fmt.Errorf("read from agent: %w", err))
		return
	case n == 0:
		c.stop(errors.New("the agent has hung up"))
		return
	}
	c.have += n
	text, whole := bytes.CutSuffix(c.buf[:c.have], []byte("\x00\x00"))
	if !whole {
		if c.have == len(c.buf) {
			c.stop(errors.New("the agent says too much"))
		}
		return
	}
	c.have = 0
	if !c.greeted {
		c.greeted = true
		if err := writeAll(c.conn, c.request); err != nil {
			c.stop(fmt.Errorf("send request: %w", err))
		}
		return
	}
	c.done(text)
}

// done takes the status, which is the last value of a list.
func (c *client) done(text []byte) {
	value := text[bytes.LastIndexByte(text, 0)+1:]
	if status, err := strconv.Atoi(string(value)); err != nil || status != 0 {
		c.stop(fmt.Errorf("delivery failed: status %q", value))
		return
	}
	c.loop.shut(c.conn)
	c.conn = -1
	now := time.Now()
	c.times = append(c.times, now.Sub(c.start))
	if now.After(c.end) {
		c.stop(nil)
		return
	}
	c.next(now)
}

// stop ends the run.
func (c *client) stop(err error) {
	if c.conn >= 0 {
		c.loop.shut(c.conn)
		c.conn = -1
	}
	if c.ended != nil {
		c.ended(err)
		c.ended = nil
	}
}
