// Package proxymap is a client of proxymap(8), which looks up keys in tables of
// all types that Postfix has, outside of any jail, and keeps some of them. A table
// must be listed in proxy_read_maps, or proxy_write_maps to be changed.
//
// # Protocol
//
// A request for open tells how the table can be used; others find, store or
// remove a key. Servers do not remember anything between the two. Postfix 3.11 changed
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
	q := query{"lookup", table, instance, request, key}
	status, err := c.send(ctx, q, nil, &value)
	switch {
	case err != nil:
		return "", false, err
	case status == statusOK:
		return value, true, nil
	case status == statusNoKey:
		return "", false, nil
	}
	return "", false, c.problem(q, status)
}

// Update stores a value under a key, in a table that proxywrite(8) maintains. The
// flags are as for Lookup.
func (c *Client) Update(ctx context.Context, table string, instance, request int, key, value string) error {
	q := query{"update", table, instance, request, key}
	status, err := c.send(ctx, q, &value, nil)
	if err == nil && status != statusOK {
		err = c.problem(q, status)
	}
	return err
}

// Delete removes a key from such a table. It is no error if there is none.
func (c *Client) Delete(ctx context.Context, table string, instance, request int, key string) error {
	q := query{"delete", table, instance, request, key}
	status, err := c.send(ctx, q, nil, nil)
	if err == nil && status != statusOK && status != statusNoKey {
		err = c.problem(q, status)
	}
	return err
}

// query is a request about one key.
type query struct {
	verb, table       string
	instance, request int // flags
	key               string
}

// send sends a query, with a value to store or a place for the one that is
// found, if there is one.
func (c *Client) send(ctx context.Context, q query, store, found *string) (status int, err error) {
	withInstance := c.instance.Load()
	list := new(attr.List).String("request", q.verb).String("table", q.table)
	if withInstance {
		list.Int("instance_flags", q.instance)
	}
	list.Int("flags", q.request).String("key", q.key)
	if store != nil {
		list.String("value", *store)
	}
	err = c.ask(ctx, list, func(r *attr.Reader) {
		status = r.Int(attr.Status)
		if withInstance {
			r.Int("flags")
		}
		if found != nil {
			*found = r.String("value")
		}
	})
	return status, err
}

// problem is the error that a status stands for.
func (c *Client) problem(q query, status int) error {
	switch status {
	case statusRetry:
		return &Error{Text: q.verb + " error"}
	case statusConfig:
		return &Error{Text: q.verb + " error", Config: true}
	case statusDenied:
		return c.denied(q.table)
	case statusBad:
		return &Error{Text: fmt.Sprintf("%s %s failed for table \"%s\" key \"%s\": invalid request", c.opt.Service, q.verb, q.table, q.key)}
	}
	return &Error{Text: fmt.Sprintf("%s %s failed for table \"%s\" key \"%s\": unexpected reply status %d",
		c.opt.Service, q.verb, q.table, q.key, status)}
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
