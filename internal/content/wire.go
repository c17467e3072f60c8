package content

import (
	"bytes"
	"io"

	"postlmtp/internal/queuefile"
)

// The output buffer: small for the many small messages, and then of a size
// that makes the calls to the destination few.
const (
	smallBuffer = 4 << 10
	largeBuffer = 32 << 10
)

// headerClass says which header a header event belongs to.
type headerClass int

const (
	primaryHeader headerClass = iota // of the message
	mimeHeader                       // of a part of a multipart, or about MIME in any place
	nestedHeader                     // of an attached message
	noHeader                         // body text
)

// sink takes a parsed message. A header comes without its last newline; folded
// lines in it are separated by line feeds. Body text comes as records do. A
// sink may change what it is given, and may keep nothing of it.
type sink interface {
	header(class headerClass, text []byte) error
	body(typ byte, text []byte) error
}

// wire writes lines as they go over the wire. It is the last sink, and the
// only stage where nothing is to be parsed.
type wire struct {
	dst   io.Writer
	buf   []byte
	dots  bool // none is doubled
	limit int  // bytes in a line; 0: any
	left  int  // bytes that fit into this line; equal to limit where a line begins
	stats Stats

	part   bool // the last record was part of a line
	folded bool // this line was counted
	onFold func()
	err    error
}

func newWire(dst io.Writer, limit int, buffer []byte) *wire {
	limit = max(limit, 0)
	if limit == 1 {
		limit = 2 // one byte more than the space at the start of each line
	}
	if cap(buffer) < smallBuffer {
		buffer = make([]byte, 0, smallBuffer)
	}
	return &wire{dst: dst, buf: buffer[:0], limit: limit, left: limit}
}

// record writes a record without any parsing.
func (w *wire) record(typ byte, data []byte) error {
	w.part = typ == queuefile.TypePart
	return w.body(typ, data)
}

// end completes a last line that has no newline.
func (w *wire) end() error {
	if w.part {
		return w.body(queuefile.TypeLine, nil)
	}
	return nil
}

func (w *wire) header(_ headerClass, text []byte) error {
	return w.body(queuefile.TypeLine, text) // which splits it at line feeds
}

// body writes a line, or a part of one.
func (w *wire) body(typ byte, text []byte) error {
	for {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			break
		}
		w.text(queuefile.TypeLine, text[:i])
		text = text[i+1:]
	}
	w.text(typ, text)
	return w.err
}

// text writes what has no line feed in it. A line is broken where it reaches
// the limit and goes on; a line of exactly the limit is not.
func (w *wire) text(typ byte, text []byte) {
	if !w.dots && w.left == w.limit && len(text) > 0 && text[0] == '.' {
		put(w, ".")
	}
	for w.limit > 0 && len(text) >= w.left {
		put(w, text[:w.left])
		put(w, "\r\n")
		text = text[w.left:]
		w.left = w.limit
		if len(text) == 0 && typ == queuefile.TypeLine {
			w.folded = false
			return
		}
		put(w, " ")
		w.left--
		if !w.folded {
			w.folded = true
			if w.stats.FoldedLines++; w.stats.FoldedLines == 1 && w.onFold != nil {
				w.onFold()
			}
		}
	}
	put(w, text)
	if typ == queuefile.TypeLine {
		put(w, "\r\n")
		w.left = w.limit
		w.folded = false
		return
	}
	w.left -= len(text)
}

// put appends to the buffer, and writes the buffer each time it is full.
func put[T string | []byte](w *wire, b T) {
	if len(b) <= cap(w.buf)-len(w.buf) {
		w.buf = append(w.buf, b...)
		return
	}
	if cap(w.buf) < largeBuffer {
		w.buf = append(make([]byte, 0, largeBuffer), w.buf...)
	}
	for len(b) > 0 {
		n := min(cap(w.buf)-len(w.buf), len(b))
		w.buf = append(w.buf, b[:n]...)
		b = b[n:]
		if len(w.buf) == cap(w.buf) && w.flush() != nil {
			return
		}
	}
}

// flush writes what is in the buffer. The first error stays.
func (w *wire) flush() error {
	if w.err == nil && len(w.buf) > 0 {
		n, err := w.dst.Write(w.buf)
		w.stats.Bytes += int64(n)
		if err != nil {
			w.err = &WriteError{Err: err}
		}
	}
	w.buf = w.buf[:0]
	return w.err
}
