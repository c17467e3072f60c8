package lmtp

import (
	"context"
	"errors"
)

// An attempt is one transaction on its way through the dialog.
type attempt struct {
	s *Session
	t *Transaction

	settled  []bool // by index of the recipient
	accepted []int  // recipients whose RCPT TO was accepted, in order
	final    int    // how many of them have their final reply
	held     []held // outcomes that wait until the dialog is known to be in step

	reset      *Reply // a refusal of the RSET before MAIL FROM
	mail       *Reply // a refusal of MAIL FROM
	data       *Reply // the reply to DATA, if it was sent
	outOfClass bool   // a 3xx reply to MAIL or RCPT
}

type held struct {
	rcpt  int
	reply Reply
}

// Deliver runs one transaction; see the package comment for what its errors
// say. After a *ReplyError, and after nil, the session can be used again if
// Reusable says so, and can be quit if Closed does not say otherwise; a RSET was
// sent where one is due. After any other error it is closed.
func (s *Session) Deliver(ctx context.Context, t *Transaction) error {
	if err := t.check(); err != nil {
		s.Close()
		return err
	}
	if len(t.Recipients) == 0 {
		return nil
	}
	defer s.watch(ctx)()
	s.uses++
	a := &attempt{s: s, t: t, settled: make([]bool, len(t.Recipients))}
	err := a.run(ctx)
	var conn *ConnError
	if errors.As(err, &conn) {
		for i, ok := range a.settled {
			if !ok {
				conn.Unsettled = append(conn.Unsettled, i)
			}
		}
	}
	return err
}

// run is the transaction from MAIL FROM to its end.
func (a *attempt) run(ctx context.Context) error {
	if a.oneFlight() {
		return a.chunks(ctx, false)
	}
	if over, err := a.offer(); over {
		return err
	}
	if a.t.chunked() {
		return a.chunks(ctx, true)
	}
	if a.t.Probe == ProbeData {
		// There is no way back from DATA but to hang up.
		a.s.Close()
		r := *a.data
		r.Enhanced = "2.0.0"
		a.settleAll(r)
		return nil
	}
	return a.content(ctx)
}

// offer sends the envelope. It is true if that was all of the transaction;
// otherwise there are recipients who wait for the content.
func (a *attempt) offer() (over bool, err error) {
	if err := a.envelope(); err != nil {
		return true, err
	}
	switch {
	case a.reset != nil:
		a.s.Close()
		return true, &ReplyError{Stage: StageResetProbe, Reply: *a.reset}
	case a.mail != nil:
		if err := a.abandon(); err != nil {
			return true, err
		}
		return true, a.refusal(StageMail, *a.mail)
	case len(a.accepted) == 0 || a.t.Probe == ProbeRcpt:
		if err := a.abandon(); err != nil {
			return true, err
		}
		a.release()
		return true, nil
	case a.data != nil && a.data.Code/100 != 3:
		if err := a.abandon(); err != nil {
			return true, err
		}
		a.release()
		return true, a.refusal(StageData, *a.data)
	}
	a.release()
	return false, nil
}

func (a *attempt) refusal(stage Stage, r Reply) error {
	a.s.refuseMail(r)
	return &ReplyError{Stage: stage, Reply: r}
}

// refuseMail notes an error reply in a transaction: some are a reason not to
// use the session again.
func (s *Session) refuseMail(r Reply) {
	if r.Suspicious() {
		s.spoiled = true
		s.noteOdd()
	}
}

// envelope sends the envelope, as one group if the server pipelines, and
// collects the replies.
func (a *attempt) envelope() error {
	var err error
	if a.s.caps.Pipelining {
		err = a.pipelined()
	} else {
		err = a.oneByOne()
	}
	if err == nil || a.reset != nil {
		return nil
	}
	return a.brokenOff(err)
}

// brokenOff is the end of a transaction whose dialog broke off in the envelope.
// What was answered until then stands, unless replies may have gone to the
// wrong commands: a 3xx reply before DATA is the answer to DATA if one is
// missing at the end.
func (a *attempt) brokenOff(err error) error {
	if errors.Is(err, ErrDesync) {
		return err
	}
	var conn *ConnError
	if a.outOfClass && a.s.caps.Pipelining && errors.As(err, &conn) && !conn.Cancelled {
		conn.Err = errors.Join(ErrDesync, conn.Err)
		return err
	}
	if a.mail != nil {
		return a.refusal(StageMail, *a.mail)
	}
	a.release()
	return err
}

func (a *attempt) commander() *commander {
	return &commander{caps: &a.s.caps, opt: &a.s.opt, t: a.t}
}

