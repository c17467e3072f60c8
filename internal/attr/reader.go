package attr

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"syscall"
)

// Limits bounds what a Reader takes from a peer. A zero field stands for the
// value of DefaultLimits.
type Limits struct {
	Name  int   // bytes of a name
	Value int   // bytes of a value
	Count int   // attributes of one list
	Total int64 // bytes of all lists that the Reader reads
}

// DefaultLimits holds far more than any Postfix sends: names are shorter than
// 30 bytes, the longest list has 23 attributes, and addresses and server
// replies are cut by line_length_limit (2048 by default). The total has no
// bound: lists without number may go over a connection.
func DefaultLimits() Limits {
	return Limits{Name: 128, Value: 256 << 10, Count: 256, Total: math.MaxInt64}
}

// Mode says what a Reader does with attributes that it was not asked for.
type Mode int

// The modes of a Reader.
const (
	Strict Mode = iota // an attribute that was not asked for is an error
	Skip               // it is skipped, forward, in search of the one asked for
)

// A Reader takes attribute lists from a stream. The caller asks for the
// attributes of a list in their order, then for its End; after that the next
// list begins.
//
// The first error sticks, so that a caller may ask for a whole list and look at
// the error of End alone.
type Reader struct {
	src    *bufio.Reader
	limits Limits
	mode   Mode
	err    error

	total  int64  // bytes of names and values so far
	count  int    // attributes of this list so far
	inside bool   // at least one byte of this list was read
	peeked bool   // name holds the name of the next attribute
	name   []byte // empty: the end of the list; in a buffer of the Reader
	long   []byte // a text that did not fit into one buffer of src

	// texts holds the values that were read, one behind the other: they are
	// many and short, and so are few pieces of memory.
	texts strings.Builder
}

// textRoom is how much memory is taken at once for values: more than the first
// list of a delivery request needs.
const textRoom = 768

// NewReader returns a Reader in Strict mode. It buffers: bytes after the list
// stay in the Reader, so use one Reader for a stream for as long as there are
// lists to read, or pass a *bufio.Reader, which is then used as it is.
func NewReader(r io.Reader, limits Limits) *Reader {
	def := DefaultLimits()
	limits.Name = orDefault(limits.Name, def.Name)
	limits.Value = orDefault(limits.Value, def.Value)
	limits.Count = orDefault(limits.Count, def.Count)
	limits.Total = orDefault(limits.Total, def.Total)
	src, ok := r.(*bufio.Reader)
	if !ok {
		src = bufio.NewReader(r)
	}
	return &Reader{src: src, limits: limits}
}

func orDefault[T int | int64](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// SetMode sets what happens from now on with attributes that were not asked
// for.
func (r *Reader) SetMode(m Mode) { r.mode = m }

// Err returns the first error, or nil.
func (r *Reader) Err() error { return r.err }

// Int reads a number of 32 bits. Unsigned text above the largest positive
// number is the negative number of the same bits; a signed text is accepted.
func (r *Reader) Int(name string) int { return int(int32(r.number(name, 32))) }

// Long reads a number of 64 bits, by the rules of Int.
func (r *Reader) Long(name string) int64 { return r.number(name, 64) }

// String reads a text.
func (r *Reader) String(name string) string {
	if !r.seek(name) {
		return ""
	}
	return r.value()
}

// Data reads binary data.
func (r *Reader) Data(name string) []byte {
	text := r.String(name)
	if r.err != nil {
		return nil
	}
	// The decoder of the standard library skips line ends; the protocol has none.
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		r.fail(&FormatError{name, "not base64"})
		return nil
	}
	return data
}

// Next tells the name of the next attribute, without reading its value. It is
// the empty string at the end of the list and after an error.
func (r *Reader) Next() string {
	if !r.peek() {
		return ""
	}
	return string(r.name)
}

// End reads the end of the list and returns the first error since the Reader
// was made. In Strict mode a further attribute is an error, else the rest of
// the list is skipped.
func (r *Reader) End() error {
	for r.peek() && len(r.name) > 0 {
		if r.mode == Strict {
			r.fail(&FormatError{"", fmt.Sprintf("unexpected attribute %q at the end of the list", r.name)})
			break
		}
		r.value()
	}
	if r.err == nil {
		r.peeked, r.inside, r.count = false, false, 0
	}
	return r.err
}

// A Pair is one attribute as it was read.
type Pair struct{ Name, Value string }

