package nexthop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
	"unicode"

	"postlmtp/internal/dsn"
)

// DialOptions say how to connect, named after their parameters.
type DialOptions struct {
	Timeout      time.Duration // lmtp_connect_timeout; 0 leaves it to the system
	BindAddress4 netip.Addr    // lmtp_bind_address; the zero Addr is none
	BindAddress6 netip.Addr    // lmtp_bind_address6
	Enforce      bool          // lmtp_bind_address_enforce
	// Own are the addresses of inet_interfaces, see [OwnAddresses]. If
	// exactly one of a family is among them, and it is not a loopback
	// address, connections of that family come from it, unless there is a
	// bind address.
	Own       []netip.Addr
	TCPWindow int    // tcp_windowsize, bytes; 0 leaves it to the system
	Jail      string // the root directory of the service, "" if that of the system; for hints
	Log       Logger // nil: nobody is told
}

// A DialError is a failed connection.
type DialError struct {
	Diagnosis dsn.Diagnosis // for the recipients, in Postfix's words
	Endpoint  Endpoint
	Err       error

	jail string // see DialOptions
}

func (e *DialError) Error() string { return e.Diagnosis.Reason }

func (e *DialError) Unwrap() error { return e.Err }

// maxSocketPath is the longest pathname that fits into a socket address, with
// a null byte after it (unix(7)).
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// Dial connects to an endpoint. The error is a *[DialError].
func Dial(ctx context.Context, ep Endpoint, o DialOptions) (net.Conn, error) {
	if o.Log == nil {
		o.Log = silent{}
	}
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	if ep.Network == unixNetwork {
		conn, err := dialUnix(ctx, ep, o)
		var failed *DialError
		if errors.As(err, &failed) {
			failed.jail = o.Jail
		}
		return conn, err
	}
	return dialTCP(ctx, ep, o)
}

// connectError is the failure to connect for a reason of the system.
func connectError(ep Endpoint, err error) *DialError {
	return &DialError{
		Diagnosis: dsn.Diagnosis{Status: "4.4.1", Reason: fmt.Sprintf("connect to %s: %s", ep.Relay(), errorText(err))},
		Endpoint:  ep,
		Err:       err,
	}
}

// errorText returns the text of strerror(3) for the error of a connection: the
// mail log is searched for "Connection refused". A time limit of our own looks
// like one of the system.
func errorText(err error) string {
	var errno syscall.Errno
	var limit net.Error
	switch {
	case errors.As(err, &errno):
	case errors.Is(err, context.Canceled):
		errno = syscall.ECANCELED
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &limit) && limit.Timeout():
		errno = syscall.ETIMEDOUT
	default:
		return err.Error()
	}
	text := []rune(errno.Error()) // the texts of the C library in lower case
	text[0] = unicode.ToUpper(text[0])
	return string(text)
}

// dialUnix connects to a UNIX-domain socket. When the server's listen queue is
// full the system says EAGAIN at once, where a blocking connect, which Postfix
// uses, would wait for a place. So we wait: a busy server is not one that is
// down.
func dialUnix(ctx context.Context, ep Endpoint, o DialOptions) (net.Conn, error) {
	path := ep.Path
	if strings.HasPrefix(path, "@") {
		path = "./" + path // a file, not Linux's abstract name
	}
	if len(path) > maxSocketPath {
		o.Log.Warningf("unix-domain name too long: %s", ep.Path)
		return nil, &DialError{
			Diagnosis: dsn.Diagnosis{Status: "4.3.5", Reason: "Server configuration error"},
			Endpoint:  ep,
			Err:       fmt.Errorf("pathname of %d bytes, at most %d fit", len(ep.Path), maxSocketPath),
		}
	}
	var busy error
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(ctx, unixNetwork, path)
		if err == nil {
			return conn, nil
		}
		var limit net.Error
		switch {
		case errors.Is(err, syscall.EAGAIN):
			busy = err
		case busy != nil && errors.As(err, &limit) && limit.Timeout():
			return nil, connectError(ep, busy) // what the time went by with
		default:
			return nil, connectError(ep, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func dialTCP(ctx context.Context, ep Endpoint, o DialOptions) (net.Conn, error) {
	// An IPv4 address in IPv6 clothes is for the system the IPv4 address.
	addr := ep.Addr.Unmap()
	network := "tcp6"
	if addr.Is4() {
		network = "tcp4"
	}
	var refused error // the bind address cannot be used, and must be
	d := net.Dialer{
		// On, with the system's intervals: between two deliveries a
		// firewall must not forget an idle session.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1},
		Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			if ctrl := c.Control(func(fd uintptr) { err = prepare(int(fd), addr, o) }); ctrl != nil {
				return ctrl
			}
			refused = err
			return err
		},
	}
	conn, err := d.DialContext(ctx, network, netip.AddrPortFrom(addr, ep.Port).String())
	switch {
	case err == nil:
		return conn, nil
	case refused != nil:
		return nil, &DialError{
			Diagnosis: dsn.Diagnosis{Status: "4.4.0", Reason: "server configuration error"},
			Endpoint:  ep,
			Err:       refused,
		}
	}
	return nil, connectError(ep, err)
}
