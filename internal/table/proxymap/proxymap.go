// Package proxymap is a client of proxymap(8), which looks up keys in tables of
// all types that Postfix has, outside of any jail. A table must be listed in
// proxy_read_maps.
//
// # Protocol
//
// A request for open tells how the table can be used; one for lookup finds a
// key. Servers do not remember anything between the two. Postfix 3.11 changed
// the names of some attributes, and the answer to a lookup; a server that gets
// the other form of a request for open answers that it is bad, and the client
// then tries the one that it had not expected.
//
// From Postfix 3.6 on the server greets first. The client does not wait for
// that: it sends its request and skips a greeting if there is one.
package proxymap

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"postlmtp/internal/attr"
	"postlmtp/internal/table/remote"
)

// Protocol is the name that a server greets with.
const Protocol = "proxymap_protocol"

// The statuses of answers.
const (
	statusOK     = 0
	statusNoKey  = 1
	statusRetry  = 2
	statusBad    = 3
	statusDenied = 4
	statusConfig = 5
)

// An Error is an answer that says that the server cannot tell.
type Error struct {
	Config bool // a mistake in the configuration
	Text   string
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Options of a Client.
type Options struct {
	Socket        string        // path of the socket
	Service       string        // the service's name, for errors; "proxymap"
	InstanceFlags bool          // expect a server of Postfix 3.11 or later
	Timeout       time.Duration // for one request
	Idle          time.Duration // ipc_idle: close a connection that was not used so long
	TTL           time.Duration // ipc_ttl: close one that is as old as this
}

// A Client speaks to one service. It may be used by several goroutines at once.
type Client struct {
	opt      Options
	link     *remote.Link
	instance atomic.Bool // the server is of Postfix 3.11 or later
}

// New returns a Client. It connects when it is needed.
func New(opt Options) *Client {
	c := &Client{opt: opt, link: &remote.Link{
		Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", opt.Socket)
		},
		Timeout: opt.Timeout,
		Idle:    opt.Idle,
		TTL:     opt.TTL,
	}}
	c.instance.Store(opt.InstanceFlags)
	return c
}

// Close closes the connections that nobody uses.
func (c *Client) Close() error { return c.link.Close() }

// InstanceFlags reports whether the server is of Postfix 3.11 or later, so far
// as is known.
func (c *Client) InstanceFlags() bool { return c.instance.Load() }

// limits bounds an answer. A value can be large.
func limits() attr.Limits { return attr.Limits{Value: 16 << 20, Count: 8} }

// Open asks for a table, type:name, with flags as Postfix's dict.h numbers them,
// and returns the flags with which the server has it open. Servers before
// Postfix 3.11 get the older flags, none of those of a request.
func (c *Client) Open(ctx context.Context, table string, flags, older int) (serverFlags int, err error) {
	instance := c.instance.Load()
	status, serverFlags, err := c.open(ctx, instance, table, flags, older)
	if err == nil && status == statusBad {
		var other int
		if other, serverFlags, err = c.open(ctx, !instance, table, flags, older); err == nil && other != statusBad {
			c.instance.Store(!instance)
			status = other
		}
	}
	switch {
	case err != nil:
		return 0, err
	case status == statusOK:
		return serverFlags, nil
	case status == statusBad:
		return 0, &Error{Text: fmt.Sprintf("%s open failed for table \"%s\": invalid request", c.opt.Service, table)}
	case status == statusDenied:
		return 0, c.denied(table)
	}
	return 0, &Error{Text: fmt.Sprintf("%s open failed for table \"%s\": unexpected status %d", c.opt.Service, table, status)}
}

func (c *Client) open(ctx context.Context, instance bool, table string, flags, older int) (status, serverFlags int, err error) {
	request := new(attr.List).String("request", "open").String("table", table)
	if instance {
		request.Int("instance_flags", flags)
	} else {
		request.Int("flags", older)
	}
	err = c.ask(ctx, request, func(r *attr.Reader) {
		status = r.Int(attr.Status)
		serverFlags = r.Int("flags")
	})
	return status, serverFlags, err
}

func (c *Client) denied(table string) error {
	return &Error{Text: fmt.Sprintf("%s service is not configured for table \"%s\"", c.opt.Service, table)}
}

// Lookup finds a key. The instance's flags are those of Open, the request's
// those of this lookup; for servers before Postfix 3.11 only the latter count.
func (c *Client) Lookup(ctx context.Context, table string, instance, request int, key string) (value string, found bool, err error) {
	withInstance := c.instance.Load()
	list := new(attr.List).String("request", "lookup").String("table", table)
	if withInstance {
		list.Int("instance_flags", instance)
	}
	list.Int("flags", request).String("key", key)
	var status int
	err = c.ask(ctx, list, func(r *attr.Reader) {
		status = r.Int(attr.Status)
		if withInstance {
			r.Int("flags")
		}
		value = r.String("value")
	})
	if err != nil {
		return "", false, err
	}
	switch status {
	case statusOK:
		return value, true, nil
	case statusNoKey:
		return "", false, nil
	case statusRetry:
		return "", false, &Error{Text: "lookup error"}
	case statusConfig:
		return "", false, &Error{Text: "lookup error", Config: true}
	case statusDenied:
		return "", false, c.denied(table)
	case statusBad:
		return "", false, &Error{Text: fmt.Sprintf("%s lookup failed for table \"%s\" key \"%s\": invalid request", c.opt.Service, table, key)}
	}
	return "", false, &Error{Text: fmt.Sprintf("%s lookup failed for table \"%s\" key \"%s\": unexpected reply status %d",
		c.opt.Service, table, key, status)}
}

// ask sends a request and reads the answer.
func (c *Client) ask(ctx context.Context, request *attr.List, read func(*attr.Reader)) error {
	return c.link.Do(ctx, func(conn *remote.Conn) error {
		if err := request.Send(conn); err != nil {
			return err
		}
		r := attr.NewReader(conn.Reader, limits())
		if !conn.Used() && r.Next() == attr.Protocol {
			if p := r.String(attr.Protocol); r.End() == nil && p != Protocol {
				return fmt.Errorf("unexpected protocol \"%s\" (expected: %s)", p, Protocol)
			}
		}
		read(r)
		return r.End()
	})
}
