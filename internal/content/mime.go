package content

import (
	"bytes"
	"strings"

	"postlmtp/internal/queuefile"
)

// MIMEError reports a message that cannot be converted. Status and Text are
// those of the delivery status.
type MIMEError struct{ Status, Text string }

func (e *MIMEError) Error() string { return e.Text }

// Partial says that the server gets what was written before.
func (e *MIMEError) Partial() bool { return true }

// Content types and transfer encodings, as far as conversion depends on them.
type (
	contentType    int
	contentSubtype int
	encoding       int
)

const (
	typeOther contentType = iota
	typeText
	typeMessage
	typeMultipart
)

const (
	subtypeOther contentSubtype = iota
	subtypeRFC822
	subtypeGlobal
)

// The domain of an encoding says what the encoded text consists of: 7bit, 8bit
// or binary. Only the other two need conversion.
const (
	encoding7bit encoding = iota
	encoding8bit
	encodingBinary
)

// boundary is an open multipart: what separates its parts, and what they are
// unless they say so.
type boundary struct {
	text       []byte
	defType    contentType
	defSubtype contentSubtype
}

// mimeStage parses a message as far as needed to know where the headers are
// and which parts are 8-bit, and converts these parts. It follows broken
// messages in the way that Postfix does: what is taken for a header, where a
// part ends, and what goes out for it are the same.
type mimeStage struct {
	out       sink
	limits    MIMELimits
	downgrade bool // convert what is 8-bit
	flat      bool // a header and a body is all there is

	class    headerClass // where in the message we are
	ctype    contentType
	subtype  contentSubtype
	domain   encoding
	stack    []boundary // the innermost multipart last
	buf      []byte     // in a header: the header so far; in a body: the output line
	previous byte       // type of the last record
	failed   error      // to be reported when the record is done with
}

func newMIMEStage(out sink, limits MIMELimits) *mimeStage {
	if limits.Nesting <= 0 {
		limits.Nesting = 100
	}
	if limits.Boundary <= 0 {
		limits.Boundary = 2048
	}
	if limits.Header <= 0 {
		limits.Header = 102400
	}
	m := &mimeStage{out: out, limits: limits}
	m.enter(primaryHeader, typeText, subtypeOther)
	return m
}

// enter starts another part of the message, 7-bit until it says otherwise.
func (m *mimeStage) enter(class headerClass, t contentType, s contentSubtype) {
	m.class, m.ctype, m.subtype, m.domain = class, t, s, encoding7bit
}

func (m *mimeStage) record(typ byte, data []byte) error {
	if m.class != noHeader {
		taken, err := m.headerLine(typ, data)
		if taken || err != nil {
			m.previous = typ
			return m.done(err)
		}
		if err := m.endHeader(data); err != nil {
			return err
		}
	}
	err := m.bodyLine(typ, data)
	m.previous = typ
	return m.done(err)
}

// done is the error of a record.
func (m *mimeStage) done(err error) error {
	if err == nil {
		err = m.failed
	}
	return err
}

// end passes on what is buffered: a header, or the end of a line.
func (m *mimeStage) end() error {
	if m.previous == queuefile.TypePart {
		if err := m.record(queuefile.TypeLine, nil); err != nil {
			return err
		}
	}
	if m.class == noHeader {
		return nil
	}
	if err := m.flushHeader(); err != nil {
		return err
	}
	return m.done(m.encodingHeader())
}

// headerLine takes a record that belongs to a header. It reports false for one
// that ends the headers.
func (m *mimeStage) headerLine(typ byte, data []byte) (taken bool, err error) {
	if len(m.buf) > 0 {
		switch {
		case m.previous == queuefile.TypePart:
			m.addHeader("", data)
			return true, nil
		case len(data) > 0 && isBlank(data[0]):
			m.addHeader("\n", data)
			return true, nil
		}
		if err := m.flushHeader(); err != nil {
			return false, err
		}
	}
	n := headerNameLen(data)
	if n == 0 {
		return false, nil
	}
	// The obsolete form "name :" becomes "name:".
	m.buf = append(m.buf, data[:n]...)
	m.buf = append(m.buf, cutNUL(bytes.TrimLeft(data[n:], " \t"))...)
	return true, nil
}

// addHeader adds text to the header, unless there is too much of it already.
func (m *mimeStage) addHeader(separator string, data []byte) {
	if len(m.buf) < m.limits.Header {
		m.buf = append(m.buf, separator...)
		m.buf = append(m.buf, cutNUL(data)...)
	}
}

// flushHeader passes on the header in the buffer. A Content-Transfer-Encoding
// that will not be true any more is held back.
func (m *mimeStage) flushHeader() error {
	if len(m.buf) == 0 {
		return nil
	}
	text := m.buf
	m.buf = m.buf[:0]
	colon := bytes.IndexByte(text, ':')
	name, value := text[:colon], text[colon+1:]
	class := m.class
	if isMIMEHeader(name) {
		class = mimeHeader
	}
	switch {
	case m.flat:
	case equalFold(name, "content-type"):
		m.contentType(value)
	case m.downgrade && equalFold(name, "content-transfer-encoding"):
		m.contentEncoding(value)
		if m.domain != encoding7bit {
			return nil
		}
	}
	return m.out.header(class, text)
}

