package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// maxDatagram is what is read of a reply over UDP. Thousands of lookups may
	// wait for a name server that is silent, each with a buffer of that size.
	maxDatagram = 4096
	// maxStrays bounds the messages that are read while waiting for the
	// right one, so that a flood of forged replies ends the attempt.
	maxStrays = 64
)

// exchange puts a question to the name servers until one gives an answer that
// counts. The error says what the last attempt came to.
func (r *Resolver) exchange(ctx context.Context, c Config, q question) (reply, error) {
	first := 0
	if c.Rotate {
		first = mathrand.IntN(len(c.Servers))
	}
	var last error
	for range c.Attempts {
		for i := range c.Servers {
			server := c.Servers[(first+i)%len(c.Servers)]
			rep, err := r.ask(ctx, c, server, q)
			switch {
			case err == nil && rep.lame:
				err = fmt.Errorf("server %v: neither an answer nor recursion", server.Addr())
			case err == nil && passOver(rep.rcode):
				err = fmt.Errorf("server %v: reply code %v", server.Addr(), rep.rcode)
			case err == nil:
				return rep, nil
			}
			last = err
			if ctx.Err() != nil {
				return reply{}, last
			}
		}
	}
	return reply{}, last
}

// passOver says whether another server may know better. The C library makes
// no difference between these codes, so that REFUSED too ends in "try again".
func passOver(code dnsmessage.RCode) bool {
	return code == dnsmessage.RCodeServerFailure || code == dnsmessage.RCodeNotImplemented ||
		code == dnsmessage.RCodeRefused
}

// ask puts a question to one server, over UDP and then, if the reply is cut
// short, over TCP. A server that chokes on EDNS0 is asked without.
func (r *Resolver) ask(ctx context.Context, c Config, server netip.AddrPort, q question) (reply, error) {
	network := "udp"
	if c.TCP {
		network = "tcp"
	}
	rep, err := r.once(ctx, c.Timeout, network, server, q)
	if err == nil && rep.rcode == dnsmessage.RCodeFormatError && (q.edns || q.dnssec) {
		q.edns, q.dnssec = false, false
		rep, err = r.once(ctx, c.Timeout, network, server, q)
	}
	if err == nil && rep.truncated && network == "udp" {
		rep, err = r.once(ctx, c.Timeout, "tcp", server, q)
	}
	if err == nil && rep.truncated {
		err = errReply // over TCP there is no reason for it
	}
	if err != nil {
		return reply{}, fmt.Errorf("server %v: %w", server.Addr(), err)
	}
	return rep, nil
}

// once sends a question and waits for its reply. Each has a socket of its
// own, hence a port of the kernel's choice, connected, so that the kernel
// drops what other hosts send; with the random id this is what a forger must
// guess (RFC 5452).
func (r *Resolver) once(ctx context.Context, timeout time.Duration, network string, server netip.AddrPort, q question) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var id [2]byte
	_, _ = rand.Read(id[:]) // never fails
	q.id = binary.BigEndian.Uint16(id[:])
	query, err := q.pack()
	if err != nil {
		return reply{}, err
	}
	conn, err := r.dial(ctx, network, server.String())
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	rep, err := converse(conn, network, query, q)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return rep, err
}

func converse(conn net.Conn, network string, query []byte, q question) (reply, error) {
	if network == "tcp" {
		return converseStream(conn, query, q)
	}
	if _, err := conn.Write(query); err != nil {
		return reply{}, err
	}
	buf := make([]byte, maxDatagram)
	for range maxStrays {
		n, err := conn.Read(buf)
		if err != nil {
			return reply{}, err
		}
		rep, err := parseReply(buf[:n], q)
		switch {
		case n == len(buf) && errors.Is(err, errReply):
			return reply{truncated: true}, nil // by us
		case !errors.Is(err, errNotOurs):
			return rep, err
		}
	}
	return reply{}, errNotOurs
}

// converseStream is converse with the length in front of each message
// (RFC 1035 section 4.2.2).
func converseStream(conn net.Conn, query []byte, q question) (reply, error) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(query)))
	if _, err := conn.Write(append(framed, query...)); err != nil {
		return reply{}, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return reply{}, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return reply{}, err
	}
	return parseReply(buf, q)
}
