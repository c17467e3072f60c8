package lmtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// recorder is a Logger and a trace.
type recorder struct {
	log   []string
	trace []string
}

func (r *recorder) Infof(format string, args ...any) {
	r.log = append(r.log, "info: "+fmt.Sprintf(format, args...))
}

func (r *recorder) Warningf(format string, args ...any) {
	r.log = append(r.log, "warning: "+fmt.Sprintf(format, args...))
}

func (r *recorder) event(ev TraceEvent) {
	switch ev.Kind {
	case TraceCommand:
		r.trace = append(r.trace, "> "+ev.Line)
	case TraceReply:
		r.trace = append(r.trace, "< "+ev.Line)
	case TraceReplaced:
		r.trace = append(r.trace, "= "+ev.Line)
	case TraceBody:
		r.trace = append(r.trace, fmt.Sprintf("> (%d bytes)", ev.Size))
	}
}

func testOptions(r *recorder) Options {
	return Options{
		LHLOName: "client.example",
		Peer:     "fake[127.0.0.1]",
		PeerPort: "fake[127.0.0.1]:24",
		Addr:     "127.0.0.1",
		UTF8:     true,
		Hooks:    Hooks{Log: r, QueueID: "ABC", Trace: r.event},
	}
}

// A result is everything that a delivery was seen to do.
type result struct {
	recorder
	openErr  error
	err      error
	outcome  []string // by recipient: "rejected 550", "final 250", or empty
	order    []int    // of the calls
	session  *Session
	reusable bool
	elapsed  time.Duration // of Deliver
}

// content returns a body function that writes so many lines.
func content(lines int) func(w io.Writer) error {
	return func(w io.Writer) error {
		for i := range lines {
			if _, err := fmt.Fprintf(w, "line %d of the message\r\n", i); err != nil {
				return err
			}
		}
		return nil
	}
}

// newTransaction is a message for n recipients.
func newTransaction(n int) *Transaction {
	t := &Transaction{Sender: "sender@example.com", Size: 1234, Encoding: "7bit", Body: content(3)}
	for i := range n {
		t.Recipients = append(t.Recipients, Recipient{Address: fmt.Sprintf("r%d@example.org", i)})
	}
	return t
}

// watch records the outcomes of a transaction.
func (res *result) watch(t *testing.T, tr *Transaction) {
	res.outcome = make([]string, len(tr.Recipients))
	note := func(kind string, i int, r Reply) {
		if res.outcome[i] != "" {
			t.Errorf("recipient %d: second outcome %q after %q", i, r.Text(), res.outcome[i])
		}
		if r.Enhanced == "" || len(r.Lines) == 0 {
			t.Errorf("recipient %d: incomplete reply %+v", i, r)
		}
		res.outcome[i] = fmt.Sprintf("%s %03d", kind, r.Code)
		res.order = append(res.order, i)
	}
	tr.OnRcpt = func(i int, r Reply) {
		if r.Success() {
			t.Errorf("recipient %d: rejected with %q", i, r.Text())
		}
		note("rejected", i, r)
	}
	tr.OnFinal = func(i int, r Reply) { note("final", i, r) }
}

// check holds what must be true of every delivery.
func (res *result) check(t *testing.T) {
	t.Helper()
	var unsettled []int
	for i, o := range res.outcome {
		if o == "" {
			unsettled = append(unsettled, i)
		}
	}
	var reply *ReplyError
	var conn *ConnError
	var local *LocalError
	switch {
	case res.err == nil:
		if len(unsettled) > 0 {
			t.Errorf("no error, but %v have no outcome", unsettled)
		}
	case errors.As(res.err, &reply):
		if reply.Reply.Enhanced == "" {
			t.Errorf("incomplete reply in %+v", reply)
		}
	case errors.As(res.err, &conn):
		if fmt.Sprint(conn.Unsettled) != fmt.Sprint(unsettled) {
			t.Errorf("%v: unsettled %v, want %v", conn, conn.Unsettled, unsettled)
		}
		if !res.session.Closed() {
			t.Errorf("%v, but the session is open", conn)
		}
	case errors.As(res.err, &local):
	default:
		t.Errorf("unexpected kind of error: %v", res.err)
	}
	if res.session != nil && res.session.Closed() && res.session.Reusable() {
		t.Error("closed, but reusable")
	}
}

// deliver runs a whole session against f, inside a bubble.
func deliver(t *testing.T, f *fakeServer, size int, tr *Transaction, change func(*Options)) *result {
	t.Helper()
	res := new(result)
	opt := testOptions(&res.recorder)
	if change != nil {
		change(&opt)
	}
	ctx := context.Background()
	client, server := memPair(size)
	f.start(server)
	res.session, res.openErr = Open(ctx, client, opt)
	if res.openErr == nil {
		res.watch(t, tr)
		start := time.Now()
		res.err = res.session.Deliver(ctx, tr)
		res.elapsed = time.Since(start)
		res.reusable = res.session.Reusable()
		res.check(t)
	}
	if res.session != nil {
		res.session.Quit(ctx, true)
	} else {
		client.Close()
	}
	<-f.done
	return res
}

// bubble runs f in virtual time. All goroutines must end.
func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// describe puts an error into a few words.
func describe(err error) string {
	var reply *ReplyError
	var conn *ConnError
	var local *LocalError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &reply):
		return fmt.Sprintf("reply %s %03d", stageName(reply.Stage), reply.Reply.Code)
	case errors.As(err, &conn):
		what := "lost"
		switch {
		case errors.Is(err, ErrDesync):
			what = "desync"
		case conn.Timeout:
			what = "timeout"
		case conn.Cancelled:
			what = "cancelled"
		}
		s := what + " " + stageName(conn.Stage)
		if conn.DotSent {
			s += " unconfirmed"
		}
		return s
	case errors.As(err, &local):
		return "local " + stageName(local.Stage)
	}
	return "?" + err.Error()
}

func stageName(s Stage) string {
	return [...]string{"connect", "greeting", "lhlo", "starttls", "tls", "xclient", "auth", "xforward1", "xforward2",
		"trace", "mail", "rcpt", "data", "body", "chunk", "final", "rset", "probe", "quit"}[s]
}

func (res *result) outcomes() string { return strings.Join(res.outcome, ", ") }
