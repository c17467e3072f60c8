package lmtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// tlsCloseTime bounds the sending of TLS's close_notify.
const tlsCloseTime = 5 * time.Second

// A Session is an open dialog with a server. It is for one goroutine at a time.
type Session struct {
	opt       Options
	connected time.Time
	wire      *wire
	rw        io.ReadWriter // wire, or tls
	tls       *tls.Conn
	replies   *replyReader

	greeting Reply
	caps     Capabilities
	name     string // see Name
	uses     int
	closed   bool
	refused  bool // greeting or LHLO refused: only QUIT may follow
	spoiled  bool // not to be used for another transaction
	odd      bool // Postfix's trouble class "protocol"

	out  []byte    // commands of the current group
	cmds []command // the same, one by one
	body *bodyWriter
}

// Open says hello over conn, which the session owns from now on. A refused
// greeting or LHLO is a *ReplyError, and the session that comes with it is good
// for Quit and Close only. With any other error the connection is closed and
// the session is nil.
func Open(ctx context.Context, conn net.Conn, opt Options) (*Session, error) {
	opt.Timeouts = opt.Timeouts.withDefaults()
	s := &Session{
		opt:       opt,
		connected: time.Now(),
		wire: &wire{
			Conn:    conn,
			pending: pendingFunc(conn),
			kernel:  isSocket(conn),
			perReq:  opt.Timeouts.PerRequestDeadline,
		},
	}
	s.rw = s.wire
	s.replies = newReplyReader(s.rw, &s.opt)
	defer s.watch(ctx)()

	if s.opt.TLS != nil {
		if err := s.handshake(s.opt.TLS); err != nil {
			if s.closed {
				return nil, err
			}
			return s, err
		}
	}
	s.wire.begin(s.opt.Timeouts.LHLO, 0) // one limit for greeting and LHLO
	s.opt.at(StageGreeting)
	s.replies.strange = s.opt.Hooks.Strange
	greeting, err := s.reply()
	s.replies.strange = nil
	if err != nil {
		return nil, s.fail(StageGreeting, err)
	}
	s.greeting = greeting
	if !greeting.Success() {
		s.refuse(greeting)
		return s, &ReplyError{Stage: StageGreeting, Reply: greeting}
	}
	if s.opt.Hooks.Masked != nil && greeting.Masked() {
		s.opt.Hooks.Masked()
	}
	if err := s.hello(); err != nil {
		if s.closed {
			return nil, err
		}
		return s, err
	}
	return s, nil
}

// hello says LHLO and notes what the server offers.
func (s *Session) hello() error {
	if strings.ContainsAny(s.opt.LHLOName, "\r\n\x00") {
		return s.fail(StageLHLO, &errLocal{fmt.Errorf("send LHLO name %q: line end or NUL in it", s.opt.LHLOName)})
	}
	r, err := s.ask(StageLHLO, "LHLO "+s.opt.LHLOName)
	if err != nil {
		return err
	}
	if !r.Success() {
		s.refuse(r)
		s.refused = true
		return &ReplyError{Stage: StageLHLO, Reply: r}
	}
	s.caps = parseCapabilities(r, s.tls != nil, &s.opt)
	s.replies.pipeline = s.caps.Pipelining
	return nil
}

// refuse notes an error reply that concerns the session.
func (s *Session) refuse(r Reply) {
	s.spoiled = true
	if r.Suspicious() {
		s.noteOdd()
	}
}

// noteOdd notes that the server said something odd.
func (s *Session) noteOdd() {
	s.odd = true
	if s.opt.Hooks.Odd != nil {
		s.opt.Hooks.Odd()
	}
}

// Use ties the session to another delivery: log lines and trace events go to
// its hooks, and ProtocolError starts anew. What it had from the one before is let
// go, so that an idle session does not hold it in memory: no handshake follows.
func (s *Session) Use(h Hooks) {
	s.opt.Hooks, s.opt.TLS, s.opt.AcceptTLS = h, nil, nil
	s.odd = false
}

// Caps returns what the server offers.
func (s *Session) Caps() Capabilities { return s.caps }

// Greeting returns the server's first reply.
func (s *Session) Greeting() Reply { return s.greeting }

// ConnectedAt returns the time at which Open was called.
func (s *Session) ConnectedAt() time.Time { return s.connected }

// UseCount returns how many transactions were begun on the session.
func (s *Session) UseCount() int { return s.uses }

// Reusable says whether another transaction may be begun: the last one came to
// a proper end and nothing about the dialog was odd. See Transaction.Idle.
func (s *Session) Reusable() bool { return !s.closed && !s.refused && !s.spoiled }

// Closed says that the connection is closed.
func (s *Session) Closed() bool { return s.closed }

// ProtocolError says that the server said something odd since the session was
// opened or Use was called: Postfix's trouble class "protocol".
func (s *Session) ProtocolError() bool { return s.odd }

// TLS returns the state of the TLS connection, nil without TLS.
func (s *Session) TLS() *tls.ConnectionState {
	if s.tls == nil {
		return nil
	}
	state := s.tls.ConnectionState()
	return &state
}

// Quit sends QUIT, waits for the reply if wait is set (lmtp_skip_quit_response =
// no), and closes the session. An error matters to nobody.
func (s *Session) Quit(ctx context.Context, wait bool) error {
	if s.closed {
		return nil
	}
	defer s.watch(ctx)()
	defer s.Close()
	s.opt.at(StageQuit)
	s.wire.begin(s.opt.Timeouts.Quit, 0)
	s.group()
	s.add(StageQuit, 0, append(s.out, "QUIT"...))
	s.traceCommands()
	if _, err := s.rw.Write(s.out); err != nil {
		return s.fail(StageQuit, err)
	}
	if wait {
		if _, err := s.reply(); err != nil {
			return s.fail(StageQuit, err)
		}
	}
	if s.tls != nil {
		s.wire.bound(time.Now().Add(tlsCloseTime))
		s.tls.CloseWrite() //nolint:errcheck // a courtesy
	}
	return nil
}

// Close closes the connection without a word. It may be called again.
func (s *Session) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	return s.wire.Conn.Close()
}

// watch ties what goes on to ctx. The returned function unties it.
func (s *Session) watch(ctx context.Context) func() {
	id := s.wire.watch()
	if ctx.Err() != nil {
		s.wire.cancel(id, context.Cause(ctx))
	}
	stop := context.AfterFunc(ctx, func() { s.wire.cancel(id, context.Cause(ctx)) })
	return func() {
		stop()
		s.wire.unwatch()
	}
}

// fail closes the session and makes an error of what broke it.
func (s *Session) fail(stage Stage, err error) error {
	cause := s.wire.cause()
	s.Close()
	s.spoiled = true
	var local *errLocal
	switch {
	case cause != nil:
		return &ConnError{Stage: stage, Cancelled: true, Err: cause}
	case errors.As(err, &local):
		return &LocalError{Stage: stage, Err: local.err}
	case errors.Is(err, ErrDesync), errors.Is(err, ErrReplyTooLong):
		s.noteOdd()
	}
	return &ConnError{Stage: stage, Timeout: isTimeout(err), Err: err}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
