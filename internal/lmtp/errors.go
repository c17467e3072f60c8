package lmtp

import (
	"errors"
	"fmt"
)

// ErrDesync is wrapped by a ConnError when bytes came from the server where
// none may be, or replies do not fit the commands: which reply answers which
// command is unknown from there on, and no outcome was taken from them.
var ErrDesync = errors.New("reply without a command")

// ErrReplyTooLong is wrapped by a ConnError when the server does not come to
// the end of a reply.
var ErrReplyTooLong = errors.New("reply without end")

// ErrClosed is wrapped by a ConnError when the session had been closed before.
var ErrClosed = errors.New("session is closed")

// A ReplyError is a refusal by the server that concerns the whole session
// (greeting, LHLO, STARTTLS) or all recipients of the transaction that have no
// outcome of their own (MAIL FROM, DATA). The reply need not be a 4xx or 5xx
// one: it is a ReplyError because it is not what lets the dialog go on.
type ReplyError struct {
	Stage Stage
	Reply Reply
}

func (e *ReplyError) Error() string {
	if c := e.Stage.Command(); c != "" {
		return fmt.Sprintf("%s: server said: %s", c, e.Reply.Text())
	}
	return "greeting: server said: " + e.Reply.Text()
}

// A ConnError says that the dialog broke off. The connection is closed.
type ConnError struct {
	Stage   Stage // what was going on
	Timeout bool  // the limit of the stage passed; otherwise lost, cancelled or ErrDesync
	// Cancelled says that the context ended; Err is then its cause.
	Cancelled bool
	Err       error
	// DotSent says that all of the message was sent, with DATA or BDAT: the
	// server may have stored it for any recipient without an outcome. Otherwise
	// it has for none, also if Stage is StageFinal, which is what Postfix says in
	// the log. A flight of which nothing was answered, because the idle session
	// was dead, has StageResetProbe.
	DotSent bool
	// Unsettled holds the indices of the recipients without an outcome, in
	// order. Nil outside of Deliver.
	Unsettled []int
}

func (e *ConnError) Error() string {
	switch {
	case e.Timeout:
		return "timed out while " + e.Stage.String()
	case e.Err != nil:
		return fmt.Sprintf("broken off while %s: %v", e.Stage, e.Err)
	}
	return "lost connection while " + e.Stage.String()
}

func (e *ConnError) Unwrap() error { return e.Err }

// Ambiguous says that recipients without an outcome may have the message.
func (e *ConnError) Ambiguous() bool { return e.DotSent && len(e.Unsettled) > 0 }

// A LocalError is a failure on our side: the content could not be produced, or
// the reply filter failed. The connection is closed, without the final dot
// unless Stage is StageFinal: then the server may have stored the message for
// recipients without an outcome. They share the error.
type LocalError struct {
	Stage Stage
	Err   error // what Transaction.Body or Options.ReplyFilter returned
}

func (e *LocalError) Error() string {
	return fmt.Sprintf("local error while %s: %v", e.Stage, e.Err)
}

func (e *LocalError) Unwrap() error { return e.Err }
