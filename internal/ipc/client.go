package ipc

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// Settings of a Client. Idle and TTL are ipc_idle and ipc_ttl.
type Settings struct {
	Timeout time.Duration // for each step of one attempt: ipc_timeout
	Idle    time.Duration // a connection that was not used for so long is closed
	TTL     time.Duration // a connection that is so old is not used again
}

// A Client sends commands to a service that keeps its connections open between
// them. It keeps connections for its next commands, too, and may be used by
// many goroutines at once: commands that run at the same time use connections
// of their own.
//
// Postfix's client of this kind repeats a failed command for ever, once a
// second, and holds its delivery process meanwhile. Here the command would hold
// a slot of the process limit, so it is bounded: a connection that the server
// closed, or said something on, while it lay idle is replaced at once and does
// not count; then there are Attempts attempts, a second apart, which is longer
// than it takes to restart a service. An attempt that ran into the time limit is
// the last: it took an hour with the default of ipc_timeout. Commands must bear
// being repeated.
type Client struct {
	svc      Service
	settings Settings
	pause    time.Duration // between attempts

	mu     sync.Mutex
	idle   []*kept // the one used last is at the end
	closed bool
}

// Attempts is how often a Client tries to have a command answered.
const Attempts = 4

// maxIdle is how many connections a Client keeps open for later: a service
// has other clients, too.
const maxIdle = 2

// kept is a connection between two commands.
type kept struct {
	*conn
	born   time.Time
	expire *time.Timer // closes it when idle for too long
}

// NewClient returns a Client of svc. It connects when it has something to say.
func NewClient(svc Service, settings Settings) *Client {
	return &Client{svc: svc, settings: settings, pause: time.Second}
}

// Call sends cmd and returns the status that the service answers with.
func (c *Client) Call(ctx context.Context, cmd *Command) (status int, err error) {
	err = c.Ask(ctx, cmd, readStatus(&status))
	return status, err
}

// Ask sends cmd and has read take the answer apart, which may happen more than
// once.
func (c *Client) Ask(ctx context.Context, cmd *Command, read Answer) (err error) {
	for k := c.take(); k != nil; k = c.take() { // what lay idle may be stale
		if err = c.try(ctx, k, cmd, read); err == nil || late(ctx, err) {
			return err
		}
	}
	for attempt := 1; ; attempt++ {
		var fresh *conn
		if fresh, err = dial(ctx, c.svc, c.settings.Timeout); err == nil {
			if err = c.try(ctx, &kept{conn: fresh, born: time.Now()}, cmd, read); err == nil {
				return nil
			}
		}
		if attempt == Attempts || late(ctx, err) || !sleep(ctx, c.pause) {
			return err
		}
	}
}

// late says whether no time is left for another attempt.
func late(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// try has the command answered on one connection, and keeps that if it can be
// used again.
func (c *Client) try(ctx context.Context, k *kept, cmd *Command, read Answer) error {
	err := k.exchange(ctx, c.settings.Timeout, cmd, read)
	if err != nil || k.last {
		k.Close()
		return err
	}
	c.keep(k)
	return nil
}

// take returns the idle connection that was used last, or nil. Those that are no
// longer in step with the service are closed.
func (c *Client) take() *kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := len(c.idle) - 1; n >= 0; n-- {
		k := c.idle[n]
		c.idle = c.idle[:n]
		k.expire.Stop() // fired already: drop finds nothing to close
		if k.quiet() {
			return k
		}
		k.Close()
	}
	return nil
}

// keep puts a connection aside for the next command.
func (c *Client) keep(k *kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) >= maxIdle || time.Since(k.born) >= c.settings.TTL {
		k.Close()
		return
	}
	c.idle = append(c.idle, k)
	k.expire = time.AfterFunc(c.settings.Idle, func() { c.drop(k) })
}

// drop closes a connection that nobody used for too long, unless somebody just
// took it.
func (c *Client) drop(k *kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.idle {
		if other == k {
			c.idle = append(c.idle[:i], c.idle[i+1:]...)
			k.Close()
			return
		}
	}
}

// Close closes the idle connections. Commands that run end by themselves, and
// later ones connect, without keeping the connection.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, k := range c.idle {
		k.expire.Stop()
		k.Close()
	}
	c.idle = nil
}
