// Package ipc is the client of Postfix's own services: it connects to the
// UNIX-domain socket of a service, sends one command, and reads one status.
//
// Call does that on a connection of its own, as bounce(8), defer(8), trace(8)
// and flush(8) want it. A Client keeps a connection for the next command, as
// verify(8) and trivial-rewrite(8) want it; Rewriter is the client of the
// latter. Post posts a mail through cleanup(8).
//
// Servers of Postfix 3.6 and later greet with the name of their protocol,
// those of 3.5 say nothing. The clients here work with both and need not know
// the release: they send the command at once, and in front of the answer skip
// one list with a greeting, whose name must be the right one. A server that
// greets has written its greeting before it reads, so the two cross in the
// buffers of the socket and nothing is lost.
//
// # Failure policy
//
// Each function takes a context and a time limit, ipc_timeout, and returns an
// *Error that says in which step the service failed, in the words of Postfix's
// own warnings. A one-shot call is not repeated: its users have a fall-back. A
// Client repeats its command; see there for how often.
//
// A connect to a socket whose queue of connections is full waits, within the
// time limit, as Postfix's blocking connect does.
package ipc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"postlmtp/internal/attr"
	"postlmtp/internal/socket"
)

// A Command is the list of attributes that a service is sent.
type Command = attr.List

// A Service says where a service listens and what it speaks.
type Service struct {
	Dir      string // the queue directory; empty: the working directory
	Class    string // "private" or "public"
	Name     string // the name in master.cf, such as "bounce"
	Protocol string // the name that a server of 3.6 and later greets with
}

// String returns the service as the log has it: "private/bounce".
func (s Service) String() string { return s.Class + "/" + s.Name }

func (s Service) path() string {
	if s.Dir == "" {
		return s.String()
	}
	return s.Dir + "/" + s.String()
}

// The protocols of the services that a delivery agent reports to, as Postfix
// 3.6 and later announce them.
const (
	DeliveryStatus = "delivery_status_protocol"       // bounce, defer, trace
	Verification   = "address_verification_prrotocol" // verify; the double r is on the wire
	QueueFlush     = "queue_flush_protocol"           // flush
	TrivialRewrite = "trivial_rewrite_protocol"       // rewrite
	MailCleanup    = "cleanup_protocol"               // cleanup
)

// An Error says in which step a service failed.
type Error struct {
	Service Service
	Step    Step
	Err     error
}

// Step is a step of an exchange with a service.
type Step int

// The steps.
const (
	Connect Step = iota
	Write
	Read
)

// Error implements error, in the words of Postfix's warnings: "connect to
// private/bounce: No such file or directory".
func (e *Error) Error() string {
	switch e.Step {
	case Connect:
		return fmt.Sprintf("connect to %v: %s", e.Service, cause(e.Err))
	case Write:
		return fmt.Sprintf("write %v socket: %s", e.Service, cause(e.Err))
	}
	return fmt.Sprintf("write/read %v socket: %s", e.Service, cause(e.Err))
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Cause words the cause as strerror(3) does.
func (e *Error) Cause() string { return cause(e.Err) }

// cause words an error as strerror(3) does, without the names that package net
// puts around it.
func cause(err error) string {
	if errno := syscall.Errno(0); errors.As(err, &errno) {
		text := errno.Error()
		return strings.ToUpper(text[:1]) + text[1:]
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "Connection timed out"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected end-of-input"
	}
	return err.Error()
}

// Call sends cmd to svc on a connection of its own and returns the status that
// the service answers with; 0 is success. The time limit holds for connecting,
// for writing and for the answer, each.
func Call(ctx context.Context, svc Service, timeout time.Duration, cmd *Command) (status int, err error) {
	c, err := dial(ctx, svc, timeout)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	err = c.exchange(ctx, timeout, cmd, readStatus(&status))
	return status, err
}

// An Answer takes apart the list that a service answers with. It reports
// whether the service asks to be left alone: the connection is then not used
// again.
type Answer func(in *attr.Reader) (last bool)

// readStatus is the answer of most services.
func readStatus(status *int) Answer {
	return func(in *attr.Reader) bool {
		*status = in.Int(attr.Status)
		return false
	}
}

// A conn is a connection to a service.
type conn struct {
	net.Conn
	svc  Service
	src  *bufio.Reader
	in   *attr.Reader // of src
	last bool         // the service wants no more on this connection
}

func newConn(c net.Conn, svc Service) *conn {
	src := bufio.NewReader(c)
	return &conn{Conn: c, svc: svc, src: src, in: attr.NewReader(src, attr.Limits{})}
}

func dial(ctx context.Context, svc Service, timeout time.Duration) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := socket.Connect(ctx, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", svc.path())
	})
	if err != nil {
		return nil, &Error{svc, Connect, err}
	}
	return newConn(c, svc), nil
}

// exchange sends a command and reads the answer.
func (c *conn) exchange(ctx context.Context, timeout time.Duration, cmd *Command, read Answer) error {
	defer context.AfterFunc(ctx, func() { c.Close() })()

	c.SetDeadline(time.Now().Add(timeout))
	if err := cmd.Send(c); err != nil {
		return c.failed(ctx, Write, err)
	}
	c.SetDeadline(time.Now().Add(timeout))
	if c.in.Next() == attr.Protocol {
		name := c.in.String(attr.Protocol)
		err := c.in.End()
		if err == nil {
			err = c.expect(name)
		}
		if err != nil {
			return c.failed(ctx, Read, err)
		}
	}
	c.last = read(c.in)
	if err := c.in.End(); err != nil {
		return c.failed(ctx, Read, err)
	}
	return nil
}

// quiet says that the service has said nothing since its last answer, and is
// there.
func (c *conn) quiet() bool { return c.src.Buffered() == 0 && socket.Quiet(c.Conn) }

// expect checks the name of the protocol that a service greets with.
func (c *conn) expect(name string) error {
	if name != c.svc.Protocol {
		return fmt.Errorf("unexpected protocol %q (expected: %s)", name, c.svc.Protocol)
	}
	return nil
}

// failed returns the error of a step, which is that of the context if that is
// what ended the exchange.
func (c *conn) failed(ctx context.Context, step Step, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return &Error{c.svc, step, err}
}

// sleep waits, and says whether it was for the whole time.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
