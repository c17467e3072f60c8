package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"runtime/debug"
	"strings"
	"time"

	"postlmtp/internal/delivery"
	"postlmtp/internal/dsn"
	"postlmtp/internal/master"
	"postlmtp/internal/queuefile"
	"postlmtp/internal/report"
	"postlmtp/internal/request"
	"postlmtp/internal/socket"
)

// serve handles one connection of the queue manager: one request, or none. A
// panic ends this delivery only: the connection is closed without a status, and
// the queue manager keeps the message.
func (a *agent) serve(ctx context.Context, conn net.Conn) {
	queueID := ""
	defer func() {
		if p := recover(); p != nil {
			a.log.Panicf("%s: delivery failed by an error in this program, and will be tried again: %v", orNone(queueID), p)
			for line := range strings.Lines(string(debug.Stack())) {
				a.log.Infof("panic: %s", strings.TrimSpace(line))
			}
		}
	}()
	req, err := a.read(ctx, conn)
	if req != nil {
		queueID = req.QueueID
	}
	switch {
	case errors.Is(err, request.ErrNoRequest) || ctx.Err() != nil:
		return // the queue manager had nothing to do, or we have to go
	case err != nil:
		a.log.Warningf("%v", err)
		a.finish(conn, delivery.Result{Unfinished: true})
		return
	}
	defer a.watch(ctx, queueID)()
	result := a.deliver(ctx, conn, req)
	defer result.Goodbye()
	if result.Abandoned {
		return
	}
	a.finish(conn, result)
}

// watch says in the log whose delivery the watchdog ends, at that moment: it may
// not end by itself. The function that it returns ends the watch.
func (a *agent) watch(ctx context.Context, queueID string) (end func() bool) {
	return context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), master.ErrWatchdog) {
			a.log.Warningf("%s: delivery ended: no progress for %v (daemon_timeout); what is not settled stays in the queue",
				queueID, a.settings.DaemonTimeout)
		}
	})
}

func orNone(queueID string) string {
	if queueID == "" {
		return "no queue ID"
	}
	return queueID
}

// read greets the queue manager and reads its request. The wait for the first
// byte has no limit: the queue manager connects before it has a message. From
// there on each read is bounded by ipc_timeout.
func (a *agent) read(ctx context.Context, conn net.Conn) (*request.Request, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })
	defer stop()
	if err := request.Greet(conn, a.hello); err != nil {
		// The queue manager has gone already: no work.
		return nil, request.ErrNoRequest
	}
	in, ok := a.readers.Get().(*bufio.Reader)
	if !ok {
		in = new(bufio.Reader)
	}
	defer a.readers.Put(in)
	in.Reset(&patientReader{conn: conn, timeout: a.settings.IPCTimeout, ctx: ctx})
	defer in.Reset(nil)
	return request.Read(in, a.limits)
}

// patientReader sets a deadline for each read but the first.
type patientReader struct {
	conn    net.Conn
	timeout time.Duration
	ctx     context.Context
	begun   bool
}

func (r *patientReader) Read(p []byte) (int, error) {
	if r.begun {
		if err := r.conn.SetReadDeadline(time.Now().Add(r.timeout)); err != nil {
			return 0, err
		}
		if err := r.ctx.Err(); err != nil { // the deadline of AfterFunc is gone now
			return 0, err
		}
	}
	n, err := r.conn.Read(p)
	if n > 0 && !r.begun {
		r.begun = true
		// The time for a delivery starts with its request.
		master.Pat(r.ctx)
	}
	return n, err
}

// deliver opens the queue file and delivers from it.
func (a *agent) deliver(ctx context.Context, conn net.Conn, req *request.Request) delivery.Result {
	if req.Stamps.AgentHandoff.IsZero() {
		req.Stamps.AgentHandoff = time.Now()
	}
	file, err := a.open(req)
	if err == nil {
		defer file.Close()
	}
	// A queue manager that starts passes over a message that is locked, and takes
	// the others for its own. If the one that asked has gone before the lock was
	// there, its successor may have moved the file or asked somebody else already.
	if socket.HungUp(conn) {
		return delivery.Result{Abandoned: true}
	}
	if err != nil {
		a.log.Warningf("%v", err)
		return delivery.Result{Unfinished: true}
	}
	return a.deliverer.Deliver(ctx, req, file)
}

// open opens and locks the queue file. Postfix ends the process for any problem
// but a missing file; ours leaves the message in the queue.
func (a *agent) open(req *request.Request) (*queuefile.File, error) {
	path, err := queuefile.Path(req.QueueName, req.QueueID, a.hash)
	if err != nil {
		return nil, err
	}
	file, err := queuefile.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist): // in Postfix's words
		return nil, fmt.Errorf("open %s %s: No such file or directory", req.QueueName, req.QueueID)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", req.QueueID, err)
	}
	return file, nil
}

// finishLimit bounds the writing of a status, which a socket takes at once. A
// peer that reads nothing must not hold a slot.
const finishLimit = time.Minute

// finish sends the status. Postfix's agent waits then for the queue manager to
// close, because of systems whose sockets lose what was written before a close;
// Linux's do not.
func (a *agent) finish(conn net.Conn, result delivery.Result) {
	status := 0
	if result.Unfinished {
		status = -1
	}
	if err := conn.SetWriteDeadline(time.Now().Add(min(a.settings.IPCTimeout, finishLimit))); err != nil {
		return
	}
	// An error means that the queue manager has gone; marks and records are
	// written.
	_ = request.Finish(conn, status, result.Hop)
}

// reporter passes outcomes to the status services.
type reporter struct{ *report.Reporter }

func (r reporter) Report(req *request.Request, rcpt request.Recipient, o delivery.Outcome, at request.Attempt, d dsn.Diagnosis) delivery.Settlement {
	tell := r.Defer
	switch o {
	case delivery.Sent:
		tell = r.Sent
	case delivery.Bounced:
		tell = r.Bounce
	}
	return delivery.Settlement(tell(req, rcpt, at, d))
}
