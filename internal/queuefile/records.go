package queuefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// The record types that matter here; the values are the bytes in the file.
const (
	TypeSize      = 'C' // sizes, offsets and counts; always the first record
	TypeTime      = 'T' // arrival time
	TypeFullName  = 'F'
	TypeWarn      = 'W' // when to send a delay warning
	TypeAttribute = 'A' // name=value
	TypeSender    = 'S'
	TypeOriginal  = 'O' // original recipient, before R
	TypeRecipient = 'R' // recipient to be delivered
	TypeDone      = 'D' // recipient finished
	TypeCancelled = '/' // recipient removed by a content filter
	TypeMessage   = 'M' // start of the content
	TypeLine      = 'N' // content: a line, or the end of one, without its newline
	TypePart      = 'L' // content: part of a line that goes on in the next record
	TypeExtracted = 'X' // end of the content
	TypeEnd       = 'E' // end of all
	TypePointer   = 'p' // the next record is elsewhere
	TypePadding   = 'w'
)

// What Postfix's record reader reports instead of a type.
const (
	TypeEOF   = -1 // no record where one was expected
	TypeError = -2 // a malformed record
)

// BufferSize is what an iterator holds at most.
const BufferSize = 64 << 10

const (
	minBufferSize   = 512
	maxHeader       = 5 // type byte and up to four length bytes, 28 bits
	maxReverseJumps = 10000
	maxOffset       = 1 << 62 // leaves room to add a length to an offset
)

// Record is one record. Data is valid until the next call to [Records.Next].
type Record struct {
	Type   byte
	Data   []byte
	Offset int64 // of the type byte in the file
}

// BadRecordError reports content that is no valid record.
type BadRecordError struct {
	Type   int // [TypeEOF] or [TypeError]
	Offset int64
	Reason string
}

func (e *BadRecordError) Error() string {
	return fmt.Sprintf("read record at offset %d: %s", e.Offset, e.Reason)
}

// ReadError reports a failure of the operating system.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return "read queue file: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ReadError) Unwrap() error { return e.Err }

// Records iterates over records. Errors are final: once Next has failed, it
// fails in the same way until Reset.
type Records struct {
	src      io.ReaderAt
	size     int64 // of src, 0 if unknown: nothing is read beyond it
	buf      []byte
	base     int64 // offset in the file of buf[0]
	pos, end int   // what is unread in buf
	raw      bool  // return pointers and padding as they are

	rest     int  // bytes to come of a record that is longer than buf
	restType byte // and its type

	jumps  int   // pointers followed to where we have been
	target int64 // of the last pointer followed
	ended  bool  // the end record was returned
	err    error
}

// Records returns an iterator that starts at offset, which must be the start
// of a record.
func (f *File) Records(offset int64) *Records {
	size := min(max(f.info.Size-offset, minBufferSize), BufferSize)
	return f.records(offset, make([]byte, size))
}

// RecordsIn is Records with a buffer of the caller's, of [BufferSize] bytes.
func (f *File) RecordsIn(buf []byte, offset int64) *Records { return f.records(offset, buf) }

func (f *File) records(offset int64, buf []byte) *Records {
	r := &Records{src: f.f, size: f.info.Size, buf: buf}
	r.Reset(offset)
	return r
}

// NewRecords returns an iterator over any source of queue file bytes.
func NewRecords(src io.ReaderAt, offset int64) *Records {
	return newRecords(src, offset, BufferSize)
}

func newRecords(src io.ReaderAt, offset int64, size int) *Records {
	r := &Records{src: src, buf: make([]byte, size)}
	r.Reset(offset)
	return r
}

// Reset starts again at another offset, with the same buffer.
func (r *Records) Reset(offset int64) {
	*r = Records{src: r.src, size: r.size, buf: r.buf, raw: r.raw, base: offset}
}

// Next returns the next record: pointers are followed, padding is skipped, and
// a content record longer than the buffer comes as several records of type
// [TypePart] before the last one. The error is a [*BadRecordError], of Type
// [TypeEOF] at the end of the file, or a [*ReadError].
func (r *Records) Next() (Record, error) {
	if r.err != nil {
		return Record{}, r.err
	}
	rec, err := r.next()
	if err != nil {
		r.err = err
		return Record{}, err
	}
	return rec, nil
}

