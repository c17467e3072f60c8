package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"postlmtp/internal/request"
)

// deliveryLimit is when a delivery counts as hung.
const deliveryLimit = 2 * time.Minute

// A client is the queue manager with one message, which it has delivered again
// and again. It does as little as it can: the request is prepared, and of the
// status only its end is looked at.
type client struct {
	addr    *net.UnixAddr
	request []byte
	file    *os.File
	marks   []byte // the part of the queue file with the recipients, unmarked
	from    int64  // where that part begins
	buf     []byte
}

// newClient prepares a request.
func newClient(socket, path string, req *request.Request) (*client, error) {
	var encoded bytes.Buffer
	if err := req.Encode(&encoded, request.Postfix36); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open queue file: %w", err)
	}
	c := &client{
		addr:    &net.UnixAddr{Name: socket, Net: "unix"},
		request: encoded.Bytes(),
		file:    file,
		from:    req.Recipients[0].Offset,
		buf:     make([]byte, 4096),
	}
	last := req.Recipients[len(req.Recipients)-1].Offset
	c.marks = make([]byte, last-c.from+1)
	if _, err := file.ReadAt(c.marks, c.from); err != nil {
		file.Close()
		return nil, fmt.Errorf("read queue file: %w", err)
	}
	return c, nil
}

func (c *client) close() { c.file.Close() }

// loop delivers until the end, once at least, and returns how long each took.
func (c *client) loop(ctx context.Context, end time.Time) ([]time.Duration, error) {
	var times []time.Duration
	for {
		start := time.Now()
		if err := c.deliver(start); err != nil {
			return times, err
		}
		now := time.Now()
		times = append(times, now.Sub(start))
		if now.After(end) || ctx.Err() != nil {
			return times, ctx.Err()
		}
	}
}

// deliver hands the request over once.
func (c *client) deliver(start time.Time) error {
	if _, err := c.file.WriteAt(c.marks, c.from); err != nil {
		return fmt.Errorf("take marks back: %w", err)
	}
	conn, err := c.connect(start)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(start.Add(deliveryLimit))
	if _, err := c.read(conn); err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	if _, err := conn.Write(c.request); err != nil {
		return fmt.Errorf("send request: %w", err)
	}
	status, err := c.read(conn)
	if err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	if status != 0 {
		return fmt.Errorf("delivery failed: status %d", status)
	}
	return nil
}

// connect connects, and waits where the listen queue is full.
func (c *client) connect(start time.Time) (*net.UnixConn, error) {
	for {
		conn, err := net.DialUnix("unix", nil, c.addr)
		if err == nil {
			return conn, nil
		}
		if time.Since(start) > deliveryLimit {
			return nil, fmt.Errorf("connect: %w", err)
		}
		time.Sleep(time.Millisecond)
	}
}

// read reads one attribute list, and returns the number that it ends with, 0 if
// it ends with none.
func (c *client) read(conn net.Conn) (int, error) {
	have := 0
	for {
		n, err := conn.Read(c.buf[have:])
		if err != nil {
			return 0, err
		}
		have += n
		text, whole := bytes.CutSuffix(c.buf[:have], []byte("\x00\x00"))
		if !whole {
			if have == len(c.buf) {
				return 0, errors.New("too long")
			}
			continue
		}
		value := text[bytes.LastIndexByte(text, 0)+1:]
		status, err := strconv.Atoi(string(value))
		if err != nil {
			return 0, nil // the greeting
		}
		return status, nil
	}
}
