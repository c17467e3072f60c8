package attr

import (
	"encoding/base64"
	"io"
	"strconv"
	"strings"
)

// A List builds one attribute list. The zero value is an empty list. The
// methods that add return the list, so that one can be written as a chain:
//
//	new(attr.List).Int("status", 0).Send(conn)
type List struct{ buf []byte }

// Int adds a number of 32 bits. Higher bits of v are dropped.
func (l *List) Int(name string, v int) *List {
	l.name(name)
	l.buf = strconv.AppendUint(l.buf, uint64(uint32(v)), 10)
	return l.end()
}

// Long adds a number of 64 bits, the size of a long where Postfix runs on a
// 64-bit system.
func (l *List) Long(name string, v int64) *List {
	l.name(name)
	l.buf = strconv.AppendUint(l.buf, uint64(v), 10)
	return l.end()
}

// String adds a text of any bytes. A NUL in it becomes a question mark.
func (l *List) String(name, value string) *List {
	l.name(name)
	l.buf = append(l.buf, clean(value)...)
	return l.end()
}

// Data adds binary data in base64.
func (l *List) Data(name string, value []byte) *List {
	l.name(name)
	l.buf = base64.StdEncoding.AppendEncode(l.buf, value)
	return l.end()
}

// Bytes returns the list as it goes over the wire, with its end.
func (l *List) Bytes() []byte {
	return append(l.buf[:len(l.buf):len(l.buf)], 0)
}

// Send writes the list with its end, in one Write.
func (l *List) Send(w io.Writer) error {
	l.buf = append(l.buf, 0)
	_, err := w.Write(l.buf)
	l.buf = l.buf[:len(l.buf)-1]
	return err
}

// listRoom is enough for most lists, so that a List is one piece of memory.
const listRoom = 192

// name adds a name. An empty one would end the list: it is a mistake of the
// programmer, like any other that no input can cause.
func (l *List) name(name string) {
	if name == "" {
		panic("attr: attribute without a name")
	}
	if l.buf == nil {
		l.buf = make([]byte, 0, listRoom)
	}
	l.buf = append(l.buf, clean(name)...)
	l.buf = append(l.buf, 0)
}

func (l *List) end() *List {
	l.buf = append(l.buf, 0)
	return l
}

func clean(s string) string { return strings.ReplaceAll(s, "\x00", "?") }
