package report

import (
	"fmt"

	"postlmtp/internal/dsn"
	"postlmtp/internal/request"
)

// failed takes an item, which went through the filter, to the column of its
// class.
func (r *Reporter) failed(it item) Result {
	if dsn.Class(it.d.Status) == dsn.Transient {
		return r.deferred(it)
	}
	return r.bounced(it)
}

// sent is the column of success.
func (r *Reporter) sent(it item) Result {
	if it.req.Flags.Probe() {
		done := r.probe(it, addressOK, "deliverable")
		return Result{Final: done, Sent: done}
	}
	if it.d.Action == "" {
		it.d.Action = "delivered"
	}
	r.log(it, "sent")
	// The sender may get a record for watching the message, and another for
	// having asked for it. Postfix defers where trace(8) does not take one, and
	// delivers the message again.
	if r.watched(it) && !r.trace(it) ||
		it.rcpt.Notify&request.NotifySuccess != 0 && !r.trace(it) {
		r.untraced(it, "delivered")
	}
	return Result{Final: true, Sent: true}
}

// untraced says that the record which the sender asked for is lost. That is no
// reason to try again what is done.
func (r *Reporter) untraced(it item, done string) {
	r.options.Log.Warningf("%s: recipient <%s> is %s, but the record for the sender is lost", it.req.QueueID, it.rcpt.Address, done)
}

// watched says whether a success is reported to trace(8) because of the
// request: each one, or those of recipients whose delay was reported.
func (r *Reporter) watched(it item) bool {
	if it.req.Flags&request.Record != 0 {
		return true
	}
	n := it.rcpt.Notify
	return it.req.Flags&request.RecordDelayed != 0 && (n == 0 || n&request.NotifyDelay != 0)
}

// bounced is the column of permanent failure.
func (r *Reporter) bounced(it item) Result {
	if it.req.Flags.Probe() {
		return Result{Final: r.probe(it, addressBounces, "undeliverable")}
	}
	service, word := r.bounces, "bounced"
	it.d.Action = "failed"
	if r.options.SoftBounce {
		service, word = r.defers, "SOFTBOUNCE"
		it.d.Action = "delayed"
		it.d.Status = dsn.WithClass(it.d.Status, dsn.Transient)
	}
	if !r.append(service, it) {
		it.d.Status = "4.3.0"
		it.d.Reason = fmt.Sprintf("%s or %s service failure", r.options.Services.Bounce, r.options.Services.Trace)
		return r.deferred(it)
	}
	r.log(it, word)
	if it.req.Flags&request.Record != 0 && !r.trace(it) && !r.options.SoftBounce {
		r.untraced(it, "bounced") // Postfix defers, and the message may be delivered after it was bounced
	}
	return Result{Final: !r.options.SoftBounce}
}

// deferred is the column of temporary failure, and where a bounce ends that
// bounce(8) does not take.
func (r *Reporter) deferred(it item) Result {
	if it.req.Flags.Probe() {
		return Result{Final: r.probe(it, addressDefers, "undeliverable")}
	}
	it.d.Action = "delayed"
	if !r.append(r.defers, it) {
		r.serviceFailure(it, r.options.Services.Defer)
	}
	r.log(it, "deferred")
	if it.req.Flags&request.Record != 0 && !r.trace(it) {
		r.serviceFailure(it, r.options.Services.Trace)
	}
	r.flush(it)
	return Result{}
}

// probe passes the answer to a probe on to whoever asked, and says whether that
// worked.
func (r *Reporter) probe(it item, status addressStatus, action string) bool {
	it.d.Action = action
	if it.req.Flags&request.MTAVerify != 0 {
		return r.verified(it, status)
	}
	return r.trace(it)
}
