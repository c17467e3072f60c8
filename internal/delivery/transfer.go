package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"postlmtp/internal/content"
	"postlmtp/internal/dsn"
	"postlmtp/internal/lmtp"
	"postlmtp/internal/nexthop"
	"postlmtp/internal/request"
)

// transfer is one transaction: the recipients that are left, over one session.
type transfer struct {
	j       *job
	s       *session
	final   bool
	offered []int        // indices in the request, in the order of RCPT TO
	kept    map[int]bool // refused for now, and left for the next server
}

// transfer offers what is left over a session that is ready for a message, and
// gives the session back. It reports a stale session: one from the pool that
// broke before it had said anything, so that nothing has happened.
func (j *job) transfer(ctx context.Context, s *session, final bool) (stale bool, err error) {
	x := &transfer{j: j, s: s, final: final, offered: j.ledger.left(), kept: make(map[int]bool)}
	defer j.resetStamps()
	j.connection = s.serial
	j.d.progress(ctx)
	if f, unfit := x.unfit(); unfit {
		j.fail(f, s.endpoint.Relay(), final, x.offered)
		j.completed = j.completed || f.Diagnosis.Status == statusTooLarge
		j.giveBack(s)
		return false, nil
	}
	t, err := x.transaction(ctx)
	if err != nil {
		j.troubled(err)
		j.fail(j.mapFailed(err, "local data error while talking to "+s.endpoint.Peer()), s.endpoint.Relay(), final, x.offered)
		j.giveBack(s)
		return false, nil
	}
	err = s.Deliver(ctx, t)
	if j.d.abandoned(ctx) && len(x.open()) > 0 {
		j.d.drop(s)
		x.logUnconfirmed(err)
		return false, errAbandoned
	}
	if err != nil && s.pooled() && x.untouched(err) {
		j.watch.Stale()
		x.logUnconfirmed(err) // all of a flight of postlmtp_chunking may have arrived
		j.d.drop(s)
		delete(j.used, s.endpoint)
		return true, nil
	}
	if err != nil {
		j.watch.Failed(TroubleMessage, err)
		j.troubled(err)
		x.maybePlain(ctx, err)
		x.failed(err)
	} else if !j.req.Flags.Probe() {
		j.watch.Done(len(x.offered))
	}
	var refused *lmtp.ReplyError
	if err == nil || errors.As(err, &refused) {
		j.completed = true
	}
	j.giveBack(s)
	return false, nil
}

// unfit tells why a session cannot take this message at all.
func (x *transfer) unfit() (Failure, bool) {
	caps, req, host := x.s.Caps(), x.j.req, x.s.endpoint.Peer()
	switch {
	case !x.j.needsUTF8() || caps.SMTPUTF8:
	case x.plainHeader():
		x.j.d.opt.Log.Infof("%s: UTF-8 in the header, and %s has no SMTPUTF8: sent as it is (postlmtp_smtputf8_downgrade)",
			req.QueueID, host)
	default:
		f := Failure{Scope: Message, SoftNonFinal: true, Diagnosis: dsn.Diagnosis{Status: statusNoUTF8,
			Reason: fmt.Sprintf("message requires SMTPUTF8, but no server was found that supports SMTPUTF8. "+
				"The last attempted server was %s", host)}}
		if x.j.d.opt.UTF8AtOnce {
			f.SoftNonFinal = false
			f.Diagnosis.Reason = "SMTPUTF8 is required, but was not offered by host " + host
		}
		x.s.unfit = true
		if x.s.TLS() == nil {
			x.j.undecidedTLS(x.s.policy)
		}
		return f, true
	}
	if caps.SizeLimit > 0 && caps.SizeLimit < req.Size {
		return Failure{Scope: Message, Diagnosis: dsn.Diagnosis{Status: statusTooLarge,
			Reason: fmt.Sprintf("message size %d exceeds size limit %d of server %s",
				req.Size, caps.SizeLimit, host)}}, true
	}
	return Failure{}, false
}

