package lmtp

import (
	"context"
	"errors"
)

// flight sends the envelope and the content of a small message in one go, and
// reads all replies. The server may store the message before it has said
// anything at all: Dovecot keeps replies back while there is more to read.
// Therefore lmtp_data_done_timeout is the limit of every reply, and a connection
// that is lost after the flight may be lost after the message was stored.
func (c *chunker) flight(ctx context.Context) error {
	a, s := c.a, c.a.s
	if s.inputWaits() {
		return s.fail(s.cmds[0].stage, ErrDesync)
	}
	if err := s.gone(); err != nil {
		return s.fail(s.cmds[0].stage, err)
	}
	if !s.wire.enterFinal(ctx, a.t.FinalGrace) {
		return s.fail(StageChunk, s.wire.cause())
	}
	s.traceCommands()
	s.wire.begin(s.opt.Timeouts.DataDone, 0)
	data := c.frame(s.out, true)
	size := chunkSize
	if len(data) <= s.wire.room() {
		size = 0
	}
	w := s.startWriter(data, size, c.release)
	for k, cmd := range s.cmds {
		if k > 0 {
			s.wire.begin(s.opt.Timeouts.DataDone, 0)
		}
		s.opt.at(cmd.stage)
		r, err := s.reply()
		if err == nil && int64(cmd.end) > w.begun.Load() {
			err = ErrDesync
		}
		if err != nil {
			return c.brokenOff(w, k, err)
		}
		a.handle(cmd, r)
	}
	if err := w.join(); err != nil {
		return c.unsent(err)
	}
	s.wire.setOverlap(false)
	if a.mail != nil || len(a.accepted) == 0 {
		return c.nobody()
	}
	if a.reset != nil {
		s.spoiled = true // and yet it took the message
	}
	a.release()
	s.opt.at(StageFinal)
	s.wire.begin(s.opt.Timeouts.DataDone, 0)
	return a.finalReplies()
}

// brokenOff is the end of a flight whose k-th reply did not come.
func (c *chunker) brokenOff(w *groupWriter, k int, err error) error {
	a, s := c.a, c.a.s
	werr := w.abort(s)
	sent := werr == nil && w.err == nil
	if werr != nil && isTimeout(err) {
		err = werr // the time was that of the drain
	}
	stage := s.cmds[k].stage
	if sent && (k > 0 || isTimeout(err) || errors.As(err, new(*errLocal))) {
		stage = StageFinal
	}
	err = s.fail(stage, err)
	var conn *ConnError
	if errors.As(err, &conn) {
		conn.DotSent = sent
	}
	if a.reset != nil && len(a.accepted) == 0 {
		return &ReplyError{Stage: StageResetProbe, Reply: *a.reset}
	}
	return a.brokenOff(err)
}

// unsent is the end of a flight whose envelope was answered, and that was not
// taken as a whole: nobody has the message.
func (c *chunker) unsent(err error) error {
	a := c.a
	switch {
	case a.mail != nil:
		a.s.fail(StageChunk, err) //nolint:errcheck // the server has said what is wrong
		return a.refusal(StageMail, *a.mail)
	case len(a.accepted) == 0:
		a.s.fail(StageChunk, err) //nolint:errcheck // nobody is left
		a.release()
		return nil
	}
	a.release()
	return a.lostBody(StageChunk, err)
}

// nobody ends a flight that has no recipient. The server has discarded the
// content (RFC 3030 section 2). To BDAT LAST for nobody it says nothing (RFC 2033
// section 4.3), or refuses it, as Dovecot does at times and others always do: the
// reply to RSET is a success, and shows which.
func (c *chunker) nobody() error {
	a, s := c.a, c.a.s
	if a.reset != nil {
		s.Close()
		return &ReplyError{Stage: StageResetProbe, Reply: *a.reset}
	}
	if err := c.inStep(); err != nil {
		return err
	}
	if a.mail != nil {
		return a.refusal(StageMail, *a.mail)
	}
	a.release()
	return nil
}

// inStep sends RSET and reads up to the reply to it. An error says that replies
// went to the wrong commands, or that a recipient that was accepted after a
// refused MAIL FROM may have the message; with other trouble the session is
// closed.
func (c *chunker) inStep() error {
	a, s := c.a, c.a.s
	s.group()
	s.add(StageReset, 0, append(s.out, "RSET"...))
	s.traceCommands()
	s.wire.begin(s.opt.Timeouts.Reset, 0)
	if _, err := s.rw.Write(s.out); err != nil {
		s.Close()
		return nil
	}
	refusals := 0
	for {
		r, err := s.reply()
		switch {
		case err != nil, r.Code == 421: // 421: RFC 5321 section 3.8
			s.Close()
			return nil
		case r.Success() && refusals < len(a.accepted):
			return c.outOfStep()
		case r.Success():
			if s.inputWaits() {
				return c.outOfStep()
			}
			// Where there was no refusal it could be a late success for BDAT.
			s.spoiled = s.spoiled || refusals == 0
			return nil
		case refusals == max(1, len(a.accepted)), r.Code/100 != 5:
			return c.outOfStep()
		}
		refusals++
	}
}

// outOfStep ends a flight whose replies do not fit. All of it was sent.
func (c *chunker) outOfStep() error {
	err := c.a.s.fail(StageFinal, ErrDesync)
	var conn *ConnError
	if errors.As(err, &conn) {
		conn.DotSent = true
	}
	return err
}
