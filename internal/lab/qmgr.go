package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"postlmtp/internal/dsn"
	"postlmtp/internal/request"
)

// A Result is the final status of a delivery request.
type Result struct {
	Status  int           // 0: every recipient is finished
	Hop     dsn.Diagnosis // not empty: the destination is to be avoided for a while
	Elapsed time.Duration
}

// requestDialect returns what the stand-in for qmgr(8) speaks.
func (o *Options) requestDialect() request.Dialect {
	switch d := o.dialect(); {
	case d.sendopts:
		return request.Postfix310
	case d.greets:
		return request.Postfix36
	}
	return request.Postfix35
}

// Dialect returns what the stand-in for qmgr(8) speaks.
func (l *Lab) Dialect() request.Dialect { return l.opts.requestDialect() }

// Deliver hands a request to the agent and waits for the final status. The
// error says that none came: the agent cannot be started or reached, breaks
// the protocol, dies, or takes longer than ctx allows.
func (l *Lab) Deliver(ctx context.Context, req *request.Request) (Result, error) {
	start := time.Now()
	client, err := l.Connect(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("deliver %s: %w", req.QueueID, err)
	}
	defer client.Close()
	res, err := client.Deliver(req)
	if err != nil {
		if cause := ctx.Err(); cause != nil {
			err = cause
		}
		return Result{}, fmt.Errorf("deliver %s: %w", req.QueueID, err)
	}
	res.Elapsed = time.Since(start)
	return res, nil
}

// A Client is a connection of the queue manager to the agent, after the
// agent's greeting. Tests that break the protocol write to Conn.
type Client struct {
	Conn net.Conn
	In   *bufio.Reader
	lab  *Lab
	stop func() bool
}

// Connect connects to the agent and reads its greeting. When ctx ends the
// connection is closed.
func (l *Lab) Connect(ctx context.Context) (*Client, error) {
	if err := l.master.health(); err != nil {
		return nil, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", l.servicePath())
	if err != nil {
		return nil, err
	}
	c := &Client{Conn: conn, In: bufio.NewReader(conn), lab: l}
	c.stop = context.AfterFunc(ctx, func() { conn.Close() })
	if err := c.hello(); err != nil {
		c.Close()
		if cause := ctx.Err(); cause != nil {
			err = cause
		}
		return nil, err
	}
	return c, nil
}

// hello waits for the agent's greeting, as long as there is hope for one.
func (c *Client) hello() error {
	for {
		_ = c.Conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := c.In.Peek(1)
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return errors.Join(c.lab.master.health(), fmt.Errorf("wait for greeting: %w", err))
		}
		if err := c.lab.master.health(); err != nil {
			return err
		}
	}
	_ = c.Conn.SetReadDeadline(time.Time{})
	got, err := request.ReadHello(c.In)
	if err != nil {
		return err
	}
	if want := c.lab.opts.requestDialect().Hello(); got != want {
		return fmt.Errorf("greeting is not that of Postfix %s", c.lab.opts.Release)
	}
	return nil
}

// Deliver sends the request and reads the final status.
func (c *Client) Deliver(req *request.Request) (Result, error) {
	if err := req.Encode(c.Conn, c.lab.opts.requestDialect()); err != nil {
		return Result{}, err
	}
	return c.Finish()
}

// Finish reads the final status, after which the agent may say nothing more.
// Postfix's agent waits for us to close then; on Linux nothing depends on it.
func (c *Client) Finish() (res Result, err error) {
	res.Status, res.Hop, err = request.ReadFinish(c.In)
	if err != nil {
		return Result{}, err
	}
	if n := c.In.Buffered(); n > 0 {
		return Result{}, fmt.Errorf("read delivery status: %d bytes too many", n)
	}
	return res, nil
}

// CloseWrite ends what the agent can read.
func (c *Client) CloseWrite() error {
	return c.Conn.(*net.UnixConn).CloseWrite()
}

// Close closes the connection.
func (c *Client) Close() error {
	c.stop()
	return c.Conn.Close()
}
