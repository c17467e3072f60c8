package queuefile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// LineLimit is the most that one content record holds (line_length_limit).
const LineLimit = 2048

// Target is where a [Writer] writes: a new file, for example.
type Target interface {
	io.Writer
	io.WriterAt
}

// Writer builds a queue file as cleanup(8) would have written it: the envelope
// first, then the content, for which the Writer is an [io.Writer], then, with
// Finish, the rest. It holds no more than a buffer in memory.
type Writer struct {
	dst    Target
	out    *bufio.Writer
	env    Envelope
	layout Layout
	offset int64
	err    error

	line   []byte // text of the line that has not been written yet
	cr     bool   // a carriage return came last; nothing if a newline follows
	part   bool   // the line began in an earlier record
	inBody bool
}

// NewWriter writes the envelope to dst, which must be empty.
func NewWriter(dst Target, e Envelope) (*Writer, error) {
	w := &Writer{dst: dst, out: bufio.NewWriterSize(dst, BufferSize), env: e}
	w.layout.Recipients = make([]int64, len(e.Recipients))
	w.writeEnvelope()
	return w, w.err
}

// Write adds message text. Lines end with LF or CRLF; long ones are split over
// several records.
func (w *Writer) Write(text []byte) (int, error) {
	for _, c := range text {
		switch {
		case c == '\n':
			w.cr = false
			w.endLine(TypeLine)
			continue
		case w.cr:
			w.add('\r')
			w.cr = false
		}
		if c == '\r' {
			w.cr = true
			continue
		}
		w.add(c)
	}
	if w.err != nil {
		return 0, w.err
	}
	return len(text), nil
}

// Record adds a content record exactly as given, whatever it is: a way to make
// files that no cleanup(8) makes.
func (w *Writer) Record(typ byte, data []byte) error {
	w.record(typ, data)
	return w.err
}

// Finish ends the content, writes the last segment and the sizes.
func (w *Writer) Finish() (Layout, error) {
	if w.cr {
		w.add('\r')
	}
	switch {
	case len(w.line) > 0 && w.inBody:
		w.endLine(TypePart)
		w.endLine(TypeLine) // the newline that was missing
	case len(w.line) > 0 || w.part:
		w.endLine(TypeLine)
	}
	w.endHeader()
	w.writeTrailer()
	if w.err != nil {
		return Layout{}, w.err
	}
	if err := w.out.Flush(); err != nil {
		return Layout{}, fmt.Errorf("write queue file: %w", err)
	}
	first := appendRecord(nil, TypeSize, []byte(w.sizeRecord()))
	if _, err := w.dst.WriteAt(first, 0); err != nil {
		return Layout{}, fmt.Errorf("write queue file: %w", err)
	}
	return w.layout, nil
}

// add appends a byte of text to the line. A full record goes out at once; but
// the header comes from a parser that has the whole line, and so a header line
// of exactly the limit is not split.
func (w *Writer) add(c byte) {
	if len(w.line) >= LineLimit {
		w.endLine(TypePart)
	}
	w.line = append(w.line, c)
	if w.inBody && len(w.line) == LineLimit {
		w.endLine(TypePart)
	}
}

// endLine writes what there is of a line: all of it, or a part of it.
func (w *Writer) endLine(typ byte) {
	begins := !w.part
	w.part = typ == TypePart
	if begins && !w.inBody {
		switch {
		case isHeader(w.line):
			w.record(typ, w.line)
			if w.env.EditRoom && len(w.line) < pointerWidth {
				w.pad(TypePadding, pointerWidth-len(w.line))
			}
			w.line = w.line[:0]
			return
		case len(w.line) > 0 && (w.line[0] == ' ' || w.line[0] == '\t'):
		default:
			w.endHeader()
			if len(w.line) > 0 { // a body without the empty line before it
				w.record(TypeLine, nil)
			}
		}
	}
	w.record(typ, w.line)
	w.line = w.line[:0]
}

// endHeader marks the end of the message header, once.
func (w *Writer) endHeader() {
	if !w.inBody && w.env.EditRoom {
		w.recordf(TypePointer, pointerFormat, 0)
	}
	w.inBody = true
}

// isHeader reports whether a line begins a header: printable ASCII up to a
// colon.
func isHeader(line []byte) bool {
	name, _, found := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	if !found || len(name) == 0 {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

func (w *Writer) recordf(typ byte, format string, args ...any) {
	w.record(typ, fmt.Appendf(nil, format, args...))
}

func (w *Writer) record(typ byte, data []byte) {
	if w.err != nil {
		return
	}
	n, err := w.out.Write(appendRecord(w.out.AvailableBuffer(), typ, data))
	w.offset += int64(n)
	if err != nil {
		w.err = fmt.Errorf("write queue file: %w", err)
	}
}

// appendRecord appends the bytes of a record to b.
func appendRecord(b []byte, typ byte, data []byte) []byte {
	b = append(b, typ)
	n := len(data)
	for ; n > 0x7f; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	b = append(b, byte(n))
	return append(b, data...)
}

// Create makes the queue file path with mode 0700. It must not exist; on
// failure it is removed. An empty QueueID becomes the name of the file.
func Create(path string, e Envelope, message io.Reader) (Layout, error) {
	if e.QueueID == "" {
		e.QueueID = filepath.Base(path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Layout{}, fmt.Errorf("create queue file: %w", err)
	}
	layout, err := write(f, e, message)
	if err == nil {
		err = f.Chmod(readyMode) // complete only now, and whatever the umask
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		os.Remove(path)
		return Layout{}, err
	}
	return layout, nil
}

// Build returns the bytes of a queue file.
func Build(e Envelope, message io.Reader) ([]byte, Layout, error) {
	var m memory
	layout, err := write(&m, e, message)
	return m.b, layout, err
}

func write(dst Target, e Envelope, message io.Reader) (Layout, error) {
	w, err := NewWriter(dst, e)
	if err != nil {
		return Layout{}, err
	}
	if _, err := io.Copy(w, message); err != nil {
		return Layout{}, fmt.Errorf("copy message to queue file: %w", err)
	}
	return w.Finish()
}

// memory is a file in memory.
type memory struct{ b []byte }

func (m *memory) Write(p []byte) (int, error) {
	m.b = append(m.b, p...)
	return len(p), nil
}

// WriteAt overwrites what is there already.
func (m *memory) WriteAt(p []byte, offset int64) (int, error) {
	if offset < 0 || offset+int64(len(p)) > int64(len(m.b)) {
		return 0, errors.New("write outside of the buffer")
	}
	return copy(m.b[offset:], p), nil
}
