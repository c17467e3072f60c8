package lmtp

import (
	"context"
	"strconv"
	"strings"
	"time"

	"postlmtp/internal/address"
)

// XClient are the attributes that Session.XClient can send. They are Dovecot's
// additions to Postfix's XCLIENT, and of the connection. Postfix's own are of
// the client of one message, and would be wrong for the next one.
type XClient struct {
	Session string        // the name of this session in the server's log; empty: not sent
	Timeout time.Duration // how long we wait for a final reply, in whole seconds; 0: not sent
}

// XClientSet is a set of XCLIENT attributes that the server takes.
type XClientSet uint8

// The bits of XClientSet.
const (
	XClientSession XClientSet = 1 << iota
	XClientTimeout
)

// XClient tells the server who we are to it (XCLIENT_README), as far as it
// offers to take it; a server that does not is not asked. After that the dialog
// begins anew: LHLO is sent again, and a login counts no more, so XClient comes
// before Auth. A refusal is a *ReplyError with StageXClient, after which the
// session goes on as before; a refused LHLO is one with StageLHLO.
func (s *Session) XClient(ctx context.Context, x XClient) error {
	line := s.caps.XClient.command(x)
	if line == "" {
		return nil
	}
	defer s.watch(ctx)()
	r, err := s.ask(StageXClient, line)
	if err != nil {
		return err
	}
	if !r.Success() {
		return &ReplyError{Stage: StageXClient, Reply: r}
	}
	if s.caps.XClient&XClientSession != 0 {
		s.name = x.Session
	}
	s.caps = Capabilities{}
	return s.hello()
}

// Name is what XClient has called the session, "" if the server does not know
// of a name.
func (s *Session) Name() string { return s.name }

// command is the line that sends as much as the server takes, "" if that is
// nothing.
func (set XClientSet) command(x XClient) string {
	var b strings.Builder
	if set&XClientSession != 0 && x.Session != "" {
		b.WriteString(" SESSION=" + string(address.XText(x.Session, "=")))
	}
	if seconds := int64(x.Timeout / time.Second); set&XClientTimeout != 0 && seconds > 0 {
		b.WriteString(" TIMEOUT=" + strconv.FormatInt(seconds, 10))
	}
	if b.Len() == 0 {
		return ""
	}
	return "XCLIENT" + b.String()
}

func (c *Capabilities) offerXClient(args string) {
	for {
		word, ok := token(&args, " \t")
		if !ok {
			return
		}
		switch strings.ToUpper(word) {
		case "SESSION":
			c.XClient |= XClientSession
		case "TIMEOUT":
			c.XClient |= XClientTimeout
		}
	}
}
