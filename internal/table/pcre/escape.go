package pcre

import (
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"postlmtp/internal/table/rx"
)

// escape reads what starts with a backslash, outside of brackets. It returns
// false if it cannot be repeated.
func (p *parser) escape() (bool, error) {
	if p.pos+1 == len(p.src) {
		p.pos++
		return false, p.fail("\\ at end of pattern")
	}
	c := p.src[p.pos+1]
	if set, ok := classEscape(c); ok {
		p.pos += 2
		p.class(set)
		return true, nil
	}
	if p.simple(c) {
		return false, nil
	}
	switch c {
	case 'K': // moves the start of the match, which nobody asks for
		p.pos += 2
		p.startMoved = p.startMoved || p.around > 0
		return false, nil
	case 'R':
		p.pos += 2
		p.only(`(?>\x0D\x0A|` + rx.Of("\n\v\f\r\x85").String() + `)`)
	case 'N':
		if p.utf && strings.HasPrefix(p.src[p.pos:], `\N{U+`) {
			char, err := p.codePoint()
			p.literal(char)
			return true, err
		}
		p.pos += 2
		if p.peek() == '{' {
			if _, _, n := interval(p.src[p.pos:]); n == 0 {
				return false, p.fail("PCRE2 does not support \\F, \\L, \\l, \\N{name}, \\U, or \\u")
			}
		}
		p.any(false)
	case 'C':
		p.pos += 2
		p.any(true)
	case 'X':
		p.cannot(`\X`)
		p.pos += 2
		p.any(true)
	case 'p', 'P':
		set, err := p.property()
		if err != nil {
			return false, err
		}
		p.emit(set.String())
	case 'g', 'k':
		return true, p.explicitReference(c)
	case '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if n, length := p.decimal(p.pos + 1); n < 10 || c >= '8' || n <= p.groups {
			p.pos += 1 + length
			return true, p.reference(n)
		}
		fallthrough
	default:
		char, err := p.character()
		if err != nil {
			return false, err
		}
		p.literal(char)
	}
	return true, nil
}