// isMIMEHeader tells whether a header is one of those that RFC 2045 and RFC
// 2183 define, as far as Postfix knows them.
func isMIMEHeader(name []byte) bool {
	if len(name) < len("content-id") || name[0]|0x20 != 'c' && name[0]|0x20 != 'm' {
		return false
	}
	switch strings.ToLower(string(name)) {
	case "mime-version", "content-type", "content-transfer-encoding",
		"content-id", "content-description", "content-disposition":
		return true
	}
	return false
}

// endHeader handles the end of a header block: usually an empty line, else a
// line that cannot be a header and so belongs to the body.
func (m *mimeStage) endHeader(line []byte) error {
	if err := m.encodingHeader(); err != nil {
		return err
	}
	if len(line) > 0 {
		class := m.class
		m.class = noHeader
		if class == primaryHeader {
			// The separator between header and body was missing. It is not
			// added in a part, where that might break a signature.
			return m.out.body(queuefile.TypeLine, nil)
		}
		return nil
	}
	switch {
	case m.ctype == typeMessage && m.subtype == subtypeRFC822,
		m.ctype == typeMessage && m.subtype == subtypeGlobal && m.domain == encoding7bit:
		m.enter(nestedHeader, typeText, subtypeOther)
	case m.ctype == typeMultipart:
		m.enter(noHeader, typeOther, subtypeOther)
	default:
		m.class = noHeader
	}
	return nil
}

// encodingHeader writes the encoding that a part has after conversion, in
// place of the one that was held back. Composite types have no encoding of
// their own (RFC 2045 section 6.4), their parts do; message/global is an
// exception (RFC 6532 section 3.7).
func (m *mimeStage) encodingHeader() error {
	if m.domain == encoding7bit {
		return nil
	}
	value := "quoted-printable"
	if m.ctype == typeMultipart || m.ctype == typeMessage && m.subtype != subtypeGlobal {
		value = "7bit"
	}
	return m.out.header(m.class, []byte("Content-Transfer-Encoding: "+value))
}

// bodyLine passes on body text, converted if need be, and looks for the
// boundary of a multipart.
func (m *mimeStage) bodyLine(typ byte, data []byte) error {
	if m.previous != queuefile.TypePart && len(data) > 2 && data[0] == '-' && data[1] == '-' {
		m.boundaryLine(data[2:])
	}
	if m.domain != encoding7bit {
		return m.quotedPrintable(typ, data)
	}
	return m.out.body(typ, data)
}

// boundaryLine looks at what follows two hyphens. The end of an outer part
// ends the inner ones too, and what comes after a boundary is not looked at,
// since ours may have been shortened.
func (m *mimeStage) boundaryLine(text []byte) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		b := m.stack[i]
		rest, found := bytes.CutPrefix(text, b.text)
		if !found {
			continue
		}
		if bytes.HasPrefix(rest, []byte("--")) {
			m.stack = m.stack[:i]
			m.enter(noHeader, typeOther, subtypeOther)
		} else {
			m.stack = m.stack[:i+1]
			m.enter(mimeHeader, b.defType, b.defSubtype)
		}
		return
	}
}

// quotedPrintable writes 8-bit text as 7-bit (RFC 2045 section 6.7), with a
// soft line break after 73 to 75 characters.
func (m *mimeStage) quotedPrintable(typ byte, data []byte) error {
	const softLimit = 73
	for len(data) > 0 {
		if len(m.buf) >= softLimit {
			m.buf = append(m.buf, '=')
			if err := m.outputLine(); err != nil {
				return err
			}
		}
		n := plainLen(data[:min(len(data), softLimit-len(m.buf))])
		m.buf = append(m.buf, data[:n]...)
		if n == 0 {
			m.buf = appendQuoted(m.buf, data[0])
			n = 1
		}
		data = data[n:]
	}
	if typ == queuefile.TypePart {
		return nil
	}
	if n := len(m.buf); n > 0 && isBlank(m.buf[n-1]) {
		m.buf = appendQuoted(m.buf[:n-1], m.buf[n-1])
	}
	return m.outputLine()
}

func (m *mimeStage) outputLine() error {
	err := m.out.body(queuefile.TypeLine, m.buf)
	m.buf = m.buf[:0]
	return err
}

// plainLen returns how many bytes at the start of data need no encoding.
func plainLen(data []byte) int {
	for i, c := range data {
		if c < ' ' && c != '\t' || c == '=' || c > '~' {
			return i
		}
	}
	return len(data)
}

func appendQuoted(b []byte, c byte) []byte {
	const hex = "0123456789ABCDEF"
	return append(b, '=', hex[c>>4], hex[c&15])
}
