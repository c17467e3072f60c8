// Package report tells the rest of the mail system what became of a recipient:
// bounce(8), defer(8), trace(8), verify(8), flush(8), and the delivery line in
// the mail log. It is the agent's side of Postfix's bounce(3), defer(3),
// sent(3), trace(3), verify(3) and flush_clnt(3), with their decisions, their
// fall-backs, their words in the log, and the same bytes on the wire.
//
// A delivery ends for a recipient in one of three ways, each a method of
// Reporter: Sent, Bounce, Defer. What that means depends on the request:
//
//   - mail: a bounce is recorded with bounce(8), a deferral with defer(8), and
//     flush(8) is told about a destination that takes part in fast flush; a
//     success needs no record. sendmail -v, delayed mail, and NOTIFY=SUCCESS
//     (RFC 3461) add a record with trace(8);
//   - a probe of the mail system: the answer goes to verify(8) and nowhere else;
//   - a probe of a user (sendmail -bv): the answer goes to trace(8).
//
// In front of that come the check that the code is of the right class, and the
// filter of lmtp_delivery_status_filter, which may turn a bounce into a
// deferral and the other way round. soft_bounce makes every bounce a deferral.
//
// # Failure policy
//
// A report must not lose mail: a bounce that bounce(8) does not take becomes a
// deferral with code 4.3.0. A deferral that cannot be recorded is only a warning:
// its mail stays in the queue anyway. So is the record for trace(8) of who has the
// message or is bounced: that is done. A probe whose answer cannot be passed on
// stays in the queue.
//
// A report is not cancelled with the delivery that it is about: what happened
// must be told. Options.Timeout bounds each exchange with a service.
//
// # Known limits
//
// Whether the message stays in the queue for a recipient, and the mark in the
// queue file, are the caller's: see Result. Who gets a notice in the end is
// decided by bounce(8) and the queue manager, whatever the NOTIFY parameter
// says.
package report

import (
	"cmp"
	"time"

	"postlmtp/internal/dsn"
	"postlmtp/internal/ipc"
	"postlmtp/internal/maillog"
	"postlmtp/internal/request"
)

// Log is what a Reporter writes to; *maillog.Logger is one.
type Log interface {
	Delivery(maillog.DeliveryLine)
	Warningf(format string, args ...any)
}

// Services holds the names of the services in master.cf. An empty name stands
// for Postfix's default.
type Services struct {
	Dir    string // the queue directory; empty: the working directory
	Bounce string // bounce_service_name
	Defer  string // defer_service_name
	Trace  string // trace_service_name
	Verify string // address_verify_service_name
	Flush  string // flush_service_name
}

// Options are the settings of a Reporter. Only Log must be set; what is not set
// is as in Postfix's defaults, but for NegativeCache, which is on by default
// there.
type Options struct {
	Services Services
	Timeout  time.Duration // ipc_timeout; 0: its default, 1 h
	Idle     time.Duration // ipc_idle, for verify(8); 0: its default, 5 s
	TTL      time.Duration // ipc_ttl, for verify(8); 0: its default, 1000 s

	SoftBounce    bool // soft_bounce
	NegativeCache bool // address_verify_negative_cache; false: only good news for verify(8)

	// FastFlush says whether a domain is in fast_flush_domains. Nil: none is.
	FastFlush func(domain string) bool
	// Filter is lmtp_delivery_status_filter: see Lookup. Nil: no filter.
	Filter Filter
	// AddressFormat is info_log_address_format: it makes the internal form of
	// an address what the log shows. Nil: as it is.
	AddressFormat func(address string) string
	// Observe is told of each line of a delivery that was logged. Nil: nobody is.
	Observe func(req *request.Request, at request.Attempt, line maillog.DeliveryLine)
	Log     Log
}

// A Reporter reports recipients. Many goroutines may use one.
type Reporter struct {
	options Options
	bounces ipc.Service
	defers  ipc.Service
	traces  ipc.Service
	flushes ipc.Service
	verify  *ipc.Client
}