func (r *Records) next() (Record, error) {
	if r.rest > 0 {
		return r.part()
	}
	for {
		offset := r.offset()
		typ, length, err := r.header()
		if err != nil {
			return Record{}, err
		}
		switch {
		case typ == TypePadding && !r.raw:
			if err := r.skip(typ, length); err != nil {
				return Record{}, err
			}
			continue
		case length > len(r.buf) && (typ == TypeLine || typ == TypePart):
			r.rest, r.restType = length, typ
			return r.part()
		case length > len(r.buf):
			return Record{}, r.bad("illegal length %d, record type %d", length, typ)
		}
		data, err := r.take(typ, length)
		if err != nil {
			return Record{}, err
		}
		if typ == TypePointer && !r.raw {
			if err := r.jump(data); err != nil {
				return Record{}, err
			}
			continue
		}
		if typ == TypeEnd && !r.raw {
			// What follows in the file is only reached by pointers.
			r.ended = true
		}
		return Record{Type: typ, Data: data, Offset: offset}, nil
	}
}

// header reads a record's type and the length of its data: base 128, least
// significant group first.
func (r *Records) header() (typ byte, length int, err error) {
	if err := r.fill(maxHeader); err != nil {
		return 0, 0, err
	}
	h := r.buf[r.pos:r.end]
	if len(h) == 0 || r.ended {
		return 0, 0, &BadRecordError{Type: TypeEOF, Offset: r.offset(), Reason: "unexpected end of file"}
	}
	typ = h[0]
	for i := 1; i < maxHeader; i++ {
		if i >= len(h) {
			return 0, 0, r.bad("unexpected EOF reading length, record type %d", typ)
		}
		length |= int(h[i]&0x7f) << (7 * (i - 1))
		if h[i]&0x80 == 0 {
			r.pos += i + 1
			return typ, length, nil
		}
	}
	return 0, 0, r.bad("too many length bits, record type %d", typ)
}

// take consumes n bytes of data, n being no more than the buffer holds.
func (r *Records) take(typ byte, n int) ([]byte, error) {
	if err := r.fill(n); err != nil {
		return nil, err
	}
	if r.end-r.pos < n {
		return nil, r.bad("unexpected EOF in data, record type %d length %d", typ, n)
	}
	data := r.buf[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return data, nil
}

// part returns the next piece of a long content record.
func (r *Records) part() (Record, error) {
	offset := r.offset()
	n := min(r.rest, len(r.buf))
	data, err := r.take(r.restType, n)
	if err != nil {
		return Record{}, err
	}
	r.rest -= n
	typ := byte(TypePart)
	if r.rest == 0 {
		typ = r.restType
	}
	return Record{Type: typ, Data: data, Offset: offset}, nil
}

// skip passes over n bytes of data, of which the last one must exist.
func (r *Records) skip(typ byte, n int) error {
	if n == 0 {
		return nil
	}
	r.seek(r.offset() + int64(n) - 1)
	_, err := r.take(typ, 1)
	return err
}

// jump follows a pointer record. Zero is a placeholder that points nowhere. As
// in Postfix, only jumps that do not lead forward count against the limit: a
// file with many inserted headers has as many of them.
func (r *Records) jump(data []byte) error {
	target, err := parsePointer(data)
	if err != nil || target > maxOffset {
		return r.bad("malformed pointer record value: %.20q", data)
	}
	if target == 0 {
		return nil
	}
	if target <= r.target {
		if r.jumps++; r.jumps > maxReverseJumps {
			return r.bad("too many reverse jump records")
		}
	}
	r.target = target
	r.seek(target)
	return nil
}

// parsePointer reads the decimal offset in a pointer record, which is padded
// with blanks on the left.
func parsePointer(data []byte) (int64, error) {
	text := bytes.TrimLeft(data, " \t\n\v\f\r")
	if len(text) == 0 {
		return 0, nil
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, errors.New("not a number")
		}
	}
	return strconv.ParseInt(string(text), 10, 64)
}

// offset is where in the file the next unread byte comes from.
func (r *Records) offset() int64 { return r.base + int64(r.pos) }

// seek continues at another offset, in the buffer if it is there.
func (r *Records) seek(offset int64) {
	if offset >= r.base && offset <= r.base+int64(r.end) {
		r.pos = int(offset - r.base)
		return
	}
	r.base, r.pos, r.end = offset, 0, 0
}

// fill makes n unread bytes available, fewer only at the end of the file.
func (r *Records) fill(n int) error {
	if r.end-r.pos >= n {
		return nil
	}
	copy(r.buf, r.buf[r.pos:r.end])
	r.base += int64(r.pos)
	r.end -= r.pos
	r.pos = 0
	for r.end < n {
		room, from := r.buf[r.end:], r.base+int64(r.end)
		if r.size > 0 { // do not ask for what is not there
			if from >= r.size {
				return nil
			}
			room = room[:min(int64(len(room)), r.size-from)]
		}
		m, err := r.src.ReadAt(room, from)
		r.end += m
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return &ReadError{Err: err}
		}
	}
	return nil
}

func (r *Records) bad(format string, args ...any) error {
	return &BadRecordError{Type: TypeError, Offset: r.offset(), Reason: fmt.Sprintf(format, args...)}
}
