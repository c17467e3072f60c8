package content

import (
	"bytes"
	"strings"
)

// contentType reads a Content-Type header (RFC 2045 section 5). A type that
// conversion does not care about leaves the default of the part in force.
func (m *mimeStage) contentType(value []byte) {
	p := &headerParser{text: cutNUL(value), specials: "()<>@,;:\\\"/[]?=", separator: ';'}
	item, _ := p.next()
	if len(item) == 0 {
		m.ctype = typeOther
		return
	}
	subtype := func(name string) bool {
		return len(item) == 3 && item[1].is('/') && item[2].isWord(name)
	}
	switch {
	case item[0].isWord("text"):
		m.ctype, m.subtype = typeText, subtypeOther
	case item[0].isWord("message"):
		m.ctype, m.subtype = typeMessage, subtypeOther
		switch {
		case subtype("rfc822"):
			m.subtype = subtypeRFC822
		case subtype("global"):
			m.subtype = subtypeGlobal
		}
	case item[0].isWord("multipart"):
		m.ctype = typeMultipart
		part := boundary{defType: typeText}
		if subtype("digest") { // RFC 2046 section 5.1.5
			part = boundary{defType: typeMessage, defSubtype: subtypeRFC822}
		}
		m.boundaries(p, part)
	}
}

// boundaries reads the parameters of a multipart. More than one boundary is
// illegal, but whoever wrote it may use any of them, so all are remembered.
func (m *mimeStage) boundaries(p *headerParser, part boundary) {
	for {
		item, more := p.next()
		if !more {
			return
		}
		if len(item) < 3 || !item[0].isWord("boundary") || !item[1].is('=') {
			continue
		}
		if len(m.stack) > m.limits.Nesting+1 {
			if m.downgrade { // else nothing depends on it but which checks apply
				m.failed = &MIMEError{Status: "5.6.0", Text: "MIME nesting exceeds safety limit"}
			}
			continue
		}
		part.text = bytes.Clone(item[2].text[:min(len(item[2].text), m.limits.Boundary)])
		m.stack = append(m.stack, part)
	}
}

// contentEncoding reads a Content-Transfer-Encoding header (RFC 2045 section
// 6). An unknown encoding changes nothing.
func (m *mimeStage) contentEncoding(value []byte) {
	p := &headerParser{text: cutNUL(value), specials: "()<>@,;:\\\".[]"}
	item, _ := p.next()
	if len(item) == 0 {
		return
	}
	for _, known := range []struct {
		name   string
		domain encoding
	}{
		{"7bit", encoding7bit},
		{"8bit", encoding8bit},
		{"binary", encodingBinary},
		{"base64", encoding7bit},
		{"quoted-printable", encoding7bit},
	} {
		if item[0].isWord(known.name) {
			m.domain = known.domain
			return
		}
	}
}

// token is a piece of a structured header: a word, a quoted string without its
// quotes, or a special character.
type token struct {
	kind tokenKind
	text []byte
}

type tokenKind int

const (
	word tokenKind = iota
	quoted
	special
)

func (t token) isWord(name string) bool { return t.kind == word && equalFold(t.text, name) }

func (t token) is(c byte) bool { return t.kind == special && t.text[0] == c }

// maxTokens is how many tokens of an item matter: enough for "name = value".
const maxTokens = 3

// headerParser cuts a structured header value (RFC 822 section 3.3) into
// items. Comments and white space are skipped.
type headerParser struct {
	text      []byte
	pos       int
	specials  string
	separator byte // between items; 0: an item is a single token
	scratch   []byte
}

// next returns the first tokens of the next item, of which there may be none.
// It reports false when there is no further item.
func (p *headerParser) next() (item []token, more bool) {
	for p.pos < len(p.text) {
		if p.separator == 0 && len(item) > 0 {
			return item, true
		}
		c := p.text[p.pos]
		p.pos++
		switch {
		case isBlank(c) || c == '\r' || c == '\n':
			continue
		case c == p.separator && c != 0:
			return item, true
		case c == '(':
			p.skipComment()
			continue
		}
		t := p.token(c)
		if len(item) < maxTokens {
			item = append(item, t)
		}
	}
	return item, len(item) > 0
}

// token reads the token that begins with c.
func (p *headerParser) token(c byte) token {
	switch {
	case c == '"':
		return token{quoted, p.quotedString()}
	case p.isSpecial(c):
		return token{special, p.text[p.pos-1 : p.pos]}
	}
	start := p.pos - 1
	for p.pos < len(p.text) && !isBlank(p.text[p.pos]) && !p.isSpecial(p.text[p.pos]) {
		p.pos++
	}
	return token{word, p.text[start:p.pos]}
}

// isSpecial reports whether a byte stands for itself: a special or a control
// character.
func (p *headerParser) isSpecial(c byte) bool {
	return c < ' ' || c == 0x7f || strings.IndexByte(p.specials, c) >= 0
}

// quotedString reads up to the closing quote. Backslashes are removed, and a
// folded line is joined, without the blanks before the fold.
func (p *headerParser) quotedString() []byte {
	start := len(p.scratch)
	for p.pos < len(p.text) {
		c := p.text[p.pos]
		p.pos++
		switch c {
		case '"':
			return p.scratch[start:]
		case '\n':
			p.scratch = p.scratch[:start+len(bytes.TrimRight(p.scratch[start:], " \t\r\n"))]
			continue
		case '\\':
			if p.pos == len(p.text) {
				return p.scratch[start:]
			}
			c = p.text[p.pos]
			p.pos++
		}
		p.scratch = append(p.scratch, c)
	}
	return p.scratch[start:]
}

// skipComment reads up to the closing parenthesis; comments can be nested.
func (p *headerParser) skipComment() {
	for level := 1; level > 0 && p.pos < len(p.text); p.pos++ {
		switch p.text[p.pos] {
		case '(':
			level++
		case ')':
			level--
		case '\\':
			p.pos++
		}
	}
	p.pos = min(p.pos, len(p.text))
}

// headerNameLen returns the length of the name of the header that a line
// begins, or 0 if it begins none: printable ASCII without blanks, then a
// colon, before which the obsolete syntax allows blanks (RFC 5322 section
// 4.5.8).
func headerNameLen(line []byte) int {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return 0
	}
	name := bytes.TrimRight(line[:colon], " \t")
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return 0
		}
	}
	return len(name)
}

// cutNUL returns what comes before the first NUL, which is where header text
// ends for Postfix.
func cutNUL(text []byte) []byte {
	if i := bytes.IndexByte(text, 0); i >= 0 {
		return text[:i]
	}
	return text
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// equalFold compares ASCII text with a name in lower case.
func equalFold(text []byte, lower string) bool {
	if len(text) != len(lower) {
		return false
	}
	for i, c := range text {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
