// Package request speaks the delivery request protocol: what the queue manager
// asks of a delivery agent, and what the agent answers. It covers Postfix 3.5
// to 3.12, both sides of it.
//
// The agent's side of one connection:
//
//	Greet   the agent speaks first; how, depends on the release of Postfix
//	Read    one request, or ErrNoRequest
//	Finish  the status; then wait for the other side to close
//
// The queue manager's side, for stand-ins and tests: ReadHello, Request.Encode,
// ReadFinish.
//
// # Failure policy
//
// Read takes the attributes in their order and nothing else, checks what a
// delivery relies on, and is bounded in memory (Limits). It returns a whole
// request or an error: ErrNoRequest where the queue manager changed its mind
// before the first byte, which happens all the time and is no fault; else a
// *FormatError, after which the agent answers with a non-zero status and an
// empty diagnosis. The queue manager then keeps the message and tries again.
//
// Functions of this package set no deadline. A request can come long after the
// greeting, so the wait for its first byte has no time limit; all that follows
// is under ipc_timeout. An agent that needs the difference passes a
// *bufio.Reader, peeks at one byte of it, and then sets the deadline.
//
// # Known limits
//
// The name of the queue file is not checked here: whoever opens the file knows
// its rules. The time stamps of the queue manager are a C structure, and are
// taken in the byte order of this machine, in the layouts of systems with
// 64-bit and with 32-bit time.
package request

import (
	"errors"
	"fmt"

	"postlmtp/internal/attr"
	"postlmtp/internal/dsn"
)

// ErrNoRequest says that the peer closed the connection instead of sending a
// request: nothing to do, nothing to log.
var ErrNoRequest = errors.New("read delivery request: none came")

// A FormatError says that what came is not a delivery request.
type FormatError struct {
	QueueID string // the message it is about, once known
	Err     error  // the cause: an *attr.FormatError, an error of the stream, or a text
}

// Error implements error.
func (e *FormatError) Error() string {
	if e.QueueID == "" {
		return fmt.Sprintf("read delivery request: %v", e.Err)
	}
	return fmt.Sprintf("%s: read delivery request: %v", e.QueueID, e.Err)
}

// Unwrap returns the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// protocolName is the greeting of every delivery agent of Postfix 3.6 and later.
const protocolName = "delivery_request_protocol"

// The wire names that occur in more than one place.
const (
	attrOffset   = "offset"
	attrSMTPUTF8 = "smtputf8" // 3.0 to 3.9
	attrSendOpts = "sendopts" // 3.10 and later
)

// AddRecipient adds the five attributes of a recipient to a list, as the
// request itself and the bounce, defer and trace services have them.
func AddRecipient(l *attr.List, rcpt Recipient) *attr.List {
	return l.String("original_recipient", rcpt.Original).
		String("recipient", rcpt.Address).
		Long(attrOffset, rcpt.Offset).
		String("dsn_orig_rcpt", rcpt.ORcpt).
		Int("notify_flags", int(rcpt.Notify))
}

// ReadRecipient reads the attributes that AddRecipient adds.
func ReadRecipient(r *attr.Reader) Recipient {
	var rcpt Recipient
	rcpt.Original = r.String("original_recipient")
	rcpt.Address = r.String("recipient")
	rcpt.Offset = r.Long(attrOffset)
	rcpt.ORcpt = r.String("dsn_orig_rcpt")
	rcpt.Notify = Notify(r.Int("notify_flags"))
	return rcpt
}

// AddDiagnosis adds the seven attributes of a diagnosis to a list.
func AddDiagnosis(l *attr.List, d dsn.Diagnosis) *attr.List {
	return l.String(attr.Status, d.Status).
		String("diag_type", d.DiagType).
		String("diag_text", d.DiagText).
		String("mta_type", d.MTAType).
		String("mta_mname", d.MTAName).
		String("action", d.Action).
		String("reason", d.Reason)
}

// ReadDiagnosis reads the attributes that AddDiagnosis adds.
func ReadDiagnosis(r *attr.Reader) dsn.Diagnosis {
	var d dsn.Diagnosis
	d.Status = r.String(attr.Status)
	d.DiagType = r.String("diag_type")
	d.DiagText = r.String("diag_text")
	d.MTAType = r.String("mta_type")
	d.MTAName = r.String("mta_mname")
	d.Action = r.String("action")
	d.Reason = r.String("reason")
	return d
}