// New returns a Reporter.
func New(o Options) *Reporter {
	o.Services.Bounce = cmp.Or(o.Services.Bounce, "bounce")
	o.Services.Defer = cmp.Or(o.Services.Defer, "defer")
	o.Services.Trace = cmp.Or(o.Services.Trace, "trace")
	o.Services.Verify = cmp.Or(o.Services.Verify, "verify")
	o.Services.Flush = cmp.Or(o.Services.Flush, "flush")
	o.Timeout = cmp.Or(o.Timeout, time.Hour)
	o.Idle = cmp.Or(o.Idle, 5*time.Second)
	o.TTL = cmp.Or(o.TTL, 1000*time.Second)
	if o.FastFlush == nil {
		o.FastFlush = func(string) bool { return false }
	}
	if o.AddressFormat == nil {
		o.AddressFormat = func(address string) string { return address }
	}

	private := func(name, protocol string) ipc.Service {
		return ipc.Service{Dir: o.Services.Dir, Class: "private", Name: name, Protocol: protocol}
	}
	return &Reporter{
		options: o,
		bounces: private(o.Services.Bounce, ipc.DeliveryStatus),
		defers:  private(o.Services.Defer, ipc.DeliveryStatus),
		traces:  private(o.Services.Trace, ipc.DeliveryStatus),
		flushes: ipc.Service{Dir: o.Services.Dir, Class: "public", Name: o.Services.Flush, Protocol: ipc.QueueFlush},
		verify: ipc.NewClient(private(o.Services.Verify, ipc.Verification),
			ipc.Settings{Timeout: o.Timeout, Idle: o.Idle, TTL: o.TTL}),
	}
}

// Close closes connections that lie idle. Reports that come later work still.
func (r *Reporter) Close() { r.verify.Close() }

// Result says what a report means for the queue.
type Result struct {
	// Final: the recipient is finished, and the message need not stay in the
	// queue for it. False: the request must end with a non-zero status.
	Final bool
	// Sent: it is finished because it was delivered (or, for a probe, is
	// deliverable): its record in the queue file is marked only if the
	// request has the flag MarkDone. Any other final recipient is marked.
	Sent bool
}

// item is one recipient on its way through the columns of a report.
type item struct {
	req  *request.Request
	rcpt request.Recipient
	at   request.Attempt
	d    dsn.Diagnosis
}

// Sent reports a recipient that the message was delivered to (or, for a probe,
// could be). d is of class 2; its Action is "delivered" if empty.
func (r *Reporter) Sent(req *request.Request, rcpt request.Recipient, at request.Attempt, d dsn.Diagnosis) Result {
	d = r.checked("sent", dsn.Success, d)
	return r.sent(item{req, rcpt, at, r.filtered(d)})
}

// Bounce reports a recipient that the message cannot be delivered to. d is of
// class 5; its Action does not count.
func (r *Reporter) Bounce(req *request.Request, rcpt request.Recipient, at request.Attempt, d dsn.Diagnosis) Result {
	d = r.checked("bounce_append", dsn.Permanent, d)
	return r.failed(item{req, rcpt, at, r.filtered(d)})
}

// Defer reports a recipient that the message cannot be delivered to now. d is
// of class 4; its Action does not count.
func (r *Reporter) Defer(req *request.Request, rcpt request.Recipient, at request.Attempt, d dsn.Diagnosis) Result {
	d = r.checked("defer_append", dsn.Transient, d)
	return r.failed(item{req, rcpt, at, r.filtered(d)})
}

// checked replaces a code that is not of the class: it may come from a hostile
// server.
func (r *Reporter) checked(caller string, class byte, d dsn.Diagnosis) dsn.Diagnosis {
	if dsn.Class(d.Status) != class {
		r.options.Log.Warningf("%s: ignoring dsn code %q", caller, d.Status)
		d.Status = string(class) + ".0.0"
	}
	return d
}
