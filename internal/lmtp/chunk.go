package lmtp

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// chunked says that the content goes by BDAT.
func (t *Transaction) chunked() bool { return t.Chunks != nil && t.Probe == NoProbe }

// oneFlight says that the envelope and all of the content may go in one flight.
// The first message on a connection does not: it shows whether the server is in
// step with us, because nothing may wait to be read when its envelope was
// answered. In a flight no reply differs from the others as the 354 of DATA does.
func (a *attempt) oneFlight() bool {
	t := a.t
	return t.chunked() && t.Idle && a.s.caps.Pipelining && t.Size >= 0 && t.Size <= chunkLimit
}

// A chunker sends content in chunks. It takes it from Transaction.Body.
type chunker struct {
	a       *attempt
	buf     *chunkBuffer
	n       int     // bytes of content in buf
	taken   int64   // bytes of content taken
	tail    [2]byte // the last two of them
	offered bool    // the envelope was answered
	open    int     // chunks without a reply
	done    bool    // nothing more is to be sent
	err     error   // the end of the transaction, once done
}

// errDone ends Body when the rest of the content is not wanted.
var errDone = errors.New("content is not wanted")

// chunks sends the message to the recipients that are left, or, if the envelope
// was not offered yet, all of the transaction.
func (a *attempt) chunks(ctx context.Context, offered bool) error {
	c := &chunker{a: a, offered: offered, buf: a.t.Chunks.get()}
	defer c.release()
	if !offered {
		a.compose()
		if len(a.s.out) > chunkRoom-maxBDAT {
			if c.offer(); c.done {
				return c.err
			}
		}
	}
	err := a.t.Body(c)
	c.complete()
	switch {
	case c.done:
		return c.err
	case err != nil:
		return a.s.fail(StageBody, &errLocal{err})
	case !c.offered:
		return c.flight(ctx)
	}
	return c.last(ctx)
}

// release gives the buffer back.
func (c *chunker) release() {
	if c.buf != nil {
		c.a.t.Chunks.put(c.buf)
		c.buf = nil
	}
}

// finish ends the transaction.
func (c *chunker) finish(err error) {
	c.done, c.err = true, err
}

// offer sends the envelope, of a message that turned out not to be small.
func (c *chunker) offer() {
	c.offered = true
	if over, err := c.a.offer(); over {
		c.finish(err)
	}
}

// Write takes content.
func (c *chunker) Write(p []byte) (int, error) {
	switch n := len(p); {
	case n >= 2:
		copy(c.tail[:], p[n-2:])
	case n == 1:
		c.tail[0], c.tail[1] = c.tail[1], p[0]
	}
	c.taken += int64(len(p))
	written := 0
	for len(p) > 0 {
		if c.n == chunkLimit && !c.done {
			c.pass()
		}
		if c.done {
			return written, errDone
		}
		n := copy(c.buf[chunkRoom+c.n:], p)
		c.n += n
		written += n
		p = p[n:]
	}
	return written, nil
}

// complete ends the last line of content.
func (c *chunker) complete() {
	if c.taken > 0 && c.tail != [2]byte{'\r', '\n'} {
		c.Write([]byte("\r\n")) //nolint:errcheck // remembered
	}
}

// maxBDAT is the length of the longest BDAT command with its line end.
const maxBDAT = len("BDAT 65536 LAST\r\n")

// frame puts BDAT in front of the content in the buffer, and in front of that
// what else is to go with it.
func (c *chunker) frame(before []byte, last bool) []byte {
	b := strconv.AppendInt(append(make([]byte, 0, maxBDAT), "BDAT "...), int64(c.n), 10)
	if last {
		b = append(b, " LAST"...)
	}
	c.a.s.opt.trace(TraceEvent{Kind: TraceCommand, Line: string(b)})
	c.a.s.opt.trace(TraceEvent{Kind: TraceBody, Size: int64(c.n)})
	b = append(b, "\r\n"...)
	start := chunkRoom - len(before) - len(b)
	copy(c.buf[start:], before)
	copy(c.buf[chunkRoom-len(b):], b)
	data := c.buf[start : chunkRoom+c.n]
	c.n = 0
	return data
}

