package delivery

import (
	"errors"
	"fmt"

	"postlmtp/internal/content"
	"postlmtp/internal/dsn"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/queuefile"
	"postlmtp/internal/tlspolicy"
)

// The statuses that this agent gives of its own accord (RFC 3463).
const (
	statusNoAnswer      = "4.4.2" // connection lost or timed out
	statusLocalData     = "4.3.0" // a problem on our side
	statusConfiguration = "4.3.5" // a setting on our side
	statusTooLarge      = "5.3.4"
	statusUnreadable    = "5.3.0"
	statusNoUTF8        = "5.6.7" // RFC 6531 section 3.7.4
	statusForwardLoop   = "5.4.6"
	statusBadAddress    = "5.1.3"
	statusBadSender     = "5.1.7"
)

// replyDiagnosis turns a server's reply into a diagnosis. A success where a
// failure was expected is the server's protocol error, and permanent, as in
// Postfix: trying again would meet the same server.
func replyDiagnosis(ep nexthop.Endpoint, r lmtp.Reply, text string) dsn.Diagnosis {
	status := r.Enhanced
	if class := dsn.Class(status); class != '4' && class != '5' {
		text = "Protocol error: " + text
		status = "5.5.0"
	}
	return dsn.Diagnosis{
		Status:   status,
		Reason:   text,
		DiagType: "smtp",
		DiagText: r.Text(),
		MTAType:  "dns",
		MTAName:  ep.Host,
	}
}

// saidDiagnosis is the diagnosis of a command that the server refused.
func saidDiagnosis(ep nexthop.Endpoint, stage lmtp.Stage, r lmtp.Reply) dsn.Diagnosis {
	return replyDiagnosis(ep, r, fmt.Sprintf("host %s said: %s (in reply to %s command)",
		ep.Peer(), r.Text(), stage.Command()))
}

// replyFailure is the failure of a session or a message that the server
// refused with a reply.
func (d *Deliverer) replyFailure(ep nexthop.Endpoint, e *lmtp.ReplyError) Failure {
	switch e.Stage {
	case lmtp.StageGreeting, lmtp.StageLHLO:
		f := Failure{
			Scope: Site,
			Diagnosis: replyDiagnosis(ep, e.Reply,
				fmt.Sprintf("host %s refused to talk to me: %s", ep.Peer(), e.Reply.Text())),
		}
		if e.Stage == lmtp.StageGreeting && e.Reply.Code/100 == 5 && d.opt.Skip5xxGreeting {
			// lmtp_skip_5xx_greeting: another server, or this one
			// later, may well take the mail.
			f.Diagnosis.Status = dsn.WithClass(f.Diagnosis.Status, '4')
		}
		return f
	default:
		return Failure{Scope: Message, Diagnosis: saidDiagnosis(ep, e.Stage, e.Reply)}
	}
}

// connFailure is the failure of a connection in the middle of a dialog.
func connFailure(ep nexthop.Endpoint, e *lmtp.ConnError) Failure {
	format := "lost connection with %s while %s"
	if e.Timeout {
		format = "conversation with %s timed out while %s"
	}
	return Failure{
		Scope: Site,
		Diagnosis: dsn.Diagnosis{
			Status: statusNoAnswer,
			Reason: fmt.Sprintf(format, ep.Peer(), e.Stage),
		},
	}
}

// contentFailure is the failure of a message whose content could not be sent
// for a reason on our side.
func contentFailure(ep nexthop.Endpoint, err error) Failure {
	var bad *content.BadRecordError
	var mime *content.MIMEError
	switch {
	case errors.As(err, &bad):
		return Failure{Scope: Message, Diagnosis: dsn.Diagnosis{
			Status: statusUnreadable, Reason: "unreadable mail queue entry"}}
	case errors.As(err, &mime):
		return Failure{Scope: Message, Diagnosis: dsn.Diagnosis{
			Status: mime.Status, Reason: mime.Text}}
	default:
		// A file that cannot be read today may be readable tomorrow: never
		// bounce for it. It is not the destination's fault; that of a table
		// may concern all its mail.
		scope := Site
		if errors.As(err, new(*queuefile.ReadError)) {
			scope = Message
		}
		return Failure{Scope: scope, Diagnosis: dsn.Diagnosis{
			Status: statusLocalData,
			Reason: "local data error while talking to " + ep.Peer()}}
	}
}

// sessionFailure turns what the session engine says into a failure.
func (d *Deliverer) sessionFailure(ep nexthop.Endpoint, err error) Failure {
	var reply *lmtp.ReplyError
	var conn *lmtp.ConnError
	var local *lmtp.LocalError
	var known *failureError
	switch {
	case errors.As(err, &known):
		return known.Failure
	case errors.As(err, &reply):
		return d.replyFailure(ep, reply)
	case errors.As(err, &conn):
		return connFailure(ep, conn)
	case errors.As(err, &local):
		return contentFailure(ep, local.Err)
	default:
		return contentFailure(ep, err)
	}
}

// diagnosisOf is the diagnosis that a failed parse, lookup or connection
// carries.
func diagnosisOf(err error) dsn.Diagnosis {
	var destination *nexthop.DestinationError
	var lookup *nexthop.LookupError
	var dial *nexthop.DialError
	var policy *tlspolicy.Error
	var known *failureError
	switch {
	case errors.As(err, &policy):
		return policy.Diagnosis
	case errors.As(err, &known):
		return known.Diagnosis
	case errors.As(err, &lookup):
		return lookup.Diagnosis
	case errors.As(err, &destination):
		return destination.Diagnosis
	case errors.As(err, &dial):
		return dial.Diagnosis
	default:
		return dsn.Diagnosis{Status: statusLocalData, Reason: err.Error()}
	}
}

// remember notes why there is no session, and what the operator could do about
// it: some causes can be seen from here, and are not in the recipients' records.
func (j *job) remember(err error) {
	j.why = diagnosisOf(err)
	j.leave(j.ledger.left(), j.why)
	var destination *nexthop.DestinationError
	if errors.As(err, &destination) {
		j.d.opt.Log.Warningf("%s: %s", j.req.QueueID, j.why.Reason)
	}
	var hinted interface{ Hint() string }
	if j.d.opt.ExtraLogging && errors.As(err, &hinted) {
		j.hint(hinted.Hint())
	}
}
