package delivery

import (
	"fmt"

	"postlmtp/internal/dsn"
	"postlmtp/internal/request"
)

// Outcome is the end of one recipient.
type Outcome int

const (
	Unsettled Outcome = iota
	Sent
	Bounced
	Deferred
)

func (o Outcome) String() string {
	return [...]string{"unsettled", "sent", "bounced", "deferred"}[o]
}

// Settlement is what a Reporter made of an outcome.
type Settlement struct {
	// Final: the recipient is finished. It is false for mail that stays in
	// the queue: deferred, softly bounced, or with a status service down.
	Final bool
	// Sent: the recipient ended as delivered. A successful delivery is
	// marked in the queue file only if the request asks for it.
	Sent bool
}

// Reporter tells bounce(8), defer(8), trace(8), verify(8), flush(8) and the
// mail log what became of one recipient.
type Reporter interface {
	Report(req *request.Request, rcpt request.Recipient, o Outcome, at request.Attempt, d dsn.Diagnosis) Settlement
}

// Marker writes the mark of a finished recipient into the queue file.
type Marker interface {
	MarkDone(offset int64) error
}

// ledger settles every recipient of a request exactly once. Recipients are
// known by their index in the request: addresses may repeat.
type ledger struct {
	req      *request.Request
	reporter Reporter
	marker   Marker
	log      Logger
	outcomes []Outcome
	// unfinished is the status for the queue manager: set when any
	// recipient stays in the queue.
	unfinished bool
	// untold is set when some recipient ended otherwise than by a final
	// report: it has to be tried again, whatever the state of the file.
	untold bool
}

func newLedger(req *request.Request, reporter Reporter, marker Marker, log Logger) *ledger {
	return &ledger{
		req:      req,
		reporter: reporter,
		marker:   marker,
		log:      log,
		outcomes: make([]Outcome, len(req.Recipients)),
	}
}

// settle reports the end of recipient i and marks it in the queue file. Who has
// the message must not get it again, whatever becomes of the report: there the mark
// comes first. Anybody else must not go without the report: there it
// comes second. Settling a recipient twice is a bug of ours.
func (l *ledger) settle(i int, o Outcome, at request.Attempt, d dsn.Diagnosis) Settlement {
	rcpt := l.req.Recipients[i]
	if was := l.outcomes[i]; was != Unsettled {
		panic(fmt.Sprintf("delivery: %s: recipient <%s> settled twice: %v, then %v",
			l.req.QueueID, rcpt.Address, was, o))
	}
	l.outcomes[i] = o
	delivered := o == Sent && !l.req.Flags.Probe()
	if delivered {
		l.mark(rcpt, true)
	}
	s := l.reporter.Report(l.req, rcpt, o, at, d)
	switch {
	case !s.Final:
		l.unfinished, l.untold = true, true
	case !delivered:
		l.mark(rcpt, s.Sent)
	}
	return s
}

// mark writes the mark of a finished recipient; that of one who has the message
// only where the queue manager wants it.
func (l *ledger) mark(rcpt request.Recipient, sent bool) {
	if sent && l.req.Flags&request.MarkDone == 0 {
		return
	}
	if err := l.marker.MarkDone(rcpt.Offset); err != nil {
		// The recipient will be tried again: say so, because a second
		// copy is what this leads to.
		l.log.Warningf("%s: recipient <%s> cannot be marked as done, and will be tried again: %v",
			l.req.QueueID, rcpt.Address, err)
		l.unfinished = true
	}
}

// open tells whether recipient i is still to be settled.
func (l *ledger) open(i int) bool { return l.outcomes[i] == Unsettled }

// left lists the recipients that are still to be settled, in request order.
func (l *ledger) left() []int {
	var left []int
	for i, o := range l.outcomes {
		if o == Unsettled {
			left = append(left, i)
		}
	}
	return left
}

// any tells whether any recipient is still to be settled.
func (l *ledger) any() bool {
	for _, o := range l.outcomes {
		if o == Unsettled {
			return true
		}
	}
	return false
}
