package report

import (
	"context"
	"strings"
	"time"

	"postlmtp/internal/ipc"
	"postlmtp/internal/maillog"
	"postlmtp/internal/request"
)

// nrequestAppend is the only request of bounce(8) that an agent makes: add a
// recipient to the log of a message.
const nrequestAppend = 0

// append adds a recipient to the log that bounce(8), defer(8) or trace(8) keeps
// for the message.
func (r *Reporter) append(svc ipc.Service, it item) bool {
	var cmd ipc.Command
	cmd.Int("nrequest", nrequestAppend).
		Int("flags", int(it.req.Flags.Trace())).
		String("queue_id", it.req.QueueID)
	request.AddRecipient(&cmd, it.rcpt)
	request.AddDiagnosis(&cmd, it.d)
	return r.call(svc, &cmd) == 0
}

// trace adds a recipient to the log of trace(8). The answer to a user's probe
// has its line in the mail log here.
func (r *Reporter) trace(it item) bool {
	traced := it
	if relay := it.at.Relay; relay != "" && relay != noRelay {
		traced.d.Reason = "delivery via " + relay + ": " + it.d.Reason
	}
	if !r.append(r.traces, traced) {
		r.serviceFailure(it, r.options.Services.Trace)
		return false
	}
	if it.req.Flags&request.UserVerify != 0 {
		r.log(it, it.d.Action)
	}
	return true
}

// noRelay stands for the relay where there was no connection.
const noRelay = "none"

// addressStatus is what verify(8) records about an address.
type addressStatus int

const (
	addressOK      addressStatus = 0
	addressDefers  addressStatus = 1
	addressBounces addressStatus = 2
)

// verified tells verify(8) the answer to a probe, for the original address and
// for the one that it became.
func (r *Reporter) verified(it item, status addressStatus) bool {
	if status != addressOK && !r.options.NegativeCache {
		r.log(it, "undeliverable-but-not-cached")
		return true
	}
	original := it.rcpt.Original
	if original != "" && !r.update(original, status, it.d.Reason) ||
		it.rcpt.Address != original && !r.update(it.rcpt.Address, status, it.d.Reason) {
		r.serviceFailure(it, r.options.Services.Verify)
		return false
	}
	r.log(it, it.d.Action)
	return true
}

// update tells verify(8) the status of one address.
func (r *Reporter) update(address string, status addressStatus, reason string) bool {
	var cmd ipc.Command
	cmd.String("request", "update").
		String("address", address).
		Int("recipient_status", int(status)).
		String("reason", reason)
	answer, err := r.verify.Call(context.Background(), &cmd)
	if err != nil {
		r.options.Log.Warningf("problem talking to service %s: %v", r.options.Services.Verify, err)
		return false
	}
	return answer == 0
}

// The answers of flush(8) that are no failure.
const (
	flushOK     = 0
	flushDenied = 4 // the server's own settings say no
)

// flush tells flush(8) that mail for the recipient's domain waits, if the
// domain takes part in fast flush (fast_flush_domains).
func (r *Reporter) flush(it item) {
	at := strings.LastIndexByte(it.rcpt.Address, '@')
	domain := it.rcpt.Address[at+1:]
	if at < 0 || domain == "" || !r.options.FastFlush(domain) {
		return
	}
	var cmd ipc.Command
	cmd.String("request", "add").
		String("site", domain).
		String("queue_id", it.req.QueueID)
	switch r.call(r.flushes, &cmd) {
	case flushOK, flushDenied:
	default:
		r.serviceFailure(it, r.options.Services.Flush)
	}
}

// call has a one-shot service do something and returns its status, -1 if it
// gave none.
func (r *Reporter) call(svc ipc.Service, cmd *ipc.Command) int {
	status, err := ipc.Call(context.Background(), svc, r.options.Timeout, cmd)
	if err != nil {
		r.options.Log.Warningf("%v", err)
		return -1
	}
	return status
}

// serviceFailure logs that a service did not do its part.
func (r *Reporter) serviceFailure(it item, name string) {
	r.options.Log.Warningf("%s: %s service failure", it.req.QueueID, name)
}

// log writes the delivery line.
func (r *Reporter) log(it item, word string) {
	line := maillog.DeliveryLine{
		QueueID:    it.req.QueueID,
		To:         r.options.AddressFormat(it.rcpt.Address),
		Relay:      it.at.Relay,
		ReuseCount: it.at.Stamps.ReuseCount,
		TLS:        it.at.TLS,
		DSN:        it.d.Status,
		Status:     word,
		Text:       it.d.Reason,
	}
	if it.rcpt.Original != "" {
		line.OrigTo = r.options.AddressFormat(it.rcpt.Original)
	}
	line.Delay, line.A, line.B, line.C, line.D = it.at.Stamps.Delays(time.Now())
	r.options.Log.Delivery(line)
	if r.options.Observe != nil {
		r.options.Observe(it.req, it.at, line)
	}
}