// pass sends a chunk behind which more content comes, while the reply to the
// one before it is awaited. No more than that one is without a reply then: it
// bounds what is sent in vain, and the reply comes, however small the buffers
// between us and the server are.
func (c *chunker) pass() {
	s := c.a.s
	if !c.offered {
		if c.offer(); c.done {
			return
		}
	}
	if c.open > 0 && (!s.caps.Pipelining || s.opt.Timeouts.PerRequestDeadline) {
		// A deadline for all of a chunk has to know when it is over.
		if c.await(); c.done {
			return
		}
	}
	if c.open == 0 && s.inputWaits() {
		c.finish(s.fail(StageChunk, ErrDesync))
		return
	}
	s.opt.at(StageChunk)
	s.wire.begin(s.opt.Timeouts.DataXfer, s.opt.Timeouts.MinDataRate)
	data := c.frame(nil, false)
	c.open++
	if c.open > 1 {
		c.passBeside(data)
	} else if _, err := s.rw.Write(data); err != nil {
		c.lost(err)
	}
}

// passBeside sends a chunk beside reading the reply to the one before.
func (c *chunker) passBeside(data []byte) {
	s := c.a.s
	w := s.startWriter(data, len(data), nil)
	refusal := c.reply()
	if c.done {
		w.abort(s) //nolint:errcheck // the reply that is missing says more
		return
	}
	err := w.join()
	s.wire.setOverlap(false)
	switch {
	case refusal != nil:
		c.finish(c.refused(*refusal))
	case err != nil:
		c.lost(err)
	}
}

// await reads the reply to a chunk.
func (c *chunker) await() {
	if refusal := c.reply(); refusal != nil {
		c.finish(c.refused(*refusal))
	}
}

// reply reads the reply to a chunk that was not the last, and returns a
// refusal. It ends the transaction if there is no reply, or an odd one.
func (c *chunker) reply() *Reply {
	s := c.a.s
	s.wire.begin(s.opt.Timeouts.DataXfer, 0)
	r, err := s.reply()
	c.open--
	switch class := r.Code / 100; {
	case err != nil:
		c.finish(s.fail(StageChunk, err))
	case class == 4 || class == 5:
		return &r
	case class != 2:
		c.finish(s.fail(StageChunk, ErrDesync))
	}
	return nil
}

// refused ends a transaction that a chunk was refused in: the server discards
// the chunks behind it, with a reply to each (RFC 3030 section 2).
func (c *chunker) refused(r Reply) error {
	s := c.a.s
	for ; c.open > 0; c.open-- {
		s.wire.begin(s.opt.Timeouts.DataXfer, 0)
		if _, err := s.reply(); err != nil {
			s.Close()
			return c.a.refusal(StageChunk, r)
		}
	}
	if err := c.a.abandon(); err != nil {
		return err
	}
	return c.a.refusal(StageChunk, r)
}

// lost is the end of a transaction in which a chunk did not get through that
// was not the last. The server may have said why.
func (c *chunker) lost(err error) {
	s := c.a.s
	if s.wire.cause() == nil && !isTimeout(err) {
		s.wire.begin(drainTime, 0)
		s.wire.bound(time.Now().Add(drainTime))
		for ; c.open > 0; c.open-- {
			r, rerr := s.reply()
			if class := r.Code / 100; rerr == nil && (class == 4 || class == 5) {
				s.Close()
				c.finish(c.a.refusal(StageChunk, r))
				return
			}
			if rerr != nil || !r.Success() {
				break
			}
		}
	}
	c.finish(s.fail(StageChunk, err))
}

// last sends the last chunk when all others were taken, so that it is known
// what the replies to it are: one for each accepted recipient (RFC 2033 section
// 4.3).
func (c *chunker) last(ctx context.Context) error {
	a, s := c.a, c.a.s
	for c.open > 0 {
		if c.await(); c.done {
			return c.err
		}
	}
	if s.inputWaits() {
		return s.fail(StageChunk, ErrDesync)
	}
	if err := s.gone(); err != nil {
		return s.fail(StageChunk, err)
	}
	if !s.wire.enterFinal(ctx, a.t.FinalGrace) {
		return s.fail(StageChunk, s.wire.cause())
	}
	s.opt.at(StageFinal)
	s.wire.begin(s.opt.Timeouts.DataXfer, s.opt.Timeouts.MinDataRate)
	if _, err := s.rw.Write(c.frame(nil, true)); err != nil {
		return a.lostBody(StageChunk, err)
	}
	c.release()
	s.wire.begin(s.opt.Timeouts.DataDone, 0)
	return a.finalReplies()
}
