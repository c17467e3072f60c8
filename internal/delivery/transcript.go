package delivery

import (
	"context"

	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
)

// Notices say when the postmaster gets a transcript of a session, by the class
// of trouble (notify_classes).
type Notices struct {
	Protocol bool // the server said something odd
	Data     bool // a table of ours could not tell
	// Never is the sender of the notices: mail from it does not lead to more
	// of them, and no more does mail from the null sender.
	Never string
	// Post posts one, and logs its failures. Server is "host[addr]:port".
	Post func(ctx context.Context, server string, transcript []string)
}

// transcript is the dialog of one session of a request, as far as it belongs to
// that.
type transcript struct {
	server    string
	lines     []string
	odd, data bool
}

// maxTranscript bounds the number of lines in a transcript.
const maxTranscript = 20_000

// event takes a line of the dialog, in Postfix's form.
func (t *transcript) event(e lmtp.TraceEvent) {
	if e.Excess || len(t.lines) >= maxTranscript {
		return
	}
	switch e.Kind {
	case lmtp.TraceCommand:
		t.lines = append(t.lines, "Out: "+e.Line)
	case lmtp.TraceReply:
		t.lines = append(t.lines, "In:  "+e.Line)
	case lmtp.TraceReplaced:
		t.lines = append(t.lines, "Replaced-by: ", "     "+e.Line)
	}
}

// begin begins the transcript of a session; nil if none is wanted.
func (j *job) begin(ep nexthop.Endpoint) *transcript {
	j.transcript = nil
	n := j.d.opt.Notices
	if n != nil && (n.Protocol || n.Data) && j.req.Sender != "" && j.req.Sender != n.Never {
		j.transcript = &transcript{server: ep.Relay()}
	}
	return j.transcript
}

// troubled notes that a session ended with an error.
func (j *job) troubled(err error) {
	if j.transcript != nil && localData(err) {
		j.transcript.data = true
	}
}

// notify posts the transcript of a session that is over, if there was trouble
// that the postmaster wants to hear of.
func (j *job) notify(t *transcript) {
	n := j.d.opt.Notices
	if t == nil || len(t.lines) == 0 || !(t.odd && n.Protocol || t.data && n.Data) {
		return
	}
	n.Post(context.Background(), t.server, t.lines)
	t.lines = nil
}

// hooks tie a session to this delivery.
func (j *job) hooks(ep nexthop.Endpoint) lmtp.Hooks {
	h := lmtp.Hooks{Log: j.d.opt.Log, QueueID: j.req.QueueID, Stage: j.watch.Stage}
	var trace func(lmtp.TraceEvent)
	if j.d.opt.Trace != nil {
		trace = j.d.opt.Trace(j.req, ep)
	}
	h.Trace = trace
	if t := j.begin(ep); t != nil {
		h.Odd = func() { t.odd = true }
		h.Trace = func(e lmtp.TraceEvent) {
			t.event(e)
			if trace != nil {
				trace(e)
			}
		}
	}
	return h
}
