package lmtp

import (
	"sync/atomic"
	"time"
)

// chunkSize is how much of a group of commands is written at a time. A reply
// to a command in a chunk that was not begun is out of step.
const chunkSize = 4096

// maxIdleOut is how large a command buffer an idle session keeps.
const maxIdleOut = 64 << 10

// group begins a group of commands.
func (s *Session) group() {
	if cap(s.out) > maxIdleOut {
		s.out = nil
	}
	s.out, s.cmds = s.out[:0], s.cmds[:0]
}

// add takes b, which is s.out and one more command behind it.
func (s *Session) add(stage Stage, rcpt int, b []byte) {
	s.out = append(b, "\r\n"...)
	s.cmds = append(s.cmds, command{stage: stage, rcpt: rcpt, end: len(s.out)})
}

func (s *Session) traceCommands() {
	if s.opt.Hooks.Trace == nil {
		return
	}
	start := 0
	for _, c := range s.cmds {
		line := c.shown
		if line == "" {
			line = string(s.out[start : c.end-2])
		}
		s.opt.trace(TraceEvent{Kind: TraceCommand, Line: line})
		start = c.end
	}
}

// reply reads one reply within the limit that is running.
func (s *Session) reply() (Reply, error) {
	r, err := s.replies.read()
	if r.Malformed {
		s.spoiled = true
		s.noteOdd()
	}
	if s.replies.off { // nothing that the server says from now on is heard
		s.spoiled = true
	}
	return r, err
}

// ask sends one command and returns its reply.
func (s *Session) ask(stage Stage, line string) (Reply, error) {
	s.group()
	s.add(stage, 0, append(s.out, line...))
	var reply Reply
	err := s.run(func(_ command, r Reply) { reply = r })
	return reply, err
}

// run sends the group and hands each reply to handle, with the command that it
// answers. Replies are read while the group is being written. When the server
// stops reading, the replies that it gave are still read, for the best
// diagnosis. An error is a *ConnError or *LocalError of the command whose reply
// is missing, and the session is closed.
func (s *Session) run(handle func(command, Reply)) error {
	first := s.cmds[0].stage
	if s.closed {
		return &ConnError{Stage: first, Err: ErrClosed}
	}
	if s.inputWaits() {
		return s.fail(first, ErrDesync)
	}
	s.traceCommands()
	if first != StageLHLO || s.tls != nil { // LHLO shares the limit of the greeting
		s.wire.begin(s.opt.Timeouts.of(first), 0)
	}
	if len(s.cmds) == 1 {
		return s.runOne(handle)
	}
	size := chunkSize
	if s.wire.kernel && len(s.out) <= chunkSize {
		size = 0
	}
	w := s.startWriter(s.out, size, nil)
	for k, c := range s.cmds {
		if k > 0 {
			s.wire.begin(s.opt.Timeouts.of(c.stage), 0)
		}
		s.opt.at(c.stage)
		r, err := s.reply()
		if err == nil && int64(c.end) > w.begun.Load() {
			err = ErrDesync
		}
		if err != nil {
			if werr := w.abort(s); werr != nil && isTimeout(err) {
				err = werr // the time was that of the drain
			}
			return s.fail(c.stage, err)
		}
		handle(c, r)
	}
	if err := w.join(); err != nil {
		return s.fail(s.cmds[len(s.cmds)-1].stage, err)
	}
	s.wire.setOverlap(false)
	return nil
}

// runOne is run for a single command.
func (s *Session) runOne(handle func(command, Reply)) error {
	c := s.cmds[0]
	s.opt.at(c.stage)
	_, werr := s.rw.Write(s.out)
	if werr != nil && isTimeout(werr) {
		return s.fail(c.stage, werr)
	}
	if werr != nil {
		s.wire.bound(time.Now().Add(drainTime))
	}
	r, err := s.reply()
	if err != nil {
		if werr != nil && isTimeout(err) {
			err = werr
		}
		return s.fail(c.stage, err)
	}
	if werr != nil { // said before the command was: no answer to it
		return s.fail(c.stage, werr)
	}
	handle(c, r)
	return nil
}

// A groupWriter writes a group; a long one while its replies are read.
type groupWriter struct {
	begun atomic.Int64 // offset up to which the group was handed to the kernel, or is being so
	done  chan struct{}
	err   error // valid after done
}

// startWriter writes data beside the reader, size bytes at a time, or with a
// size of 0 at once, because the socket's buffers are known to take all of it;
// then it calls written, if that is set.
func (s *Session) startWriter(data []byte, size int, written func()) *groupWriter {
	w := &groupWriter{done: make(chan struct{})}
	s.wire.setOverlap(true)
	if size == 0 {
		w.run(s, data, len(data), written)
	} else {
		go w.run(s, data, size, written)
	}
	return w
}

func (w *groupWriter) run(s *Session, data []byte, size int, written func()) {
	defer close(w.done)
	w.write(s, data, size)
	if written != nil {
		written()
	}
}

// write writes data, so many bytes at a time.
func (w *groupWriter) write(s *Session, data []byte, size int) {
	for off := 0; off < len(data); {
		end := min(off+size, len(data))
		w.begun.Store(int64(end))
		if _, err := s.rw.Write(data[off:end]); err != nil {
			w.err = err
			if !isTimeout(err) {
				s.wire.bound(time.Now().Add(drainTime))
			}
			return
		}
		off = end
	}
}

// join waits for the end of the group. The server has answered all of it, so
// all of it has been taken, or never will be.
func (w *groupWriter) join() error {
	<-w.done
	return w.err
}

// abort makes the writer stop, and returns the error that it had before.
func (w *groupWriter) abort(s *Session) error {
	select {
	case <-w.done:
		return w.err
	default:
	}
	s.wire.bound(time.Unix(1, 0))
	<-w.done
	return nil
}

// inputWaits says whether bytes from the server wait to be read. Everything
// that the kernel has is taken into the reader's buffer as far as it fits.
func (s *Session) inputWaits() bool {
	s.replies.fill(s.wire)
	return s.replies.br.Buffered() > 0
}

// gone is the error that inputWaits met when it said no: the server has closed its
// side, or is not there any more, and what it is sent now it cannot answer.
func (s *Session) gone() error { return s.replies.end }

// fill reads what can be read without waiting. An error is left for the next
// read to meet, too.
func (r *replyReader) fill(w *wire) {
	if r.off || w.pending == nil {
		return
	}
	w.nonblock = true
	defer func() { w.nonblock = false }()
	for n := r.br.Buffered(); n < r.br.Size(); n = r.br.Buffered() {
		if _, err := r.br.Peek(n + 1); err != nil {
			if !isTimeout(err) {
				r.end = err
			}
			return
		}
	}
}