// transaction is the request in the words of the session engine.
func (x *transfer) transaction(ctx context.Context) (*lmtp.Transaction, error) {
	req, opt := x.j.req, &x.j.d.opt
	downgrade := !opt.DisableMIMEConversion && !x.s.Caps().EightBitMIME && req.Encoding != "7bit"
	sender, err := x.j.mapped(ctx, req.Sender)
	if err != nil {
		return nil, err
	}
	t := &lmtp.Transaction{
		Sender:     sender,
		Size:       req.Size,
		Encoding:   x.j.encoding(),
		Downgrade:  downgrade,
		EnvID:      req.EnvelopeID,
		Idle:       x.s.pooled(),
		Ret:        lmtp.Ret(req.Ret),
		SMTPUTF8:   req.SendOpts&request.UTF8Requested != 0,
		EmptyAuth:  x.emptyMailAuth(),
		RequireTLS: x.j.requireTLS(),
		UTF8ORcpt:  req.SendOpts&(request.UTF8Requested|utf8Anywhere) != 0,
		Recipients: make([]lmtp.Recipient, len(x.offered)),

		ORcptAnyway: opt.ORcptAnyway,
		FinalGrace:  opt.FinalGrace,

		PauseBeforeDot: x.s.pause,
		OnMail: func() {
			x.j.d.progress(ctx)
			x.j.stamps.ConnSetupDone = time.Now()
			x.j.stamps.ReuseCount = x.s.reused()
		},
		OnRcpt: func(i int, r lmtp.Reply) {
			x.rejected(x.offered[i], lmtp.StageRcpt, r)
			x.logSession(x.offered[i], r)
		},
		OnFinal: func(i int, r lmtp.Reply) {
			x.j.d.progress(ctx)
			if !req.Flags.Probe() {
				x.j.stamps.DeliverDone = time.Now()
				x.j.watch.Final(r.Code/100 != 4)
			}
			x.decided(x.offered[i], r)
			x.logSession(x.offered[i], r)
		},
	}
	t.Body = func(w io.Writer) error { return x.body(ctx, w, t) }
	if opt.Chunking && x.s.Caps().Chunking {
		t.Chunks = &x.j.d.chunks
	}
	if req.Flags.Probe() {
		t.Probe = opt.VerifyTarget
	}
	if x.plainHeader() {
		t.Encoding = "8bit" // whatever the body is, the header is that
	}
	if opt.Tracing.Message {
		t.TraceID = req.QueueID
	}
	for n, i := range x.offered {
		rcpt := req.Recipients[i]
		addr, err := x.j.mapped(ctx, rcpt.Address)
		if err != nil {
			return nil, err
		}
		t.Recipients[n] = lmtp.Recipient{
			Address:  addr,
			Original: rcpt.Original,
			ORcpt:    rcpt.ORcpt,
			Notify:   lmtp.Notify(rcpt.Notify),
		}
	}
	if opt.SendXForward {
		t.XForward = &lmtp.XForward{
			Name: req.Client.Name, Addr: req.Client.Address, Port: req.Client.Port,
			Proto: req.Client.Protocol, Helo: req.Client.Helo, Ident: req.LogIdent,
			RewriteContext: req.RewriteContext,
		}
	}
	return t, nil
}

// encoding is the request's, if it is one that BODY= knows.
func (j *job) encoding() string {
	switch j.req.Encoding {
	case "", "7bit", "8bit":
		return j.req.Encoding
	}
	j.d.opt.Log.Warningf("%s: unknown content encoding: %s", j.req.QueueID, j.req.Encoding)
	return ""
}

// body streams the content from the queue file.
func (x *transfer) body(ctx context.Context, w io.Writer, t *lmtp.Transaction) error {
	o, err := x.contentOptions(ctx, t)
	if err != nil {
		return err
	}
	b := x.j.d.buffers.get()
	defer x.j.d.buffers.put(b)
	o.Buffer = b.wire
	stats, err := content.Copy(progressWriter{w, x.j.d, ctx}, x.j.file.RecordsIn(b.records, x.j.req.Offset), o)
	x.j.watch.Content(stats.Bytes)
	return err
}

// progressWriter tells of each piece of content that the server took. Pieces
// are as large as the buffer of the session.
type progressWriter struct {
	io.Writer
	d   *Deliverer
	ctx context.Context
}

func (w progressWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.d.progress(w.ctx)
	return n, err
}

// decided settles a recipient by the reply that is its own.
func (x *transfer) decided(i int, r lmtp.Reply) {
	if !r.Success() && r.Enhanced != "2.0.0" {
		x.rejected(i, lmtp.StageFinal, r)
		return
	}
	j, dsnOffered := x.j, x.s.Caps().DSN
	rcpt := &j.req.Recipients[i]
	action := "relayed"
	switch {
	case dsnOffered:
		// The server sends the notice of success, if the sender wants one.
		rcpt.Notify &^= request.NotifySuccess
	case j.d.opt.Flags.Final:
		action = "delivered"
	}
	j.ledger.settle(i, Sent, j.attempt(x.s.endpoint.Relay()), dsn.Diagnosis{
		Status: r.Enhanced, Action: action, Reason: r.Text(),
		DiagType: "smtp", DiagText: r.Text(),
		MTAType: "dns", MTAName: x.s.endpoint.Host,
	})
}