// simple reads an escape that cannot be repeated: a place, or the start of text
// in quotes.
func (p *parser) simple(c byte) bool {
	switch c {
	case 'A', 'G':
		p.emit(`\A`)
	case 'z':
		p.emit(`\z`)
	case 'Z':
		p.beforeEnd()
	case 'b', 'B':
		p.emit(`\` + string(c))
	case 'Q':
		p.quoting = true
	default:
		return false
	}
	p.pos += 2
	return true
}

// classEscape returns the set that \d and its like stand for.
func classEscape(c byte) (rx.Set, bool) {
	var set rx.Set
	switch c | 0x20 {
	case 'd':
		set, _ = rx.Class("digit")
	case 's':
		set, _ = rx.Class("space")
	case 'w':
		set, _ = rx.Class("alnum")
		set.Add('_')
	case 'h':
		set = rx.Of(" \t\xa0")
	case 'v':
		set = rx.Of("\n\v\f\r\x85")
	default:
		return set, false
	}
	if c < 'a' {
		set = set.Not()
	}
	return set, true
}

// decimal reads a number at a place. A long one is larger than any group.
func (p *parser) decimal(at int) (n, length int) {
	for at+length < len(p.src) && isDigit(rune(p.src[at+length])) {
		if n < 1<<20 {
			n = n*10 + int(p.src[at+length]-'0')
		}
		length++
	}
	return n, length
}

// explicitReference reads \g1, \g{1}, \g{-1}, \g{name}, \k<name>, \k'name',
// \k{name}, and the calls \g<name> and \g'name'.
func (p *parser) explicitReference(c byte) error {
	p.pos += 2
	if c == 'g' {
		if open := p.peek(); open == '<' || open == '\'' {
			return p.callByEscape()
		}
		if done, err := p.numberedReference(); done || err != nil {
			return err
		}
	}
	end := p.closing()
	if end == 0 {
		return p.fail("\\k is not followed by a braced, angle-bracketed, or quoted name")
	}
	p.pos++
	name, err := p.name(end)
	if err != nil {
		return err
	}
	return p.referenceByName(name)
}

// numberedReference reads a number after \g, with or without braces. It returns
// false at braces with something else in them.
func (p *parser) numberedReference() (done bool, err error) {
	at := p.pos
	braced := p.eat("{")
	n, ok, err := p.number()
	switch {
	case err != nil:
		return true, err
	case ok && braced && !p.eat("}"), !ok && !braced:
		return true, p.fail(badCall)
	case !ok:
		p.pos = at
		return false, nil
	}
	return true, p.reference(n)
}

// character reads an escape that stands for one character.
func (p *parser) character() (byte, error) {
	if p.pos+1 == len(p.src) {
		p.pos++
		return 0, p.fail("\\ at end of pattern")
	}
	c := p.src[p.pos+1]
	p.pos += 2
	switch c {
	case 'a':
		return '\a', nil
	case 'e':
		return 0x1b, nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'c':
		return p.control()
	case 'x':
		return p.hex()
	case 'o':
		if p.peek() != '{' {
			return 0, p.fail("missing opening brace after \\o")
		}
		return p.braced(8, "01234567", "non-octal character in \\o{} (closing brace missing?)")
	case 'F', 'L', 'l', 'U', 'u':
		return 0, p.fail("PCRE2 does not support \\F, \\L, \\l, \\N{name}, \\U, or \\u")
	}
	if c >= '0' && c <= '7' {
		p.pos--
		return p.octal()
	}
	if c == '8' || c == '9' || !isWord(c) || c == '_' {
		return c, nil
	}
	return 0, p.fail("unrecognized character follows \\")
}

func (p *parser) control() (byte, error) {
	c := p.peek()
	switch {
	case p.done():
		return 0, p.fail("\\c at end of pattern")
	case c < ' ' || c > '~':
		return 0, p.fail("\\c must be followed by a printable ASCII character")
	}
	p.pos++
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c ^ 0x40, nil
}

const tooLarge = "character code point value in \\x{} or \\o{} is too large"

const (
	hexDigits = "0123456789abcdefABCDEF"
	notHex    = "non-hex character in \\x{} (closing brace missing?)"
)

func (p *parser) hex() (byte, error) {
	if p.peek() == '{' {
		return p.braced(16, hexDigits, notHex)
	}
	n := 0
	for n < 2 && p.pos+n < len(p.src) && strings.IndexByte(hexDigits, p.src[p.pos+n]) >= 0 {
		n++
	}
	v, _ := strconv.ParseUint("0"+p.src[p.pos:p.pos+n], 16, 16)
	p.pos += n
	return byte(v), nil
}

// braced reads a number in braces.
func (p *parser) braced(base int, digits, bad string) (byte, error) {
	end := strings.IndexByte(p.src[p.pos:], '}')
	if end < 0 {
		return 0, p.fail("%s", bad)
	}
	text := p.src[p.pos+1 : p.pos+end]
	switch {
	case text == "":
		return 0, p.fail("digits missing in \\x{} or \\o{} or \\N{U+}")
	case strings.Trim(text, digits) != "":
		return 0, p.fail("%s", bad)
	}
	p.pos += end + 1
	v, err := strconv.ParseUint(text, base, 32)
	if err != nil {
		return 0, p.fail(tooLarge)
	}
	return p.char(v, tooLarge)
}

// char returns a character by its number. Where characters are those of Unicode,
// which only (*UTF) makes them, one beyond a byte stands for the last byte: nobody
// will match it.
func (p *parser) char(v uint64, large string) (byte, error) {
	switch {
	case v <= math.MaxUint8:
		return byte(v), nil
	case !p.utf || v > unicode.MaxRune:
		return 0, p.fail("%s", large)
	case !utf8.ValidRune(rune(v)):
		return 0, p.fail("disallowed Unicode code point (>= 0xd800 && <= 0xdfff)")
	}
	return math.MaxUint8, nil
}

// codePoint reads \N{U+41}.
func (p *parser) codePoint() (byte, error) {
	p.pos += len(`\N{U`) // the plus sign is in the place of the brace
	return p.braced(16, hexDigits, notHex)
}

// octal reads up to three digits, the first of which is known to be there.
func (p *parser) octal() (byte, error) {
	var v uint64
	for n := 0; n < 3 && p.pos < len(p.src) && p.src[p.pos] >= '0' && p.src[p.pos] <= '7'; n++ {
		v = v*8 + uint64(p.src[p.pos]-'0')
		p.pos++
	}
	return p.char(v, "octal value is greater than \\377 in 8-bit non-UTF-8 mode")
}
