package delivery

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"postlmtp/internal/address"
	"postlmtp/internal/lmtp"
)

// Tracing is how a delivery is found again in the server's log.
type Tracing struct {
	// Session tells a server that offers XCLIENT the name of the session
	// (postlmtp_xclient = session): its own log then has our queue ID.
	Session bool
	// Timeout tells it how long we wait for its last word (postlmtp_xclient =
	// timeout); 0: not told.
	Timeout time.Duration
	// Message sends the queue ID with each message to a Cyrus that offers
	// TRACE (postlmtp_send_trace).
	Message bool
	// Log logs a line for each reply that decides a recipient, with the
	// server's name of the session (postlmtp_log_session).
	Log bool
}

// introduce sends XCLIENT over a new session, as far as that is wanted and the
// server offers it. A server that refuses it is a server without it.
func (j *job) introduce(ctx context.Context, s *session) error {
	x := lmtp.XClient{Timeout: j.d.opt.Tracing.Timeout}
	if j.d.opt.Tracing.Session {
		x.Session = j.req.QueueID + "-" + s.number()
	}
	err := s.XClient(ctx, x)
	var refused *lmtp.ReplyError
	if errors.As(err, &refused) && refused.Stage == lmtp.StageXClient {
		j.d.opt.Log.Warningf("host %s said: %s (in reply to XCLIENT command)", s.endpoint.Relay(), refused.Reply.Text())
		return nil
	}
	return err
}

// number names the connection: no other of this machine is called so for as
// long as the process lives.
func (s *session) number() string { return fmt.Sprintf("%d.%d", os.Getpid(), s.serial) }

// logSession logs where the reply that decided a recipient is to be found.
func (x *transfer) logSession(i int, r lmtp.Reply) {
	if x.j.d.opt.Tracing.Log {
		x.sessionLine("rcpt=<"+address.QuoteHeader(x.j.req.Recipients[i].Address)+">", r.ServerID())
	}
}

// logUnanswered does so for recipients whose reply never came. What the server
// has to say is in its own log.
func (x *transfer) logUnanswered(err error) {
	var conn *lmtp.ConnError
	if open := x.open(); x.j.d.opt.Tracing.Log && len(open) > 0 && errors.As(err, &conn) {
		x.sessionLine(fmt.Sprintf("unanswered=%d", len(open)), "")
	}
}

// sessionLine logs a line of words and values. It has none of the fields that
// programs look for in lines of deliveries: to=, status=.
func (x *transfer) sessionLine(whose, id string) {
	name := x.s.Name() // what the server calls a session unless it says more
	words := []string{whose, "relay=" + x.s.endpoint.Relay()}
	if id == "" {
		id = name
	}
	if id != "" {
		words = append(words, "session="+id)
	}
	if name != "" && !strings.HasPrefix(id, name) {
		words = append(words, "xclient="+name)
	}
	words = append(words, "connection="+x.s.number(), fmt.Sprintf("message=%d", x.s.UseCount()))
	x.j.d.opt.Log.Infof("%s: lmtp-session: %s", x.j.req.QueueID, strings.Join(words, " "))
}