// rejected applies a reply that refused one recipient.
func (x *transfer) rejected(i int, stage lmtp.Stage, r lmtp.Reply) {
	f := Failure{Scope: Recipient, Diagnosis: saidDiagnosis(x.s.endpoint, stage, r)}
	if x.j.fail(f, x.s.endpoint.Relay(), x.final, []int{i}) == TryNext {
		x.kept[i] = true
	}
}

// open lists the recipients of this transaction that have no end yet.
func (x *transfer) open() []int {
	var open []int
	for _, i := range x.offered {
		if x.j.ledger.open(i) && !x.kept[i] {
			open = append(open, i)
		}
	}
	return open
}

// untouched tells whether a session broke before the server answered anything
// of this transaction.
func (x *transfer) untouched(err error) bool {
	var refused *lmtp.ReplyError
	if errors.As(err, &refused) {
		return refused.Stage == lmtp.StageResetProbe
	}
	var conn *lmtp.ConnError
	if errors.As(err, &conn) && conn.Stage == lmtp.StageResetProbe {
		return true
	}
	if conn == nil || conn.Timeout || len(x.open()) != len(x.offered) {
		return false
	}
	first := []lmtp.Stage{lmtp.StageXForwardNameAddr, lmtp.StageXForwardProto, lmtp.StageTrace, lmtp.StageMail}
	return slices.Contains(first, conn.Stage)
}

// failed settles or keeps the recipients that share the error of the session.
func (x *transfer) failed(err error) {
	j := x.j
	var bad *content.BadRecordError
	unreadable := errors.As(err, &bad)
	if unreadable {
		j.d.opt.Log.Warningf("%s: bad record type: %d in message content", j.req.QueueID, bad.Type)
	} else {
		x.logUnconfirmed(err)
		x.logUnanswered(err)
		x.logCause(err)
	}
	f, early := x.earlyReply(err)
	if !early {
		f = j.d.sessionFailure(x.s.endpoint, err)
	}
	j.fail(f, x.s.endpoint.Relay(), x.final, x.open())
	if unreadable && !j.ledger.untold && !j.ledger.any() {
		// Every recipient was told. The file is kept for a person to look
		// at: with a status that is not zero the queue manager moves it
		// to the corrupt queue, instead of removing it.
		j.d.opt.Log.Warningf("corrupted queue file: %s", j.file.Path())
		if err := j.file.MarkCorrupt(); err != nil {
			j.d.opt.Log.Warningf("%s: %v", j.req.QueueID, err)
		}
		j.ledger.unfinished = true
	}
}

// logUnconfirmed says plainly when the server may have stored what we are
// going to send again: the final dot was sent, and replies are missing.
func (x *transfer) logUnconfirmed(err error) {
	var conn *lmtp.ConnError
	var local *lmtp.LocalError
	open, what := x.open(), ""
	switch {
	case len(open) == 0:
	case errors.As(err, &conn) && conn.Ambiguous():
		what = "did not answer the end of the message"
	case errors.As(err, &local) && local.Stage == lmtp.StageFinal:
		what = "answered the end of the message, which lmtp_reply_filter kept us from reading,"
	}
	if what == "" {
		return
	}
	x.j.unconfirmed = true
	x.j.watch.Unconfirmed(len(open))
	if x.j.d.opt.ExtraLogging {
		x.j.d.opt.Log.Infof("%s: unconfirmed: %s %s for %d of %d recipients; they may have it already, and will get it again",
			x.j.req.QueueID, x.s.endpoint.Relay(), what, len(open), len(x.offered))
	}
}

// logCause logs what the recipients' records do not say: a problem on our side,
// or a dialog that is out of step.
func (x *transfer) logCause(err error) {
	var local *lmtp.LocalError
	var mime *content.MIMEError
	switch {
	case errors.As(err, &mime):
	case errors.As(err, &local):
		x.j.d.opt.Log.Warningf("%s: %v", x.j.req.QueueID, local.Err)
	default:
		x.j.logOutOfStep(x.s.endpoint, err)
	}
}

// logOutOfStep logs that a connection was not lost but given up, because of what
// the server said.
func (j *job) logOutOfStep(ep nexthop.Endpoint, err error) {
	if errors.Is(err, lmtp.ErrDesync) || errors.Is(err, lmtp.ErrReplyTooLong) {
		j.d.opt.Log.Warningf("%s: %s: %v", j.req.QueueID, ep.Relay(), err)
	}
}
