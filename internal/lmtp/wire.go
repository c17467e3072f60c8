package lmtp

import (
	"context"
	"net"
	"os"
	"sync"
	"time"
)

// drainTime is how long replies are read that may be there already after the
// server stopped taking what we send.
const drainTime = 5 * time.Second

// writerSlack is how much later than the reader the writer of a group gives
// up: the reader decides, and says what was being waited for.
const writerSlack = 10 * time.Second

// wire is the connection with its time limits. It is a net.Conn, so that TLS
// can be put on top of it. One goroutine reads; one writes, which may be
// another one while a group of commands is under way.
type wire struct {
	net.Conn
	pending func() bool // bytes wait in the kernel; nil is unknown
	kernel  bool        // a socket, which takes a few KB without waiting for the peer

	nonblock bool // reads return at once; only the reader touches it
	takes    int  // see room; 0 is not known yet

	mu        sync.Mutex
	perReq    bool          // limits are for a request, not for a read or write
	limit     time.Duration // of the current stage
	budget    time.Duration // what is left of limit, with perReq
	rate      int           // bytes that earn a second of budget, 0 none
	overlap   bool          // a group is being written while replies are read
	readEnd   time.Time     // deadline of the read that goes on, zero none
	writeEnd  time.Time     // deadline of the write that goes on, zero none
	until     time.Time     // bound of all reads and writes, zero none
	cancelled error         // cause of the end of the context
	grace     time.Duration // added to until when the context ends
	watchID   int           // the method call that is going on
}

// room is how much a peer that has read all before may be sent without waiting
// for it: a part of the socket's buffer, because the kernel counts more than the
// bytes. It is 0 if that is unknown.
func (w *wire) room() int {
	if w.takes == 0 && w.kernel {
		w.takes = max(sendBuffer(w.Conn)/4, chunkSize)
	}
	return w.takes
}

// begin starts the limit of a stage. A write that goes on gets the time anew:
// the reader has made progress.
func (w *wire) begin(limit time.Duration, rate int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.limit, w.budget, w.rate = limit, limit, rate
	if w.overlap && !w.writeEnd.IsZero() {
		w.armWrite(time.Now())
	}
}

// setOverlap says whether a group is being written while replies are read.
func (w *wire) setOverlap(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.overlap = on
}

// allowance is the time that the next read or write may take.
func (w *wire) allowance() time.Duration {
	if w.perReq {
		return w.budget
	}
	return w.limit
}

func (w *wire) bounded(t time.Time) time.Time {
	if !w.until.IsZero() && w.until.Before(t) {
		return w.until
	}
	return t
}

func (w *wire) armRead(now time.Time) {
	w.readEnd = now.Add(w.allowance())
	w.Conn.SetReadDeadline(w.bounded(w.readEnd)) //nolint:errcheck // the read will fail
}

func (w *wire) armWrite(now time.Time) {
	w.writeEnd = now.Add(w.allowance())
	if w.overlap {
		w.writeEnd = now.Add(w.limit + writerSlack)
	}
	w.Conn.SetWriteDeadline(w.bounded(w.writeEnd)) //nolint:errcheck // the write will fail
}

// bound makes everything that goes on, and all to come, end at t or earlier.
func (w *wire) bound(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.boundLocked(t)
}

func (w *wire) boundLocked(t time.Time) {
	if w.until.IsZero() || t.Before(w.until) {
		w.until = t
	}
	if !w.readEnd.IsZero() {
		w.Conn.SetReadDeadline(w.bounded(w.readEnd)) //nolint:errcheck // the read will fail
	}
	if !w.writeEnd.IsZero() {
		w.Conn.SetWriteDeadline(w.bounded(w.writeEnd)) //nolint:errcheck // the write will fail
	}
}

// watch begins a call that may be cancelled; the returned function ends it.
func (w *wire) watch() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watchID++
	w.grace, w.cancelled, w.until = 0, nil, time.Time{}
	return w.watchID
}

// cancel ends the call with the given watch ID.
func (w *wire) cancel(id int, cause error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watchID != id {
		return // ended by itself
	}
	w.cancelled = cause
	w.boundLocked(time.Now().Add(w.grace))
}

func (w *wire) unwatch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watchID++
}

// enterFinal turns a cancellation into one with a period of grace. It is false
// when ctx, that of the call, has ended already.
func (w *wire) enterFinal(ctx context.Context, grace time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ctx.Err() != nil {
		w.cancelled = context.Cause(ctx)
		return false
	}
	w.grace = grace
	return true
}

// cause returns why the call was cancelled, or nil.
func (w *wire) cause() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cancelled
}

// Read reads with the limit of the stage.
func (w *wire) Read(p []byte) (int, error) {
	if w.nonblock && (w.pending == nil || !w.pending()) {
		return 0, os.ErrDeadlineExceeded
	}
	w.mu.Lock()
	start := time.Now()
	w.armRead(start)
	w.mu.Unlock()

	n, err := w.Conn.Read(p)

	w.mu.Lock()
	w.readEnd = time.Time{}
	if w.perReq {
		w.budget -= time.Since(start)
	}
	w.mu.Unlock()
	return n, err
}

// Write writes all of p. The limit is for each time that the peer takes
// something, as with a loop of write(2).
func (w *wire) Write(p []byte) (int, error) {
	written := 0
	for {
		n, err := w.writeOnce(p[written:])
		written += n
		if err == nil || n == 0 || !isTimeout(err) || w.spent() {
			return written, err
		}
	}
}

func (w *wire) writeOnce(p []byte) (int, error) {
	w.mu.Lock()
	start := time.Now()
	w.armWrite(start)
	w.mu.Unlock()

	n, err := w.Conn.Write(p)

	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeEnd = time.Time{}
	if w.overlap {
		if n > 0 && !w.perReq && !w.readEnd.IsZero() {
			w.armRead(time.Now()) // the server has taken more: let it answer
		}
		return n, err
	}
	if w.perReq {
		w.budget -= time.Since(start)
		if w.rate > 0 { // lmtp_min_data_rate
			earned := time.Duration(n) * time.Second / time.Duration(w.rate)
			w.budget = min(w.budget+earned, w.limit)
		}
	}
	return n, err
}

// spent says that no time is left, whatever progress is made.
func (w *wire) spent() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.until.IsZero() && !time.Now().Before(w.until) {
		return true
	}
	return w.perReq && !w.overlap && w.budget <= 0
}

// SetDeadline, SetReadDeadline and SetWriteDeadline do nothing: deadlines are
// the wire's own. The TLS layer would set them when it closes.
func (w *wire) SetDeadline(time.Time) error      { return nil }
func (w *wire) SetReadDeadline(time.Time) error  { return nil }
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
