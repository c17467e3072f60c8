package lmtp

import (
	"context"
	"errors"
	"io"
	"time"
)

// bodyBuffer is how much content is written at a time, at most.
const bodyBuffer = 32 << 10

// postfixBuffer is how much Postfix writes at a time: it decides whether a
// connection that is lost near the end was lost "while sending message body"
// or "while sending end of data".
const postfixBuffer = 4096

// A bodyWriter buffers content and remembers how sending went.
type bodyWriter struct {
	w     io.Writer
	buf   []byte
	tail  [2]byte // the last two bytes of content
	taken int64   // bytes of content taken
	sent  int64   // bytes that the connection took
	err   error   // the connection's
}

// reset starts anew. The buffer of an idle session stays as large as its
// messages need.
func (b *bodyWriter) reset(w io.Writer) {
	*b = bodyWriter{w: w, buf: b.buf[:0]}
}

// Write takes content.
func (b *bodyWriter) Write(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	switch n := len(p); {
	case n >= 2:
		copy(b.tail[:], p[n-2:])
	case n == 1:
		b.tail[0], b.tail[1] = b.tail[1], p[0]
	}
	b.taken += int64(len(p))
	if len(b.buf) == 0 && len(p) >= bodyBuffer { // nothing to gather
		n, err := b.w.Write(p)
		b.sent += int64(n)
		b.err = err
		return n, err
	}
	written := 0
	for len(p) > bodyBuffer-len(b.buf) {
		n := bodyBuffer - len(b.buf)
		b.buf = append(b.buf, p[:n]...)
		written += n
		p = p[n:]
		if err := b.flush(); err != nil {
			return written, err
		}
	}
	b.buf = append(b.buf, p...)
	return written + len(p), nil
}

func (b *bodyWriter) flush() error {
	if b.err != nil || len(b.buf) == 0 {
		return b.err
	}
	n, err := b.w.Write(b.buf)
	b.sent += int64(n)
	b.err = err
	b.buf = b.buf[:0]
	return err
}

// stage is where Postfix would be with as much of the content sent.
func (b *bodyWriter) stage() Stage {
	if b.sent < b.taken/postfixBuffer*postfixBuffer {
		return StageBody
	}
	return StageFinal
}

// complete ends the last line of content.
func (b *bodyWriter) complete() {
	if b.taken > 0 && b.tail != [2]byte{'\r', '\n'} {
		b.Write([]byte("\r\n")) //nolint:errcheck // remembered
	}
}

// content sends the message to the recipients that are left and reads their
// final replies.
func (a *attempt) content(ctx context.Context) error {
	s, t := a.s, a.t
	if s.body == nil {
		s.body = new(bodyWriter)
	}
	b := s.body
	b.reset(s.rw)
	s.opt.at(StageBody)
	s.wire.begin(s.opt.Timeouts.DataXfer, s.opt.Timeouts.MinDataRate)
	err := t.Body(b)
	b.complete()
	if b.err == nil && err != nil {
		var partial interface{ Partial() bool }
		if errors.As(err, &partial) && partial.Partial() {
			b.flush() //nolint:errcheck // the message is given up
		}
		return s.fail(StageBody, &errLocal{err})
	}
	if b.err == nil && t.PauseBeforeDot > 0 {
		b.flush() //nolint:errcheck // remembered
		pause(ctx, t.PauseBeforeDot)
	}
	if b.err != nil {
		return a.lostBody(StageBody, b.err)
	}
	if s.inputWaits() {
		return a.lostBody(StageBody, ErrDesync)
	}
	if err := s.gone(); err != nil {
		// Without the dot nobody has the message, and gets it twice.
		return a.lostBody(b.stage(), err)
	}
	if !s.wire.enterFinal(ctx, t.FinalGrace) {
		return s.fail(StageBody, s.wire.cause())
	}
	s.opt.trace(TraceEvent{Kind: TraceBody, Size: b.taken})
	return a.dot(b)
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// dot sends what is left of the content, and the final dot.
func (a *attempt) dot(b *bodyWriter) error {
	s := a.s
	s.opt.trace(TraceEvent{Kind: TraceCommand, Line: "."})
	s.opt.at(StageFinal)
	s.wire.begin(s.opt.Timeouts.DataDone, 0)
	b.Write([]byte(".\r\n")) //nolint:errcheck // remembered
	if b.flush() == nil {
		return a.finalReplies()
	}
	return a.lostBody(b.stage(), b.err)
}

// finalReplies reads one reply for each accepted recipient (RFC 2033 section
// 4.2), each with its full limit.
func (a *attempt) finalReplies() error {
	s := a.s
	for ; a.final < len(a.accepted); a.final++ {
		if a.final > 0 {
			s.wire.begin(s.opt.Timeouts.DataDone, 0)
		}
		r, err := s.reply()
		if err != nil {
			err = s.fail(StageFinal, err)
			var conn *ConnError
			if errors.As(err, &conn) {
				conn.DotSent = true
			}
			return err
		}
		if !r.Success() {
			s.refuseMail(r)
		}
		a.settle(a.accepted[a.final], r)
	}
	if s.inputWaits() {
		s.spoiled = true
		s.noteOdd() // more replies than recipients
	}
	s.spoiled = s.spoiled || s.gone() != nil
	return nil
}

// lostBody is the end of a transaction whose final dot did not get through, or
// was not sent because the server had spoken before. A write that fails has not
// handed over all of its bytes, and the dot comes last: nobody has the message.
func (a *attempt) lostBody(stage Stage, err error) error {
	if a.s.wire.cause() == nil && !isTimeout(err) {
		a.early(errors.Is(err, ErrDesync))
	}
	conn := a.s.fail(stage, err)
	if a.final == len(a.accepted) {
		return nil // all have their own reply
	}
	return conn
}
