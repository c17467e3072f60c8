package delivery

import (
	"context"
	"fmt"

	"postlmtp/internal/address"
	"postlmtp/internal/content"
	"postlmtp/internal/dsn"
	"postlmtp/internal/lmtp"
)

// refuse tells why a request is not even tried, because of the flags= of the
// service: before any connection, with the service's name as the relay.
func (j *job) refuse(ctx context.Context) (Failure, bool) {
	opt, n := &j.d.opt, len(j.req.Recipients)
	for _, flag := range []struct {
		letter string
		set    bool
	}{{"D", opt.Flags.DeliveredTo}, {"O", opt.Flags.OriginalTo}} {
		if flag.set && n > 1 {
			// One copy with one header cannot serve several recipients.
			opt.Log.Warningf("flag `%s' requires %s_destination_recipient_limit = 1", flag.letter, opt.Service)
			return Failure{Scope: Message, Diagnosis: dsn.Diagnosis{
				Status: statusConfiguration, Reason: "mail system configuration error"}}, true
		}
	}
	if err := lmtp.CheckAddress(j.req.Sender); err != nil {
		return Failure{Scope: Message, Diagnosis: dsn.Diagnosis{
			Status: statusBadSender, Reason: fmt.Sprintf("bad sender address syntax: %v", err)}}, true
	}
	if !opt.Flags.DeliveredTo {
		return Failure{}, false
	}
	rcpt := j.req.Recipients[0].Address
	mapped, err := j.mapped(ctx, rcpt)
	if err != nil {
		return j.mapFailed(err, "local data error"), true
	}
	loops, err := content.DeliveredTo(j.file.Records(j.req.Offset), mapped, opt.UTF8)
	if err != nil {
		// The same trouble comes up when the content is sent, and is
		// settled there.
		opt.Log.Warningf("%s: look for Delivered-To: headers: %v", j.req.QueueID, err)
	}
	if loops {
		return Failure{Scope: Message, Diagnosis: dsn.Diagnosis{
			Status: statusForwardLoop, Reason: fmt.Sprintf("mail forwarding loop for %s", rcpt)}}, true
	}
	return Failure{}, false
}

// refuseAddresses bounces the recipients whose address cannot be sent: with a
// line end in it, the rest of the dialog would be the address's. Nothing that
// came in by SMTP is like that.
func (j *job) refuseAddresses() {
	for _, i := range j.ledger.left() {
		if err := lmtp.CheckAddress(j.req.Recipients[i].Address); err != nil {
			j.fail(Failure{Scope: Recipient, Diagnosis: dsn.Diagnosis{
				Status: statusBadAddress, Reason: fmt.Sprintf("bad recipient address syntax: %v", err)}},
				j.d.opt.Service, true, []int{i})
		}
	}
}

// prepend lists the headers that flags= asks for, in the order of the release.
func (j *job) prepend(ctx context.Context) ([]content.Header, error) {
	flags, rcpt := j.d.opt.Flags, j.req.Recipients[0]
	var failed error
	quoted := func(addr string) string {
		mapped, err := j.mapped(ctx, addr)
		if err != nil {
			failed = err
		}
		return address.QuoteHeader(mapped)
	}
	var headers []content.Header
	if flags.ReturnPath {
		headers = append(headers, content.Header{Name: "Return-Path", Value: "<" + quoted(j.req.Sender) + ">"})
	}
	if flags.OriginalTo {
		headers = append(headers, content.Header{Name: "X-Original-To", Value: quoted(rcpt.Original)})
	}
	if flags.DeliveredTo {
		headers = append(headers, content.Header{Name: "Delivered-To", Value: quoted(rcpt.Address)})
	}
	if j.d.opt.HeadersBackward {
		for a, b := 0, len(headers)-1; a < b; a, b = a+1, b-1 {
			headers[a], headers[b] = headers[b], headers[a]
		}
	}
	return headers, failed
}