// All reads the rest of the list with its end, whatever it holds: the tool of
// a stand-in or a tester that wants to see all of it. At the start of a list
// that never comes the error is io.EOF.
func (r *Reader) All() ([]Pair, error) {
	var all []Pair
	for r.peek() && len(r.name) > 0 {
		p := Pair{Name: string(r.name)}
		if p.Value = r.value(); r.err == nil {
			all = append(all, p)
		}
	}
	return all, r.End()
}

// seek moves to the value of the named attribute.
func (r *Reader) seek(name string) bool {
	for r.peek() {
		switch {
		case string(r.name) == name:
			return true
		case len(r.name) == 0:
			r.fail(&FormatError{name, "missing"})
		case r.mode == Strict:
			r.fail(&FormatError{name, fmt.Sprintf("unexpected attribute %q in its place", r.name)})
		default:
			r.value()
		}
	}
	return false
}

// peek makes sure that name holds the name of the next attribute.
func (r *Reader) peek() bool {
	if r.err != nil {
		return false
	}
	if r.peeked {
		return true
	}
	name, ok := r.text(r.limits.Name, nil)
	if !ok {
		return false
	}
	if len(name) > 0 {
		if r.count++; r.count > r.limits.Count {
			r.fail(&FormatError{"", fmt.Sprintf("more than %d attributes in a list", r.limits.Count)})
			return false
		}
	}
	r.name, r.peeked = append(r.name[:0], name...), true
	return true
}

// value reads the value of the attribute whose name was peeked.
func (r *Reader) value() string {
	r.peeked = false
	v, _ := r.text(r.limits.Value, r.name)
	return r.keep(v)
}

// keep makes a string of a value.
func (r *Reader) keep(v []byte) string {
	if len(v) > textRoom/4 {
		return string(v)
	}
	if r.texts.Cap()-r.texts.Len() < len(v) {
		r.texts.Reset()
		r.texts.Grow(textRoom)
	}
	start := r.texts.Len()
	r.texts.Write(v)
	return r.texts.String()[start:]
}

// number reads the value of the named attribute, a number of that many bits.
// The caller cuts an unsigned one to its size, which makes it negative.
func (r *Reader) number(name string, bits int) int64 {
	if !r.seek(name) {
		return 0
	}
	r.peeked = false
	text, ok := r.text(r.limits.Value, r.name)
	if !ok {
		return 0
	}
	if v, err := strconv.ParseUint(string(text), 10, bits); err == nil {
		return int64(v)
	}
	v, err := strconv.ParseInt(string(text), 10, bits)
	if err != nil {
		r.fail(&FormatError{name, "malformed number"})
		return 0
	}
	return v
}

// text reads up to the next NUL, max bytes at most. The bytes are valid until
// the next call.
func (r *Reader) text(max int, attribute []byte) ([]byte, bool) {
	r.long = r.long[:0]
	for {
		chunk, err := r.src.ReadSlice(0)
		if len(chunk) > 0 {
			r.inside = true
		}
		if r.total += int64(len(chunk)); r.total > r.limits.Total {
			r.fail(&FormatError{string(attribute), fmt.Sprintf("more than %d bytes in all", r.limits.Total)})
			return nil, false
		}
		if len(r.long)+len(chunk) > max+1 {
			r.fail(&FormatError{string(attribute), fmt.Sprintf("longer than %d bytes", max)})
			return nil, false
		}
		switch {
		case err == nil:
			chunk = chunk[:len(chunk)-1]
			if len(r.long) == 0 {
				return chunk, true
			}
			r.long = append(r.long, chunk...)
			return r.long, true
		case errors.Is(err, bufio.ErrBufferFull):
			r.long = append(r.long, chunk...)
		case err == io.EOF && r.inside:
			r.fail(fmt.Errorf("read attributes: %w", io.ErrUnexpectedEOF))
			return nil, false
		case !r.inside && closed(err):
			r.fail(io.EOF)
			return nil, false
		default:
			r.fail(fmt.Errorf("read attributes: %w", err))
			return nil, false
		}
	}
}

// closed says whether err means that the peer closed the connection. On Linux
// a UNIX-domain socket is reset by a peer that leaves something unread, as a
// queue manager does that changes its mind before it reads a greeting.
func closed(err error) bool { return err == io.EOF || errors.Is(err, syscall.ECONNRESET) }

func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}
