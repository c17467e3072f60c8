package content

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"postlmtp/internal/queuefile"
)

// Header is a message header to put in front of all others. The value is
// quoted as needed already; a line feed in it becomes a space.
type Header struct{ Name, Value string }

// Options says how to send a message. The zero value sends it as it is, with
// lines of any length.
type Options struct {
	LineLimit int      // lmtp_line_length_limit, bytes; 0 or less: no limit
	Dots      bool     // leave dots at the start of a line alone: for BDAT
	Prepend   []Header // in the order in which they are sent
	Downgrade bool     // convert 8-bit MIME parts to 7-bit text
	MIME      MIMELimits
	Checks    Checks  // of headers and body
	Generic   Rewrite // of addresses in the message's own header; nil: none
	Buffer    []byte  // its capacity is used for output; nil: Copy allocates

	Log     Logger // needed for Checks and Generic
	QueueID string // in front of log lines
	OnFold  func() // called when the first line is broken; may be nil
}

// MIMELimits bounds the MIME parser. Zero values mean Postfix's defaults.
type MIMELimits struct {
	Nesting  int // mime_nesting_limit, levels; 100
	Boundary int // mime_boundary_length_limit, bytes; 2048
	Header   int // header_size_limit, bytes; 102400
}

// Stats is what became of a message on the wire.
type Stats struct {
	Bytes       int64 // written
	FoldedLines int   // lines that were longer than the limit
}

// BadRecordError reports content that does not end as it must. The mail is
// unreadable: 5.3.0 "unreadable mail queue entry".
type BadRecordError struct {
	Type int   // of the record found: a byte, [queuefile.TypeEOF] or [queuefile.TypeError]
	Err  error // more about it; may be nil
}

func (e *BadRecordError) Error() string {
	return fmt.Sprintf("bad record type: %d in message content", e.Type)
}

// Unwrap returns the cause.
func (e *BadRecordError) Unwrap() error { return e.Err }

// WriteError reports a failure of the destination.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return "write message content: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *WriteError) Unwrap() error { return e.Err }

// stage takes content records of the types [queuefile.TypeLine] and
// [queuefile.TypePart]. It may keep nothing of data.
type stage interface {
	record(typ byte, data []byte) error
	end() error // no more records: finish the last line, pass on what is left
}

// Copy sends the content that src is positioned at, up to the end of it, and
// all of the last line's end, but not the final dot.
func Copy(dst io.Writer, src *queuefile.Records, o Options) (Stats, error) {
	w := newWire(dst, o.LineLimit, o.Buffer)
	w.onFold, w.dots = o.OnFold, o.Dots
	var first stage = w
	if o.Downgrade || o.Generic != nil || o.Checks.any() {
		m := newMIMEStage(w, o.MIME)
		m.downgrade = o.Downgrade
		m.flat = !o.Downgrade && !o.Checks.any()
		if o.Generic != nil || o.Checks.any() {
			m.out = &editor{out: w, checks: &o.Checks, generic: o.Generic, log: o.Log, queueID: o.QueueID}
		}
		first = m
	}
	err := copyRecords(first, src, o.Prepend)
	var partial interface{ Partial() bool }
	if errors.As(err, &partial) && partial.Partial() { // as Postfix does; the connection is closed then
		if werr := w.flush(); werr != nil {
			err = werr
		}
	}
	if err == nil {
		err = w.flush()
	}
	return w.stats, err
}

func copyRecords(first stage, src *queuefile.Records, prepend []Header) error {
	for _, h := range prepend {
		line := h.Name + ": " + strings.ReplaceAll(h.Value, "\n", " ")
		if err := first.record(queuefile.TypeLine, []byte(line)); err != nil {
			return err
		}
	}
	for {
		rec, err := src.Next()
		switch {
		case err != nil:
			return sourceError(err)
		case rec.Type == queuefile.TypeExtracted:
			return first.end()
		case rec.Type != queuefile.TypeLine && rec.Type != queuefile.TypePart:
			return &BadRecordError{Type: int(rec.Type)}
		}
		if err := first.record(rec.Type, rec.Data); err != nil {
			return err
		}
	}
}

func sourceError(err error) error {
	var bad *queuefile.BadRecordError
	if errors.As(err, &bad) {
		return &BadRecordError{Type: bad.Type, Err: err}
	}
	return err
}
