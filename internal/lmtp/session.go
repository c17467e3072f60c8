package lmtp

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// A Session is an open dialog with a server. It is for one goroutine at a time.
type Session struct {
	opt Options
}

// Open says hello over conn, which the session owns from now on. A refused
// greeting or LHLO is a *ReplyError, and the session that comes with it is good
// for Quit and Close only. With any other error the connection is closed and
// the session is nil.
func Open(ctx context.Context, conn net.Conn, opt Options) (*Session, error) { panic("unwritten") }

// Use ties the session to another delivery: log lines and trace events go to
// its hooks, and ProtocolError starts anew.
func (s *Session) Use(h Hooks) { s.opt.Hooks = h }

// Caps returns what the server offers.
func (s *Session) Caps() Capabilities { panic("unwritten") }

// Greeting returns the server's first reply.
func (s *Session) Greeting() Reply { panic("unwritten") }

// ConnectedAt returns the time at which Open was called.
func (s *Session) ConnectedAt() time.Time { panic("unwritten") }

// UseCount returns how many transactions were begun on the session.
func (s *Session) UseCount() int { panic("unwritten") }

// Reusable says whether another transaction may be begun: the last one came to
// a proper end and nothing about the dialog was odd. See Reset.
func (s *Session) Reusable() bool { panic("unwritten") }

// ProtocolError says that the server said something odd since the session was
// opened or Use was called: Postfix's trouble class "protocol".
func (s *Session) ProtocolError() bool { panic("unwritten") }

// TLS returns the state of the TLS connection, nil without TLS.
func (s *Session) TLS() *tls.ConnectionState { panic("unwritten") }

// StartTLS sends STARTTLS, shakes hands with cfg, and says LHLO again. A
// refused STARTTLS is a *ReplyError after which the session goes on without
// TLS; a failed handshake is a *ConnError with StageTLS. Judging the
// certificate is up to cfg.
func (s *Session) StartTLS(ctx context.Context, cfg *tls.Config) (*tls.ConnectionState, error) {
	panic("unwritten")
}

// Deliver runs one transaction; see the package comment for what its errors
// say. After a *ReplyError, and after nil, the session can be used again if
// Reusable says so, and can be quit; a RSET was sent where one is due. After any
// other error it is closed.
func (s *Session) Deliver(ctx context.Context, t *Transaction) error { panic("unwritten") }

// Reset asks by RSET whether an idle session is alive (lmtp_rset_timeout). Nil
// means that it is and that the dialog is in step; after an error the session
// is closed.
func (s *Session) Reset(ctx context.Context) error { panic("unwritten") }

// Quit sends QUIT, waits for the reply if wait is set (lmtp_skip_quit_response =
// no), and closes the session. An error matters to nobody.
func (s *Session) Quit(ctx context.Context, wait bool) error { panic("unwritten") }

// Close closes the connection without a word. It may be called again.
func (s *Session) Close() error { panic("unwritten") }

// ParseDiscard reads the value of lmtp_discard_lhlo_keywords: words between
// commas and spaces; case does not matter, and unknown words are ignored.
func ParseDiscard(words string) Discard { panic("unwritten") }