// begin adds RSET for an idle session, XFORWARD and TRACE, as far as there are
// any, and MAIL FROM. The connection counts as set up when RSET is answered.
func (a *attempt) begin(c *commander, step func() error) error {
	s := a.s
	if a.t.Idle {
		s.add(StageResetProbe, 0, append(s.out, "RSET"...))
		if err := step(); err != nil || a.reset != nil {
			return err
		}
	}
	for _, stage := range []Stage{StageXForwardNameAddr, StageXForwardProto} {
		if b := c.xforward(s.out, stage); len(b) > len(s.out) {
			s.add(stage, 0, b)
			if err := step(); err != nil {
				return err
			}
		}
	}
	if a.t.TraceID != "" && s.caps.Trace {
		s.add(StageTrace, 0, append(append(s.out, "TRACE "...), a.t.TraceID...))
		if err := step(); err != nil {
			return err
		}
	}
	if !a.t.Idle {
		a.connected()
	}
	s.add(StageMail, 0, c.mail(s.out))
	return step()
}

func (a *attempt) connected() {
	if a.t.OnMail != nil {
		a.t.OnMail()
	}
}

// compose makes a group of all commands of the envelope.
func (a *attempt) compose() {
	s, c := a.s, a.commander()
	s.group()
	_ = a.begin(c, func() error { return nil })
	for i := range a.t.Recipients {
		s.add(StageRcpt, i, c.rcpt(s.out, &a.t.Recipients[i]))
	}
}

// pipelined sends everything up to DATA at once (RFC 2920 section 3.1).
func (a *attempt) pipelined() error {
	s := a.s
	a.compose()
	if a.t.Probe != ProbeRcpt && !a.t.chunked() {
		s.add(StageData, 0, append(s.out, "DATA"...))
	}
	return s.run(a.handle)
}

// oneByOne waits for each reply before it goes on.
func (a *attempt) oneByOne() error {
	s, c := a.s, a.commander()
	step := func() error {
		err := s.run(a.handle)
		s.group()
		return err
	}
	s.group()
	if err := a.begin(c, step); err != nil || a.reset != nil || a.mail != nil {
		return err
	}
	for i := range a.t.Recipients {
		s.add(StageRcpt, i, c.rcpt(s.out, &a.t.Recipients[i]))
		if err := step(); err != nil {
			return err
		}
	}
	if len(a.accepted) == 0 || a.t.Probe == ProbeRcpt || a.t.chunked() {
		return nil
	}
	s.add(StageData, 0, append(s.out, "DATA"...))
	return step()
}

// handle notes the reply to one command of the envelope.
func (a *attempt) handle(c command, r Reply) {
	switch c.stage {
	case StageResetProbe:
		if !r.Success() {
			a.reset = &r
			break
		}
		a.connected()
	case StageXForwardNameAddr, StageXForwardProto, StageTrace:
		if !r.Success() {
			a.s.opt.warningf("host %s said: %s (in reply to %s command)",
				a.s.opt.PeerPort, r.Text(), c.stage.Command())
		}
	case StageMail:
		if !r.Success() {
			a.mail = &r
		}
		a.outOfClass = a.outOfClass || r.Code/100 == 3
	case StageRcpt:
		if r.Success() {
			a.accepted = append(a.accepted, c.rcpt)
		}
		if !r.Success() || a.t.Probe == ProbeRcpt {
			a.held = append(a.held, held{c.rcpt, r})
		}
		a.outOfClass = a.outOfClass || r.Code/100 == 3
	case StageData:
		a.data = &r
	}
}

// release reports the outcomes that were held back.
func (a *attempt) release() {
	for _, h := range a.held {
		if h.reply.Success() {
			a.settle(h.rcpt, h.reply)
		} else {
			a.reject(h)
		}
	}
	a.held = nil
}

func (a *attempt) reject(h held) {
	a.s.refuseMail(h.reply)
	a.mark(h.rcpt)
	if a.t.OnRcpt != nil {
		a.t.OnRcpt(h.rcpt, h.reply)
	}
}

// settle reports the reply that decides a recipient.
func (a *attempt) settle(rcpt int, r Reply) {
	a.mark(rcpt)
	if a.t.OnFinal != nil {
		a.t.OnFinal(rcpt, r)
	}
}

func (a *attempt) settleAll(r Reply) {
	for _, i := range a.accepted {
		a.settle(i, r)
	}
}

func (a *attempt) mark(rcpt int) {
	if a.settled[rcpt] {
		panic("lmtp: a recipient was settled twice")
	}
	a.settled[rcpt] = true
}
